"""Functions poured one into the other.

>>> brew = steps(str.strip, str.lower, len)
>>> brew("  Oolong ")
6
"""

from functools import reduce

__version__ = "VERSION"


def steps(*functions):
    """Return a function that passes its argument through all of them in turn."""

    def run(value):
        return reduce(lambda v, f: f(v), functions, value)

    return run


def tap(look):
    """Return a step that looks at the value and lets it through.

    >>> steps(tap(print), len)("tea")
    tea
    3
    """

    def step(value):
        look(value)
        return value

    return step


def when(condition, step):
    """Return a step that is taken only if the condition holds.

    >>> halve = when(lambda n: n % 2 == 0, lambda n: n // 2)
    >>> halve(8), halve(7)
    (4, 7)
    """
    return lambda value: step(value) if condition(value) else value
