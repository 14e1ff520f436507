"""Shares that add up.

>>> share(100, {"cinnamon": 1, "ginger": 1, "cardamom": 1})
{'cinnamon': 34, 'ginger': 33, 'cardamom': 33}
"""

__version__ = "VERSION"


def share(total, weights):
    """Share a whole number by weights, with the largest remainders rounded up: the parts add up to the total.

    >>> sum(share(7, {"a": 3, "b": 2, "c": 2}).values())
    7
    """
    whole = sum(weights.values())
    if whole <= 0:
        raise ValueError("the weights must add up to more than 0")
    parts = {k: total * w // whole for k, w in weights.items()}
    rest = sorted(weights, key=lambda k: -(total * weights[k] % whole))
    for k in rest[: total - sum(parts.values())]:
        parts[k] += 1
    return parts


def percent(weights, digits=0):
    """Return percentages that add up to 100.

    >>> percent({"black": 2, "green": 1})
    {'black': 67, 'green': 33}
    """
    scale = 10**digits
    parts = share(100 * scale, weights)
    return {k: v / scale if digits else v for k, v in parts.items()}
