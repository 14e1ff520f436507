"""Wrap paragraphs, keep the rest.

>>> print(wrap("one two three\\n\\n    code stays", width=7))
one two
three
<BLANKLINE>
    code stays
"""

import re
import textwrap

__version__ = "VERSION"


def wrap(text, width=72):
    """Wrap the paragraphs of a text; indented ones stay as they are."""
    paragraphs = re.split(r"\n\s*\n", text.strip("\n"))
    done = [p if p.startswith((" ", "\t")) else textwrap.fill(" ".join(p.split()), width) for p in paragraphs]
    return "\n\n".join(done)


def shorten(text, most):
    """Cut a line at a word.

    >>> shorten("a long list of teas", most=12)
    'a long list…'
    """
    if len(text) <= most:
        return text
    cut = text[:most].rsplit(" ", 1)[0]
    return cut[: most - 1].rstrip() + "…"
