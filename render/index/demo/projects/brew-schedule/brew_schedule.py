"""A day's brews, one after the other.

>>> for start, tea in plan([("Sencha", "1m30s"), ("Oolong", "3m")], start="9h"): print(start, tea)
9:00 Sencha
9:02 Oolong
"""

from teakettle_time import parse

__version__ = "VERSION"


def clock(seconds):
    """Write a time of day.

    >>> clock(34200)
    '9:30'
    """
    return f"{seconds // 3600 % 24}:{seconds % 3600 // 60:02}"


def plan(brews, start="8h", pause="30s"):
    """Yield when each brew begins, given teas and how long they steep."""
    at, pause = parse(start), parse(pause)
    for tea, time in brews:
        yield clock(at), tea
        at += parse(time) + pause
