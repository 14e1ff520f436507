"""Short ids that can be read out on the phone.

>>> encode(123456789)
'3NQK8N'
>>> decode("3nqk-8n")
123456789
"""

import secrets

__version__ = "VERSION"

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U
_VALUES = {c: n for n, c in enumerate(ALPHABET)} | {"I": 1, "L": 1, "O": 0}


def encode(number):
    """Write a number.

    >>> encode(0)
    '0'
    """
    text = ""
    while True:
        number, digit = divmod(number, 32)
        text = ALPHABET[digit] + text
        if not number:
            return text


def decode(text):
    """Read a number; dashes, case, and O for 0 don't matter."""
    number = 0
    for c in text.upper().replace("-", ""):
        if c not in _VALUES:
            raise ValueError(f"{c!r} stands in no id")
        number = number * 32 + _VALUES[c]
    return number


def new(length=10):
    """Return an id by chance.

    >>> len(new(12))
    12
    """
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
