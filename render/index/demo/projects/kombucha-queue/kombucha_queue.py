"""A priority queue whose entries can change their minds.

>>> q = Queue()
>>> q.put("wash cups", 5); q.put("serve", 1); q.put("wash cups", 0)
>>> q.pop(), q.pop(), len(q)
('wash cups', 'serve', 0)
"""

import heapq
from itertools import count

__version__ = "VERSION"


class Queue:
    """Smallest priority first; equal ones in the order they came."""

    def __init__(self):
        self._heap, self._entries, self._count = [], {}, count()

    def put(self, item, priority=0):
        """Add an item, or give it another priority."""
        entry = [priority, next(self._count), item, True]
        if item in self._entries:
            self._entries[item][3] = False
        self._entries[item] = entry
        heapq.heappush(self._heap, entry)

    def discard(self, item):
        """Take an item out if it is there."""
        entry = self._entries.pop(item, None)
        if entry:
            entry[3] = False

    def pop(self):
        """Return the first item; IndexError when there is none."""
        while True:
            _, _, item, valid = heapq.heappop(self._heap)
            if valid:
                del self._entries[item]
                return item

    def __len__(self):
        return len(self._entries)

    def __contains__(self, item):
        return item in self._entries
