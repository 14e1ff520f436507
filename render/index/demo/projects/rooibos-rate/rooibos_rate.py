"""So many per second, and a few at once.

>>> now = [0.0]
>>> cups = Bucket(rate=2, burst=3, clock=lambda: now[0])
>>> [cups.take() for _ in range(4)]
[True, True, True, False]
>>> now[0] += 0.5
>>> cups.take()
True
"""

import time

__version__ = "VERSION"


class Bucket:
    """A token bucket. It is not locked: give each thread its own, or hold a lock."""

    def __init__(self, rate, burst=1, clock=time.monotonic):
        if rate <= 0 or burst < 1:
            raise ValueError("rate must be above 0, burst at least 1")
        self.rate, self.burst, self._clock = rate, burst, clock
        self._tokens, self._at = float(burst), clock()

    def _fill(self):
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now

    def take(self):
        """Take one if there is one."""
        self._fill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait(self):
        """Return the seconds until there is one.

        >>> b = Bucket(rate=4, clock=lambda: 0.0)
        >>> b.take(), b.wait()
        (True, 0.25)
        """
        self._fill()
        return max(0.0, (1 - self._tokens) / self.rate)
