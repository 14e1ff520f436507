"""Trees drawn with lines.

>>> print(draw({"garden": {"upper": {"Oolong": {}}, "lower": {"Assam": {}, "mint": {}}}}))
garden
├── upper
│   └── Oolong
└── lower
    ├── Assam
    └── mint
"""

__version__ = "VERSION"


def draw(tree):
    """Return a tree of nested dictionaries as text."""
    return "\n".join(line for name, below in tree.items() for line in [str(name), *_below(below, "")])


def _below(tree, indent):
    last = len(tree) - 1
    for n, (name, below) in enumerate(tree.items()):
        yield indent + ("└── " if n == last else "├── ") + str(name)
        yield from _below(below, indent + ("    " if n == last else "│   "))


def of_paths(paths):
    """Return the tree of paths.

    >>> of_paths(["a/b", "a/c", "d"])
    {'a': {'b': {}, 'c': {}}, 'd': {}}
    """
    tree = {}
    for path in paths:
        at = tree
        for part in path.split("/"):
            at = at.setdefault(part, {})
    return tree
