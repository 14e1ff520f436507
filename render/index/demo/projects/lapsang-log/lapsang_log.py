"""Log lines that people and programs read: key=value.

>>> line("poured", cup=3, tea="Lapsang Souchong")
'msg=poured cup=3 tea="Lapsang Souchong"'
>>> parse(line("poured", cup=3))
{'msg': 'poured', 'cup': '3'}
"""

import json
import logging
import re

__version__ = "VERSION"

_PAIR = re.compile(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|\S*)')


def _value(v):
    text = str(v)
    return text if re.fullmatch(r"[\w.:/+-]+", text) else json.dumps(text, ensure_ascii=False)


def line(msg, **fields):
    """Return one line: the message and the fields in their order."""
    return " ".join(f"{k}={_value(v)}" for k, v in {"msg": msg, **fields}.items())


def parse(text):
    """Return the fields of a line, as text."""
    return {k: json.loads(v) if v.startswith('"') else v for k, v in _PAIR.findall(text)}


class Formatter(logging.Formatter):
    """Formats the records of logging; extra={"fields": {…}} adds fields."""

    def format(self, record):
        fields = {"level": record.levelname.lower(), "logger": record.name, **getattr(record, "fields", {})}
        return line(record.getMessage(), **fields)
