"""Every counter in the table is counted somewhere, and nothing is counted that is not in the table."""

import re
from pathlib import Path

from stack.counters import COUNTERS

STACK = Path(__file__).resolve().parent.parent / "stack"
SOURCES = "".join(path.read_text() for path in STACK.rglob("*.py") if path.name != "counters.py")


def test_every_counter_is_used():
    assert [name for name in COUNTERS if f'"{name}"' not in SOURCES] == []


def test_every_name_that_is_counted_is_in_the_table():
    counted = re.findall(r'counters\["(\w+)"\]', SOURCES)
    assert len(counted) > 50
    assert sorted(set(counted) - COUNTERS.keys()) == []
