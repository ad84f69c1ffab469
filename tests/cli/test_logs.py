"""One record, one line, whatever is in it."""

import io
import logging
import warnings
from collections.abc import Iterator

import pytest

from stack.cli import logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged; the process's logging is put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("stack")
    before = (list(root.handlers), root.level, ours.level)
    stream = io.StringIO()
    logs.set_up(verbose=False, stream=stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers, level, ours_level = before
    root.setLevel(level)
    ours.setLevel(ours_level)


def test_a_line_is_key_value_pairs(lines: io.StringIO) -> None:
    logging.getLogger("stack.x").info("a request", extra={"fields": {"path": "/a b", "status": 200, "empty": ""}})
    line = lines.getvalue()
    assert line.startswith("at=20") and line.endswith("\n")
    assert ' level=info logger=stack.x message="a request" path="/a b" status=200 empty=""' in line


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("plain", "plain"),
        ('say "hi"', r'"say \"hi\""'),
        ("two\nlines", r'"two\nlines"'),
        ("a\\b", r'"a\\b"'),
        ("\x1b[31m", r'"\x1b[31m"'),
        ("a=b", '"a=b"'),
    ],
)
def test_a_value_cannot_leave_its_place(value: str, quoted: str) -> None:
    assert logs.quote(value) == quoted


def test_debug_lines_are_for_the_verbose(lines: io.StringIO) -> None:
    logging.getLogger("stack.x").debug("detail")
    assert lines.getvalue() == ""
    logs.set_up(verbose=True, stream=lines)
    logging.getLogger("stack.x").debug("detail")
    assert "level=debug" in lines.getvalue()


def test_a_traceback_follows_indented(lines: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("stack.x").exception("failed")
    first, *rest = lines.getvalue().splitlines()
    assert first.endswith("message=failed") and rest[-1] == "    ValueError: broken"
    assert all(line.startswith("    ") for line in rest)


def test_warnings_are_lines_too(lines: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("be careful", stacklevel=1)
    assert "level=warning logger=py.warnings" in lines.getvalue()
