"""Tables for terminals and for Markdown.

>>> print(table([["Sencha", 4.5], ["Oolong", 12]], head=["Tea", "Price"]))
Tea     Price
Sencha    4.5
Oolong     12
"""

__version__ = "VERSION"


def _number(cell):
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _lines(rows, head, gap, pad):
    cells = [[str(c) for c in row] for row in ([head] if head else []) + rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    right = [all(_number(row[i]) for row in rows) for i in range(len(widths))]
    for row in cells:
        line = gap.join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right))
        yield line if pad else line.rstrip()


def table(rows, head=None):
    """Align rows in columns; columns of numbers to the right."""
    return "\n".join(_lines(rows, head, "  ", pad=False))


def markdown(rows, head):
    """Write the table in Markdown.

    >>> print(markdown([["Sencha", 4]], ["Tea", "Cups"]))
    | Tea    | Cups |
    | ------ | ---: |
    | Sencha |    4 |
    """
    lines = [f"| {line} |" for line in _lines(rows, head, " | ", pad=True)]
    marks = []
    for i, name in enumerate(head):
        width = max(len(str(row[i])) for row in [head] + rows)
        number = all(_number(row[i]) for row in rows)
        marks.append("-" * (width - 1) + (":" if number else "-"))
    return "\n".join([lines[0], "| " + " | ".join(marks) + " |"] + lines[1:])
