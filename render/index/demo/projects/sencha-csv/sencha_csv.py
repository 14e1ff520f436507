"""Rows of CSV as dictionaries, with numbers as numbers.

>>> read("tea,grams\\nSencha,2.5\\nGyokuro,3\\n")
[{'tea': 'Sencha', 'grams': 2.5}, {'tea': 'Gyokuro', 'grams': 3}]
"""

import csv
import io

__version__ = "VERSION"


def value(text):
    """Guess what a cell holds.

    >>> value("12"), value("1.5"), value(""), value("yes"), value("007")
    (12, 1.5, None, True, '007')
    """
    if text == "":
        return None
    if text.lower() in ("yes", "true"):
        return True
    if text.lower() in ("no", "false"):
        return False
    if len(text) > 1 and text[0] == "0" and text[1].isdigit():
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def read(text):
    """Return the rows of a table whose first line names the columns."""
    return [{k: value(v) for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]


def write(rows):
    """Return rows as CSV.

    >>> print(write([{"tea": "Bancha", "stock": None}]), end="")
    tea,stock
    Bancha,
    """
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    w = csv.DictWriter(out, names, lineterminator="\n")
    w.writeheader()
    w.writerows(rows)
    return out.getvalue()
