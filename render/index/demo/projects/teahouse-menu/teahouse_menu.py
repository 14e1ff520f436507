"""A tea house's menu: entries, bills, and the menu as a table.

>>> menu = Menu("EUR")
>>> menu.add("Sencha", "3.50"); menu.add("Oolong", "4.20")
>>> menu.bill({"Sencha": 2, "Oolong": 1})
Money('11.20', 'EUR')
>>> print(menu)
Tea     Price
Sencha  3.50 EUR
Oolong  4.20 EUR
"""

from matcha_table import table
from samovar_money import Money

__version__ = "VERSION"


class Menu:
    """Teas and their prices, in one currency."""

    def __init__(self, currency):
        self.currency, self.prices = currency, {}

    def add(self, tea, price):
        self.prices[tea] = Money(price, self.currency)

    def bill(self, order):
        """Return the sum for an order, tea → cups."""
        total = Money(0, self.currency)
        for tea, cups in order.items():
            total += self.prices[tea] * cups
        return total

    def __str__(self):
        return table([[tea, str(price)] for tea, price in self.prices.items()], head=["Tea", "Price"])

    def html(self):
        """Return the menu as HTML; needs the extra "html"."""
        from porcelain_html import items

        return items(f"{tea}: {price}" for tea, price in self.prices.items())
