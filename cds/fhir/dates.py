"""What a FHIR date, dateTime or instant says, as written: its first moment, and how a doctor reads it (R4 2.24.0)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

_TEXT = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

#: The largest offset from UTC that FHIR's pattern lets a date-time have.
_LARGEST_OFFSET = timedelta(hours=14)


def earliest(text: str, timezone: tzinfo) -> datetime | None:
    """The first moment that `text` may mean; None for what is no date. Read in `timezone` where no offset is written.

    >>> earliest("2026-11", UTC).isoformat()
    '2026-11-01T00:00:00+00:00'
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        zone = datetime.strptime(offset, "%z").tzinfo if offset else timezone
        return datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")),
            zone,
        )
    except ValueError:
        return None


def latest(text: str, timezone: tzinfo) -> datetime | None:
    """The last moment, to the second, that `text` may mean; None for what is no date.

    >>> latest("2026-11", UTC).isoformat()
    '2026-11-30T23:59:59+00:00'
    """
    start = earliest(text, timezone)
    if start is None or len(text) > len("2026-11-20"):
        return start
    try:
        if len(text) == len("2026"):
            after = start.replace(year=start.year + 1)
        elif len(text) == len("2026-11"):
            after = (start + timedelta(days=31)).replace(day=1)
        else:
            after = start + timedelta(days=1)
    except (OverflowError, ValueError):
        return start
    return after - timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where the past ends: `now`, for dates whose zone is `timezone` where none is written."""

    now: datetime
    timezone: tzinfo = UTC
    _past: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        now = self.now if self.now.tzinfo else self.now.replace(tzinfo=self.timezone)
        object.__setattr__(self, "now", now)
        # Any date written with a calendar day before this one is past, whatever its offset: no need to parse it.
        object.__setattr__(self, "_past", (now.astimezone(UTC) - _LARGEST_OFFSET).date().isoformat())

    def lies_ahead(self, text: str) -> bool:
        """Whether the whole of what `text` may mean is after now; never for what is no date."""
        if text < self._past:
            return False
        start = earliest(text, self.timezone)
        return start is not None and start > self.now


def in_words(text: str) -> str:
    """The calendar date as written, no finer and no coarser: ``2 Nov 2026``, ``Nov 2026``, ``2026``.

    What is no date comes back as it is.

    >>> in_words("2026-11-02T23:30:00-05:00")
    '2 Nov 2026'
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        return text
    year, month, day = match.group(1, 2, 3)
    if month and not 1 <= int(month) <= 12:
        return text
    return " ".join(
        part for part in (str(int(day)) if day else "", _MONTHS[int(month) - 1] if month else "", year) if part
    )
