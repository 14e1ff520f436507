"""Working days, weeks and seasons.

>>> import datetime
>>> friday = datetime.date(2026, 3, 13)
>>> add_working_days(friday, 1)
datetime.date(2026, 3, 16)
>>> flush(friday)
'first flush'
"""

import datetime

__version__ = "VERSION"

DAY = datetime.timedelta(days=1)


def is_working_day(day, holidays=()):
    """Report whether people work on a day: Monday to Friday, and no holiday."""
    return day.weekday() < 5 and day not in holidays


def add_working_days(day, count, holidays=()):
    """Return the working day that is so many later."""
    while count > 0:
        day += DAY
        if is_working_day(day, holidays):
            count -= 1
    return day


def working_days(first, last, holidays=()):
    """Count the working days from first to last, both included.

    >>> working_days(datetime.date(2026, 3, 9), datetime.date(2026, 3, 15))
    5
    """
    days = (last - first).days + 1
    return sum(is_working_day(first + n * DAY, holidays) for n in range(days))


def flush(day):
    """Return the harvest a day belongs to."""
    for name, last in (("rest", (2, 20)), ("first flush", (4, 30)), ("second flush", (6, 30)), ("monsoon flush", (9, 30)), ("autumn flush", (11, 20))):
        if (day.month, day.day) <= last:
            return name
    return "rest"
