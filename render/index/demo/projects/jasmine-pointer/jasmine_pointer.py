"""JSON pointers (RFC 6901): get, set, walk.

>>> menu = {"teas": [{"name": "Jasmine", "price/cup": 3}]}
>>> get(menu, "/teas/0/price~1cup")
3
>>> sorted(p for p, _ in walk(menu))
['/teas/0/name', '/teas/0/price~1cup']
"""

__version__ = "VERSION"


def parts(pointer):
    """Split a pointer."""
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise ValueError(f"a pointer begins with a slash: {pointer!r}")
    return [p.replace("~1", "/").replace("~0", "~") for p in pointer[1:].split("/")]


def _step(value, part):
    return value[int(part)] if isinstance(value, list) else value[part]


def get(value, pointer):
    """Return what the pointer leads to; KeyError or IndexError if that is nothing."""
    for part in parts(pointer):
        value = _step(value, part)
    return value


def put(value, pointer, new):
    """Set what the pointer leads to; "-" is behind a list's end.

    >>> menu = {"teas": []}
    >>> put(menu, "/teas/-", "Jasmine"); menu
    {'teas': ['Jasmine']}
    """
    *way, last = parts(pointer)
    for part in way:
        value = _step(value, part)
    if not isinstance(value, list):
        value[last] = new
    elif last == "-":
        value.append(new)
    else:
        value[int(last)] = new


def walk(value, at=""):
    """Yield the pointer and the value of every leaf."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield from walk(v, f"{at}/{k.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for n, v in enumerate(value):
            yield from walk(v, f"{at}/{n}")
    else:
        yield at, value
