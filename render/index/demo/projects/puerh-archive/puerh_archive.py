"""Which backups to keep: some of each day, week and month.

>>> import datetime
>>> days = [datetime.date(2026, 1, 1) + datetime.timedelta(n) for n in range(60)]
>>> len(keep(days, daily=7, weekly=4, monthly=2))
10
"""

__version__ = "VERSION"


def _newest(days, count, period):
    kept = {}
    for day in sorted(days, reverse=True):
        kept.setdefault(period(day), day)
    return set(sorted(kept.values(), reverse=True)[:count])


def keep(days, daily=7, weekly=4, monthly=12):
    """Return the days whose backups stay, oldest first.

    The newest of a week or a month stands for it.
    """
    days = set(days)
    chosen = _newest(days, daily, lambda d: d)
    chosen |= _newest(days, weekly, lambda d: d.isocalendar()[:2])
    chosen |= _newest(days, monthly, lambda d: (d.year, d.month))
    return sorted(chosen)


def drop(days, **counts):
    """Return the others.

    >>> import datetime
    >>> drop([datetime.date(2026, 1, 5), datetime.date(2026, 1, 6)], daily=1, weekly=1, monthly=1)
    [datetime.date(2026, 1, 5)]
    """
    return sorted(set(days) - set(keep(days, **counts)))
