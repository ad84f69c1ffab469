"""Captures that cannot be written, at once or later: the frames of tests/kernel/test_serve.py are the others."""

import os
from pathlib import Path

import pytest

from stack.errors import DeviceError
from stack.fastpath.ring import FrameRing
from stack.io.capture import Capture, read_capture


def ring(count: int) -> FrameRing:
    frames = FrameRing(1514, count)
    for number in range(count):
        assert frames.append(bytes([number]) * 60)
    return frames


def capture(file: Path) -> Capture:
    return Capture(file, "tap0", "x86_64", "tapstack")


def test_a_named_pipe_without_a_reader_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DeviceError, match="pipe: nobody reads from this pipe yet"):
        capture(tmp_path / "pipe")


def test_a_reader_of_a_named_pipe_that_goes_ends_the_capture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    written = capture(tmp_path / "pipe")
    written.observe(True, 0, ring(3), 0)
    os.close(reader)
    for _ in range(2):
        written.observe(True, 0, ring(3), 0)
    assert written.frames == 3, "those that nobody got are not counted"
    assert [record.getMessage() for record in caplog.records] == ["the capture ends here after 3 frames: Broken pipe"]
    written.close()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = capture(tmp_path / "file")
    written.observe(False, 0, ring(2), 0)
    written.close()
    assert [frame.octets for frame in read_capture(tmp_path / "file")] == [bytes(60), b"\1" * 60]
    assert (tmp_path / "file").stat().st_mode & 0o111 == 0, "as a file that open() makes"
