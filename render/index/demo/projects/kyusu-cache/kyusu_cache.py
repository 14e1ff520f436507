"""Remember the last few answers.

>>> calls = []
>>> @remember(most=2, seconds=60, clock=lambda: 0)
... def price(tea):
...     calls.append(tea)
...     return len(tea)
>>> price("Sencha"), price("Sencha"), calls
(6, 6, ['Sencha'])
"""

import functools
import time
from collections import OrderedDict

__version__ = "VERSION"


def remember(most=128, seconds=60.0, clock=time.monotonic):
    """Decorate a function: its answers are kept for a while, the last few of them."""

    def decorate(f):
        answers = OrderedDict()

        @functools.wraps(f)
        def asked(*args):
            now = clock()
            if args in answers:
                at, answer = answers[args]
                if now - at < seconds:
                    answers.move_to_end(args)
                    return answer
                del answers[args]
            answer = f(*args)
            answers[args] = (now, answer)
            if len(answers) > most:
                answers.popitem(last=False)
            return answer

        asked.forget = answers.clear
        return asked

    return decorate
