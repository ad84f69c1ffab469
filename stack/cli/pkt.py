"""`tapstack pkt`: run scripts in packetdrill's language, in virtual time."""

import sys
from collections.abc import Sequence
from pathlib import Path

from stack.cli.output import written
from stack.errors import ConfigurationError
from stack.pkt.parser import parse
from stack.pkt.runner import run as run_script
from stack.pkt.syntax import ScriptError, ScriptFailure

_PASSED, _FAILED, _UNREADABLE = 0, 1, 2


def run(files: Sequence[Path], *, verbose: bool) -> int:
    """Run each of `files` and say how it went; the exit code is that of the worst."""
    with written():
        return max(_run_one(path, verbose) for path in files)


def _run_one(path: Path, verbose: bool) -> int:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"cannot read {path}: {why}") from None
    try:
        run_script(parse(text, str(path)), print if verbose else _quiet)
    except ScriptError as error:
        print(error, file=sys.stderr)
        return _UNREADABLE
    except ScriptFailure as failure:
        print(f"failed {failure}")
        return _FAILED
    print(f"ok {path}")
    return _PASSED


def _quiet(line: str) -> None:
    """Say nothing of what happens."""
