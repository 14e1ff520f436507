"""Sentences from values: lists, plurals, ordinals.

>>> listed(["mint", "sage", "thyme"])
'mint, sage and thyme'
>>> plural(2, "cup"), plural(1, "leaf", "leaves"), ordinal(22)
('2 cups', '1 leaf', '22nd')
"""

__version__ = "VERSION"


def listed(values, word="and"):
    """Join values as in a sentence.

    >>> listed(["mint"]), listed([])
    ('mint', '')
    """
    *most, last = [str(v) for v in values] or [""]
    return f"{', '.join(most)} {word} {last}" if most else last


def plural(count, one, many=None):
    """Return the count with its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def ordinal(n):
    """Return 1st, 2nd, 3rd, …

    >>> [ordinal(n) for n in (1, 11, 13, 103)]
    ['1st', '11th', '13th', '103rd']
    """
    if n % 100 in (11, 12, 13):
        return f"{n}th"
    return f"{n}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th') }".replace(" ", "")
