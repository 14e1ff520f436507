"""Exact amounts of money.

>>> price = Money("4.50", "EUR")
>>> price * 3
Money('13.50', 'EUR')
>>> Money("10.00", "EUR").split(3)
[Money('3.34', 'EUR'), Money('3.33', 'EUR'), Money('3.33', 'EUR')]
"""

from decimal import Decimal

__version__ = "VERSION"


class Money:
    """An amount in a currency of two decimals."""

    __slots__ = ("cents", "currency")

    def __init__(self, amount, currency):
        cents = Decimal(str(amount)) * 100
        if cents != int(cents):
            raise ValueError(f"{amount} has more than two decimals")
        self.cents, self.currency = int(cents), currency

    @classmethod
    def of_cents(cls, cents, currency):
        return cls(Decimal(cents) / 100, currency)

    def _same(self, other):
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} don't mix")
        return other.cents

    def __add__(self, other):
        return Money.of_cents(self.cents + self._same(other), self.currency)

    def __sub__(self, other):
        return Money.of_cents(self.cents - self._same(other), self.currency)

    def __mul__(self, count):
        return Money.of_cents(self.cents * count, self.currency)

    def __eq__(self, other):
        return isinstance(other, Money) and (self.cents, self.currency) == (other.cents, other.currency)

    def __hash__(self):
        return hash((self.cents, self.currency))

    def __lt__(self, other):
        return self.cents < self._same(other)

    def split(self, shares):
        """Share the amount without losing a cent."""
        each, rest = divmod(self.cents, shares)
        return [Money.of_cents(each + (n < rest), self.currency) for n in range(shares)]

    def __str__(self):
        return f"{Decimal(self.cents) / 100:.2f} {self.currency}"

    def __repr__(self):
        return f"Money('{Decimal(self.cents) / 100:.2f}', '{self.currency}')"
