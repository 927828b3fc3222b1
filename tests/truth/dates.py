"""Dates as charts write them, and windows before the first dose."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

from .three_valued import Known


@dataclass(frozen=True, slots=True)
class When:
    """A date as written: the text, and the first and last calendar day that it may mean."""

    text: str
    first: date
    last: date

    @classmethod
    def day(cls, day: date) -> When:
        """A full date."""
        return cls(day.isoformat(), day, day)

    @classmethod
    def hour(cls, day: date, hour: int, offset: str) -> When:
        """A date-time with an offset, which counts by its own local date."""
        return cls(f"{day.isoformat()}T{hour:02}:30:00{offset}", day, day)

    @classmethod
    def month(cls, day: date) -> When:
        """The month of `day` alone."""
        last = calendar.monthrange(day.year, day.month)[1]
        return cls(f"{day:%Y-%m}", day.replace(day=1), day.replace(day=last))

    @classmethod
    def year(cls, day: date) -> When:
        """The year of `day` alone."""
        return cls(f"{day.year:04}", date(day.year, 1, 1), date(day.year, 12, 31))


def days_before(index: date, days: int) -> date:
    return index - timedelta(days=days)


def months_before(index: date, months: int) -> date:
    """The same day of an earlier month, or that month's last day where it has no such day."""
    total = index.year * 12 + index.month - 1 - months
    year, month = divmod(total, 12)
    return date(year, month + 1, min(index.day, calendar.monthrange(year, month + 1)[1]))


def since(bound: date, when: When | None) -> Known:
    """Whether something happened on or after `bound`: windows are closed at their bound."""
    if when is None:
        return None
    if when.first >= bound:
        return True
    return False if when.last < bound else None


def full_years(birth: date, day: date) -> int:
    """The age on a day, in completed years; who was born on 29 February ages on 1 March in other years."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
