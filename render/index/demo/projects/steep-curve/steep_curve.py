"""Functions through points: straight lines between them.

>>> heat = Curve([(0, 95), (60, 88), (180, 79)])
>>> heat(30), heat(500)
(91.5, 79)
"""

from bisect import bisect_right

__version__ = "VERSION"


class Curve:
    """A function given by points (x, y); beyond them it is flat."""

    def __init__(self, points):
        self.points = sorted(points)
        if not self.points:
            raise ValueError("a curve needs a point")
        self._xs = [x for x, _ in self.points]

    def __call__(self, x):
        at = bisect_right(self._xs, x)
        if at == 0:
            return self.points[0][1]
        if at == len(self.points):
            return self.points[-1][1]
        (x0, y0), (x1, y1) = self.points[at - 1], self.points[at]
        return y0 + (y1 - y0) * (x - x0) / (x1 - x0)

    def when(self, y):
        """Return the first x at which the curve has the value, or None.

        >>> Curve([(0, 95), (60, 85)]).when(90)
        30.0
        """
        for (x0, y0), (x1, y1) in zip(self.points, self.points[1:]):
            if y0 != y1 and min(y0, y1) <= y <= max(y0, y1):
                return x0 + (x1 - x0) * (y - y0) / (y1 - y0)
        return None
