"""Try again, a little later each time.

>>> calls = []
>>> @retry(tries=3, first=0, on=ValueError)
... def pour():
...     calls.append(1)
...     if len(calls) < 3:
...         raise ValueError("too hot")
...     return "chai"
>>> pour(), len(calls)
('chai', 3)
"""

import functools
import time

__version__ = "VERSION"


def waits(tries, first=0.1, factor=2.0, most=30.0):
    """Yield the seconds between tries.

    >>> list(waits(5, first=1, most=5))
    [1, 2.0, 4.0, 5]
    """
    wait = first
    for _ in range(tries - 1):
        yield min(wait, most)
        wait *= factor


def retry(tries=3, first=0.1, factor=2.0, most=30.0, on=Exception, sleep=time.sleep):
    """Call the function until it returns; the last error is raised."""

    def decorate(f):
        @functools.wraps(f)
        def tried(*args, **kwargs):
            for wait in waits(tries, first, factor, most):
                try:
                    return f(*args, **kwargs)
                except on:
                    sleep(wait)
            return f(*args, **kwargs)

        return tried

    return decorate
