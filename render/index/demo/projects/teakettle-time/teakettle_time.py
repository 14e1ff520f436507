"""Durations as people write them: "3m30s" and back.

>>> parse("3m30s")
210
>>> parse("1h 5m")
3900
>>> format(210)
'3m30s'
"""

import re

__version__ = "VERSION"

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_PART = re.compile(r"\s*(\d+)\s*([dhms])")


def parse(text):
    """Return the seconds of a duration such as "1h5m".

    >>> parse("")
    Traceback (most recent call last):
    ...
    ValueError: not a duration: ''
    """
    at, total = 0, 0
    while at < len(text.rstrip()):
        part = _PART.match(text, at)
        if not part:
            raise ValueError(f"not a duration: {text!r}")
        total += int(part[1]) * _UNITS[part[2]]
        at = part.end()
    if at == 0:
        raise ValueError(f"not a duration: {text!r}")
    return total


def format(seconds):
    """Write seconds in the largest units that fit.

    >>> format(0), format(86461)
    ('0s', '1d1m1s')
    """
    text = ""
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"
