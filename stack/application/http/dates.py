"""Dates of HTTP (RFC 9110 section 5.6.7): one format to send, three to understand."""

import calendar
import re
import time
from typing import Final

from stack.clock import SECOND, Duration, Instant

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTHS)})"
_FORMATS: Final = (
    re.compile(rf"(?:{'|'.join(_DAYS)}), (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT"),  # IMF-fixdate
    re.compile(rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT"),
    re.compile(rf"(?:{'|'.join(_DAYS)}) {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})"),  # asctime
)
_FIFTY_YEARS: Final = 50


def format_date(seconds: int) -> str:
    """`seconds` since 1970 as IMF-fixdate; by hand, since strftime() speaks the user's language."""
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds)[:7]
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT"


def parse_date(text: str | None, now: int) -> int | None:
    """Seconds since 1970, or None when `text` is no date. `now`, likewise, tells the century of a two-digit year."""
    if text is None:
        return None
    for pattern in _FORMATS:
        if match := pattern.fullmatch(text):
            break
    else:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        this_year = time.gmtime(now).tm_year
        year += this_year - this_year % 100
        if year > this_year + _FIFTY_YEARS:  # it is then the most recent past year with these digits
            year -= 100
    month, day = _MONTHS.index(match["month"]) + 1, int(match["day"])
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if not year >= 1970 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    return calendar.timegm((year, month, day, hour, minute, second))


class WallClock:
    """Turns the host's instants into dates; the octets of the present one are made once a second."""

    __slots__ = ("_date", "_offset", "_valid_until")

    def __init__(self, offset: Duration) -> None:
        self._offset = offset
        self._valid_until: Instant = 0
        self._date = b""

    def at(self, now: Instant) -> Instant:
        """Nanoseconds since 1970."""
        return now + self._offset

    def date_line(self, now: Instant) -> bytes:
        """The Date field with its end of line."""
        if now >= self._valid_until:
            seconds = (now + self._offset) // SECOND
            self._date = f"Date: {format_date(seconds)}\r\n".encode("ascii")
            self._valid_until = (seconds + 1) * SECOND - self._offset
        return self._date
