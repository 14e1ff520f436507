"""Hide secrets before they are logged.

>>> mask("token=abcdef123 cup=3")
'token=… cup=3'
>>> mask("postgres://ada:s3cret@db/tea")
'postgres://ada:…@db/tea'
"""

import re

__version__ = "VERSION"

NAMES = ("password", "passwd", "secret", "token", "api_key", "apikey", "authorization")

_PAIR = re.compile(rf"(?i)\b({'|'.join(NAMES)})(\s*[=:]\s*)(\"[^\"]*\"|\S+)")
_URL = re.compile(r"(\w+://[^\s:/@]+:)[^\s/@]+@")


def mask(text, with_="…"):
    """Replace what looks like a secret."""
    return _URL.sub(rf"\g<1>{with_}@", _PAIR.sub(rf"\g<1>\g<2>{with_}", text))


def tail(secret, shown=4):
    """Show the end of a secret alone.

    >>> tail("4111111111111111")
    '…1111'
    """
    return "…" + secret[-shown:] if len(secret) > 2 * shown else "…"
