"""Take orders at the counter: python -m teahouse_counter Sencha=2 Oolong=1."""

import sys

from ceylon_colors import paint
from keemun_keys import natural
from teahouse_menu import Menu
from tisane_text import listed, plural

__version__ = "VERSION"

PRICES = {"Assam": "3.00", "Darjeeling": "3.80", "Oolong": "4.20", "Sencha": "3.50"}


def order(words):
    """Read an order.

    >>> order(["Sencha=2", "Oolong"])
    {'Sencha': 2, 'Oolong': 1}
    """
    cups = {}
    for word in words:
        tea, _, count = word.partition("=")
        if tea not in PRICES:
            raise SystemExit(f"no {tea} today; there is {listed(sorted(PRICES, key=natural), 'or')}")
        cups[tea] = cups.get(tea, 0) + int(count or 1)
    return cups


def main(args=None):
    menu = Menu("EUR")
    for tea, price in PRICES.items():
        menu.add(tea, price)
    cups = order(args if args is not None else sys.argv[1:])
    if not cups:
        print(menu)
        return
    print(listed(f"{plural(n, 'cup')} of {tea}" for tea, n in cups.items()))
    print(paint(str(menu.bill(cups)), "bold"))


if __name__ == "__main__":
    main()
