"""Sort as people do: tin 2 before tin 10.

>>> sorted(["tin 10", "Tin 2", "tin 1b"], key=natural)
['tin 1b', 'Tin 2', 'tin 10']
"""

import re

__version__ = "VERSION"


def natural(text):
    """Return a key in which numbers count as numbers, and case does not."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p.casefold()) for p in re.findall(r"\d+|\D+", text)]


def by(*fields):
    """Return a key for dictionaries: by fields in turn; "-name" turns one round. Numbers and text don't mix.

    >>> teas = [{"n": "a", "p": 1}, {"n": "b", "p": 3}, {"n": "c", "p": 3}]
    >>> [t["n"] for t in sorted(teas, key=by("-p", "n"))]
    ['b', 'c', 'a']
    """

    def key(row):
        return tuple(_Turned(row[f[1:]]) if f.startswith("-") else row[f] for f in fields)

    return key


class _Turned:
    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        return other.value < self.value

    def __eq__(self, other):
        return self.value == other.value
