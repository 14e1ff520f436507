"""A command line from a function's parameters.

>>> def brew(tea: str, cups: int = 1, *, hot: bool = False):
...     "Brew some tea."
...     return f"{cups} x {tea}{' (hot)' if hot else ''}"
>>> run(brew, ["Assam", "--cups", "2", "--hot"])
'2 x Assam (hot)'
"""

import argparse
import inspect

__version__ = "VERSION"


def parser(f):
    """Return an argparse parser: a parameter with a default is an option, others are arguments."""
    p = argparse.ArgumentParser(prog=f.__name__.replace("_", "-"), description=inspect.getdoc(f))
    for name, par in inspect.signature(f).parameters.items():
        kind = par.annotation if par.annotation is not par.empty else str
        if par.default is par.empty:
            p.add_argument(name, type=kind)
        elif kind is bool:
            p.add_argument("--" + name.replace("_", "-"), action=argparse.BooleanOptionalAction, default=par.default)
        else:
            p.add_argument("--" + name.replace("_", "-"), type=kind, default=par.default, help="default: %(default)s")
    return p


def run(f, args=None):
    """Call the function with what stands on the command line."""
    return f(**vars(parser(f).parse_args(args)))
