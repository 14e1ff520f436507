"""Small tools for what comes one by one.

>>> list(chunks("abcdefg", 3))
[['a', 'b', 'c'], ['d', 'e', 'f'], ['g']]
>>> list(windows([1, 2, 3, 4], 2))
[(1, 2), (2, 3), (3, 4)]
>>> list(distinct(["mint", "Assam", "Mint"], key=str.lower))
['mint', 'Assam']
"""

from collections import deque
from itertools import islice

__version__ = "VERSION"


def chunks(values, size):
    """Yield lists of so many values; the last may be shorter."""
    it = iter(values)
    while chunk := list(islice(it, size)):
        yield chunk


def windows(values, size):
    """Yield every run of so many neighbours."""
    window = deque(maxlen=size)
    for v in values:
        window.append(v)
        if len(window) == size:
            yield tuple(window)


def distinct(values, key=lambda v: v):
    """Yield values whose key was not there yet."""
    seen = set()
    for v in values:
        k = key(v)
        if k not in seen:
            seen.add(k)
            yield v


def split(values, test):
    """Return two lists: values that pass the test, and the others.

    >>> split(range(5), lambda n: n % 2)
    ([1, 3], [0, 2, 4])
    """
    yes, no = [], []
    for v in values:
        (yes if test(v) else no).append(v)
    return yes, no
