"""The code, the table of counters and its page agree: what is counted is in them, and what is in them is counted."""

import re
from pathlib import Path

from stack.counters import COUNTERS

STACK = Path(__file__).resolve().parent.parent / "stack"
PAGE = STACK.parent / "docs" / "counters.md"
SOURCES = "".join(path.read_text() for path in STACK.rglob("*.py") if path.name != "counters.py")


def test_every_counter_is_used():
    assert [name for name in COUNTERS if f'"{name}"' not in SOURCES] == []


def test_every_name_that_is_counted_is_in_the_table():
    counted = re.findall(r'counters\["(\w+)"\]', SOURCES)
    assert len(counted) > 50
    assert sorted(set(counted) - COUNTERS.keys()) == []


def test_the_page_has_every_counter_with_its_meaning_and_where_it_is_defined():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (RFC \d+|nstat|ours) \|$", PAGE.read_text(), re.MULTILINE)
    assert [(name, meaning) for name, meaning, _ in rows] == list(COUNTERS.items())


def test_linuxs_names_are_said_to_be_linuxs():
    for name, source in re.findall(r"^\| `(\w+)` .* \| (.+) \|$", PAGE.read_text(), re.MULTILINE):
        if name.startswith(("TcpExt", "IpExt")):
            assert source == "nstat", name
        if name.startswith(("Eth", "Arp")):
            assert source == "ours", name
