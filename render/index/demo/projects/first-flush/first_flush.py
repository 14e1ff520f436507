"""When is the harvest? An early release, to be tasted with care.

>>> ready(leaf_days=28, warm_nights=9)
True
"""

__version__ = "VERSION"


def ready(leaf_days, warm_nights):
    """Report whether leaves may be picked: after four weeks, or three with warm nights."""
    return leaf_days >= 28 or (leaf_days >= 21 and warm_nights >= 10)
