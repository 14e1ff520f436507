"""Means, medians and grades of small samples.

>>> scores = [62, 70, 71, 85, 90]
>>> median(scores), round(spread(scores), 2)
(71, 11.55)
>>> grade(88)
'TGFOP'
"""

import math

__version__ = "VERSION"

GRADES = ((90, "SFTGFOP"), (80, "TGFOP"), (70, "FOP"), (60, "OP"), (0, "BOP"))


def median(values):
    """Return the middle value, or the mean of the two."""
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        raise ValueError("no values")
    return ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2


def percentile(values, p):
    """Return the value below which p percent lie, between two values if need be.

    >>> percentile([1, 2, 3, 4], 50)
    2.5
    """
    ordered = sorted(values)
    at = (len(ordered) - 1) * p / 100
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def spread(values):
    """Return the sample's standard deviation."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def grade(score):
    """Return the leaf grade for a score from 0 to 100."""
    return next(name for least, name in GRADES if score >= least)
