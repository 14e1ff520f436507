"""Readable addresses from titles.

>>> slug("Iron Goddess of Mercy (鐵觀音)")
'iron-goddess-of-mercy'
>>> slug("Pu'er & crème")
'puer-and-creme'
"""

import re
import unicodedata

__version__ = "VERSION"


def slug(title, most=80):
    """Return the title in a-z, 0-9 and dashes, at most so many characters.

    >>> slug("a b c", most=3)
    'a-b'
    >>> slug("...")
    'untitled'
    """
    text = title.replace("&", " and ").replace("'", "").replace("’", "")
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return text[:most].rstrip("-") or "untitled"


def unique(title, taken):
    """Return a slug that is not among those taken.

    >>> unique("Oolong", {"oolong", "oolong-2"})
    'oolong-3'
    """
    first, n = slug(title), 1
    name = first
    while name in taken:
        n += 1
        name = f"{first}-{n}"
    return name
