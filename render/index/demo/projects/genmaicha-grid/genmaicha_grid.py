"""Grids of cells, read from text.

>>> g = Grid.parse("T..\\n.#.\\n..C")
>>> g.find("T"), g.find("C")
((0, 0), (2, 2))
>>> g.path((0, 0), (2, 2), wall="#")
[(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)]
"""

from collections import deque

__version__ = "VERSION"


class Grid:
    """Cells by (x, y)."""

    def __init__(self, rows):
        self.rows = [list(row) for row in rows]

    @classmethod
    def parse(cls, text):
        return cls(text.splitlines())

    def __getitem__(self, at):
        x, y = at
        return self.rows[y][x]

    def __contains__(self, at):
        x, y = at
        return 0 <= y < len(self.rows) and 0 <= x < len(self.rows[y])

    def find(self, cell):
        for y, row in enumerate(self.rows):
            if cell in row:
                return row.index(cell), y
        return None

    def around(self, at):
        """Return the cells beside one, those of the grid."""
        x, y = at
        return [n for n in ((x + 1, y), (x, y + 1), (x - 1, y), (x, y - 1)) if n in self]

    def path(self, start, goal, wall):
        """Return a shortest way that meets no wall, or None."""
        before, queue = {start: None}, deque([start])
        while queue:
            at = queue.popleft()
            if at == goal:
                way = []
                while at is not None:
                    way.append(at)
                    at = before[at]
                return way[::-1]
            for n in self.around(at):
                if n not in before and self[n] != wall:
                    before[n] = at
                    queue.append(n)
        return None
