"""Standard output that is closed, full, or read by nobody any more: never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.cli import fetch

SCRIPT = Path(__file__).parents[1] / "pkt" / "handshake" / "active.pkt"
COMMAND = f"'{sys.executable}' -m stack.cli.main"


@pytest.fixture(autouse=True, params=["", "1"], ids=["buffered", "unbuffered"])
def buffering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


def run(command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("count", [1, 200], ids=["at the end", "in the middle"])
def test_a_full_disk_is_told(count: int) -> None:
    done = run(f"{COMMAND} pkt {f'{SCRIPT} ' * count} >/dev/full")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tapstack: cannot write to standard output: No space left on device\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "stack.cli.main", "pkt", *[str(SCRIPT)] * 200]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str) -> None:
    done = run(f"{COMMAND} pkt {SCRIPT} {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_content_that_cannot_be_written() -> None:
    """In the middle, or only at the end: what is written to a file may wait for its flush."""
    for size in (1 << 20, 1):
        no_space = pytest.raises(fetch._Failure, match="cannot write /dev/full: No space left on device")
        with no_space as caught, fetch._output(Path("/dev/full")) as write:
            write(bytes(size))
        assert caught.value.code == 23


@pytest.mark.parametrize(
    ("url", "path"),
    [("10.77.0.1", "/"), ("http://10.77.0.1/\u00fc?q=%20[a]#part", "/%C3%BC?q=%20[a]"), ("http://x?a", "/?a")],
)
def test_the_target_of_a_url(url: str, path: str) -> None:
    assert fetch.Target.of(url).path == path
