"""HTML from Python calls, escaped.

>>> tag("p", "Tea & ", tag("b", "cake"), class_="menu")
'<p class="menu">Tea &amp; <b>cake</b></p>'
"""

from html import escape

__version__ = "VERSION"

VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())


class Markup(str):
    """Text that is HTML already."""

    def __repr__(self):
        return str.__repr__(self)


def tag(name, *children, **attributes):
    """Return an element. True attributes stand alone, False and None ones are left out.

    >>> tag("input", type="checkbox", checked=True, disabled=False)
    '<input type="checkbox" checked>'
    """
    head = name
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            head += f" {key}"
        elif value is not None and value is not False:
            head += f' {key}="{escape(str(value))}"'
    if name in VOID:
        return Markup(f"<{head}>")
    inner = "".join(c if isinstance(c, Markup) else escape(str(c), quote=False) for c in children)
    return Markup(f"<{head}>{inner}</{name}>")


def items(values, name="ul"):
    """Return a list.

    >>> items(["green", "black"])
    '<ul><li>green</li><li>black</li></ul>'
    """
    return tag(name, *(tag("li", v) for v in values))
