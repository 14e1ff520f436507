"""Settings from INI text, checked against what is expected.

>>> read("[kettle]\\nheat = 80\\nlid = on\\n", {"kettle": {"heat": 95, "lid": False, "litres": 1.0}})
{'kettle': {'heat': 80, 'lid': True, 'litres': 1.0}}
"""

import configparser

__version__ = "VERSION"


def read(text, defaults):
    """Return the settings: those of the text, and the defaults for the rest. Types are those of the defaults.

    >>> read("[kettle]\\nheet = 80\\n", {"kettle": {"heat": 95}})
    Traceback (most recent call last):
    ...
    ValueError: [kettle] heet: no such setting; there is: heat
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    settings = {section: dict(values) for section, values in defaults.items()}
    for section in parser.sections():
        if section not in settings:
            raise ValueError(f"[{section}]: no such section; there is: {', '.join(settings)}")
        for name in parser[section]:
            if name not in settings[section]:
                raise ValueError(f"[{section}] {name}: no such setting; there is: {', '.join(settings[section])}")
            kind = type(settings[section][name])
            value = parser[section].getboolean(name) if kind is bool else kind(parser[section][name])
            settings[section][name] = value
    return settings
