"""Chance that comes out the same each time: picks by a name.

>>> pick(["Longjing", "Biluochun", "Maofeng"], "monday")
'Maofeng'
>>> pick(["Longjing", "Biluochun", "Maofeng"], "monday")
'Maofeng'
"""

import hashlib

__version__ = "VERSION"


def number(name, below):
    """Return a number from 0 that depends on nothing but the name.

    >>> all(0 <= number(str(n), 6) < 6 for n in range(100))
    True
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % below


def pick(values, name):
    """Return one of the values."""
    return values[number(name, len(values))]


def shuffle(values, name):
    """Return the values in an order by chance.

    >>> sorted(shuffle(range(5), "x"))
    [0, 1, 2, 3, 4]
    """
    return sorted(values, key=lambda v: hashlib.sha256(f"{name}\0{v}".encode()).digest())
