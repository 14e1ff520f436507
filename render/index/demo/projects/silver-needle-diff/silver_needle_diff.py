"""What changed between two dictionaries.

>>> old = {"tea": "Silver Needle", "tins": 3, "shop": {"open": True}}
>>> new = {"tea": "Silver Needle", "tins": 2, "shop": {"open": True, "till": 1}}
>>> for change in diff(old, new): print(change)
('changed', 'tins', 3, 2)
('added', 'shop.till', None, 1)
"""

__version__ = "VERSION"


def diff(old, new, at=""):
    """Yield (what, where, before, after); dictionaries are looked into."""
    for name in dict.fromkeys([*old, *new]):
        where = f"{at}{name}"
        if name not in new:
            yield "removed", where, old[name], None
        elif name not in old:
            yield "added", where, None, new[name]
        elif isinstance(old[name], dict) and isinstance(new[name], dict):
            yield from diff(old[name], new[name], where + ".")
        elif old[name] != new[name]:
            yield "changed", where, old[name], new[name]


def merge(old, new):
    """Return old with what new has, deep.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    both = dict(old)
    for name, value in new.items():
        mine = both.get(name)
        both[name] = merge(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return both
