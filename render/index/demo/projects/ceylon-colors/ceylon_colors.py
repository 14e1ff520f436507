"""Colours: hex, contrast, and what a terminal shows.

>>> contrast("#ffffff", "#7a3b12") > 4.5
True
>>> mix("#000000", "#ffffff", 0.5)
'#808080'
"""

__version__ = "VERSION"

_CODES = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "bold": 1, "dim": 2}


def rgb(color):
    """Return the three parts of "#rrggbb"."""
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def luminance(color):
    """Return the relative luminance of WCAG."""
    parts = [c / 255 for c in rgb(color)]
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    """Return the contrast ratio, from 1 to 21.

    >>> round(contrast("#000000", "#ffffff"))
    21
    """
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def mix(a, b, share):
    """Return a colour between two."""
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in zip(rgb(a), rgb(b)))


def paint(text, *styles):
    """Return text for a terminal.

    >>> paint("hot", "red", "bold")
    '\\x1b[31;1mhot\\x1b[0m'
    """
    return f"\x1b[{';'.join(str(_CODES[s]) for s in styles)}m{text}\x1b[0m"
