"""Reads tea leaves, that is: notes with front matter.

>>> note = read("---\\ntea: Oolong\\ncups: 3\\n---\\n\\nFloral, a little *roast*.\\n")
>>> note.fields["cups"], note.title, note.text
(3, 'Oolong', 'Floral, a little *roast*.')
"""

from dataclasses import dataclass, field

from sencha_csv import value

__version__ = "VERSION"


@dataclass
class Note:
    text: str
    fields: dict = field(default_factory=dict)

    @property
    def title(self):
        return str(self.fields.get("title") or self.fields.get("tea") or self.text.split("\n")[0])


def read(text):
    """Return a note: what stands between the first two lines of dashes are its fields.

    >>> read("no fields").fields
    {}
    """
    if not text.startswith("---\n"):
        return Note(text.strip())
    head, dashes, body = text[4:].partition("\n---\n")
    if not dashes:
        raise ValueError("the front matter has no end")
    fields = {}
    for n, line in enumerate(head.split("\n"), 2):
        name, colon, text_value = line.partition(":")
        if not colon:
            raise ValueError(f"line {n}: not name: value")
        fields[name.strip()] = value(text_value.strip())
    return Note(body.strip(), fields)
