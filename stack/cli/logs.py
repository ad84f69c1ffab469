"""Log lines that people read and programs take apart: key=value pairs on standard error.

at=2026-11-23T13:25:19.123Z level=info logger=stack.cli.serve message="stopped" seconds=12.3
"""

import logging
import sys
import time
from typing import Any, TextIO

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.,:/+@%()[]<>")
_LEVELS = {"DEBUG": "debug", "INFO": "info", "WARNING": "warning", "ERROR": "error", "CRITICAL": "critical"}


class KeyValueFormatter(logging.Formatter):
    """One record, one line; a traceback follows on lines of its own, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; fields come from `extra={"fields": {...}}`."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, Any] = {
            "at": f"{at}.{int(record.msecs):03}Z",
            "level": _LEVELS.get(record.levelname, record.levelname),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        line = " ".join(f"{key}={quote(value)}" for key, value in fields.items())
        if record.exc_info:
            line += "\n    " + self.formatException(record.exc_info).replace("\n", "\n    ")
        return line


def quote(value: object) -> str:
    """`value` as text; in quotes, with escapes, unless it is one plain word."""
    text = str(value)
    if text and _PLAIN.issuperset(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped) + '"'


def set_up(*, verbose: bool, stream: TextIO = sys.stderr) -> None:
    """Send all of the stack's log lines to `stream`: from level INFO on, or from DEBUG on when `verbose`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(KeyValueFormatter())
    logging.captureWarnings(True)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("stack").setLevel(logging.DEBUG if verbose else logging.INFO)
