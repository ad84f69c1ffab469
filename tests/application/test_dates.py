"""Dates of HTTP, against the standard library's."""

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.application.http.dates import WallClock, format_date, parse_date
from stack.clock import SECOND

NOW = 1_790_000_000
seconds = st.integers(0, 253_402_300_799)


@given(seconds)
def test_as_the_standard_library_writes_them(at: int) -> None:
    text = format_date(at)
    assert text == format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)
    assert parse_date(text, NOW) == at
    assert (
        parse_date(
            datetime.fromtimestamp(at, UTC)
            .strftime("%a %b %e %H:%M:%S %Y")
            .replace(f" {datetime.fromtimestamp(at, UTC).year}", f" {datetime.fromtimestamp(at, UTC).year:04}"),
            NOW,
        )
        == at
    )


@given(
    st.text(max_size=40)
    | seconds.map(format_date).flatmap(
        lambda text: st.integers(0, len(text) - 1).flatmap(
            lambda at: st.characters().map(lambda c: text[:at] + c + text[at + 1 :])
        )
    )
)
def test_anything_else_is_no_date(text: str) -> None:
    at = parse_date(text, NOW)
    if at is not None and text.endswith("GMT") and "," in text:
        parsed = parsedate_to_datetime(text)
        assert int(parsed.timestamp()) == at


@pytest.mark.parametrize(("year", "meant"), [("26", 2026), ("76", 2076), ("77", 1977), ("00", 2000), ("99", 1999)])
def test_two_digits_of_a_year(year: str, meant: int) -> None:
    at = parse_date(f"Monday, 01-Jan-{year} 00:00:00 GMT", NOW)
    assert at is not None and datetime.fromtimestamp(at, UTC).year == meant


@pytest.mark.parametrize("text", [
    None, "", "0", "Mon, 21 Sep 2026 14:13:20", "Mon, 21 Sep 2026 14:13:20 UTC", "Mon, 21 Sep 2026 24:00:00 GMT",
    "Mon, 31 Sep 2026 14:13:20 GMT", "Mon, 00 Sep 2026 14:13:20 GMT", "Mon, 21 sep 2026 14:13:20 GMT",
    "Mon, 21 Sep 1969 14:13:20 GMT", "Mon, 21 Sep 2026 14:60:20 GMT", "Mon,  1 Sep 2026 14:13:20 GMT",
])  # fmt: skip
def test_no_dates(text: str | None) -> None:
    assert parse_date(text, NOW) is None


def test_the_line_changes_with_the_second() -> None:
    clock = WallClock(NOW * SECOND + SECOND // 2)
    lines = [clock.date_line(at * SECOND // 4) for at in range(7)]
    assert lines[0] == lines[1] == b"Date: Mon, 21 Sep 2026 14:13:20 GMT\r\n"
    assert lines[2] == lines[5] == b"Date: Mon, 21 Sep 2026 14:13:21 GMT\r\n" != lines[6]
    assert clock.at(1) == NOW * SECOND + SECOND // 2 + 1
