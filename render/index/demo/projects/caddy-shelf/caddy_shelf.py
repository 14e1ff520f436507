"""A dictionary in a JSON file that is never half written.

>>> import tempfile, os
>>> path = os.path.join(tempfile.mkdtemp(), "shelf.json")
>>> with Shelf(path) as shelf:
...     shelf["Sencha"] = {"grams": 250}
>>> Shelf(path)["Sencha"]
{'grams': 250}
"""

import json
import os
import tempfile
from collections.abc import MutableMapping

__version__ = "VERSION"


class Shelf(MutableMapping):
    """Holds what JSON can; save writes it, and so does leaving a with block without an error."""

    def __init__(self, path):
        self.path = path
        try:
            with open(path, encoding="utf-8") as f:
                self._items = json.load(f)
        except FileNotFoundError:
            self._items = {}

    def save(self):
        """Write the file beside, sync it, and rename it into place."""
        folder = os.path.dirname(os.path.abspath(self.path))
        fd, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as f:
                json.dump(self._items, f, ensure_ascii=False, indent=1, sort_keys=True)
                f.flush()
                os.fsync(f.fileno())
            os.replace(name, self.path)
        except BaseException:
            os.unlink(name)
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.save()

    def __getitem__(self, key):
        return self._items[key]

    def __setitem__(self, key, value):
        self._items[key] = value

    def __delitem__(self, key):
        del self._items[key]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)
