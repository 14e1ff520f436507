"""Fill in templates: {name}, with a default or a format.

>>> whisk("{cups} x {tea|tea} at {heat:.0f} °C", cups=2, heat=79.6)
'2 x tea at 80 °C'
"""

import re

__version__ = "VERSION"

_FIELD = re.compile(r"\{\{|\}\}|\{(\w+)(?:\|([^{}]*))?(?::([^{}|]*))?\}")


def names(template):
    """Return the names in a template.

    >>> names("{tea} {{no}} {cups|1}")
    ['tea', 'cups']
    """
    return [m[1] for m in _FIELD.finditer(template) if m[1]]


def whisk(template, **values):
    """Return the template with its fields filled in; KeyError for one without value and default."""

    def fill(m):
        if m[1] is None:
            return m[0][0]
        value = values.get(m[1], m[2])
        if value is None:
            raise KeyError(m[1])
        return format(value, m[3] or "")

    return _FIELD.sub(fill, template)
