"""Cups, millilitres, degrees.

>>> convert(2, "cup", "ml")
473.18
>>> convert(100, "C", "F")
212.0
"""

__version__ = "VERSION"

_BASE = {
    "ml": ("volume", 1.0), "l": ("volume", 1000.0), "cup": ("volume", 236.588), "floz": ("volume", 29.5735),
    "tsp": ("volume", 4.92892), "g": ("mass", 1.0), "kg": ("mass", 1000.0), "oz": ("mass", 28.3495),
}


def celsius(fahrenheit):
    return (fahrenheit - 32) * 5 / 9


def fahrenheit(celsius):
    return celsius * 9 / 5 + 32


def convert(amount, source, target, digits=2):
    """Convert an amount from one unit to another.

    >>> convert(1, "kg", "ml")
    Traceback (most recent call last):
    ...
    ValueError: kg is mass, ml is volume
    """
    if (source, target) == ("C", "F"):
        return round(fahrenheit(amount), digits)
    if (source, target) == ("F", "C"):
        return round(celsius(amount), digits)
    (kind, factor), (wanted, divisor) = _BASE[source], _BASE[target]
    if kind != wanted:
        raise ValueError(f"{source} is {kind}, {target} is {wanted}")
    return round(amount * factor / divisor, digits)
