"""Who is next? Orders by urgency, with fair waiting.

>>> line = Line()
>>> line.join("table 4"); line.join("table 2", hurry=True); line.join("table 9")
>>> [line.next() for _ in range(3)]
['table 2', 'table 4', 'table 9']
"""

from kombucha_queue import Queue

__version__ = "VERSION"


class Line:
    """Guests in a hurry come first; nobody waits for more than so many of them."""

    def __init__(self, patience=5):
        self._queue, self._turn, self.patience = Queue(), 0, patience

    def join(self, guest, hurry=False):
        self._turn += 1
        self._queue.put(guest, self._turn - (self.patience if hurry else 0))

    def next(self):
        return self._queue.pop()
