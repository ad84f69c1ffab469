"""Every frame of an interface into a file that Wireshark reads (pcapng), as an observer of the host."""

import errno
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.clock import Instant
from stack.errors import DeviceError
from stack.fastpath.ring import FrameRing
from stack.wire import pcapng

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One frame of a capture, and when it passed, in nanoseconds since 1970."""

    at: int
    octets: bytes


def read_capture(file: Path) -> Iterator[CapturedFrame]:
    """The frames of a file that Capture wrote, in order. Raises OSError."""
    for at, octets in pcapng.packets(file.read_bytes()):
        yield CapturedFrame(at, octets)


def _open(file: str, flags: int) -> int:
    """Open for writing, without waiting for the reader of a named pipe, where no signal could end us."""
    descriptor = os.open(file, flags | os.O_NONBLOCK, 0o666)
    os.set_blocking(descriptor, True)
    return descriptor


class Capture:
    """Writes frames to `file`, each batch at once so that the file can be followed. Raises DeviceError."""

    def __init__(self, file: Path, interface: str, hardware: str, application: str) -> None:
        self.frames = 0
        """How many have been written."""
        try:
            self._stream = open(file, "wb", opener=_open)  # noqa: SIM115
            self._stream.write(pcapng.section_header(hardware, "Linux", application))
            self._stream.write(pcapng.interface_description(interface, 0))
            self._stream.flush()
        except OSError as error:
            why = "nobody reads from this pipe yet" if error.errno == errno.ENXIO else error.strerror
            raise DeviceError(f"cannot write the capture file {file}: {why}") from None
        # An instant is counted from the machine's start, a capture's times from 1970.
        self._epoch = time.time_ns() - time.monotonic_ns()
        self._broken = False

    def observe(self, received: bool, port: int, frames: FrameRing, now: Instant) -> None:
        """Write `frames`; a full disk ends the capture, not the daemon."""
        if self._broken:
            return
        at = self._epoch + now
        direction = pcapng.INBOUND if received else pcapng.OUTBOUND
        try:
            for frame in frames:
                self._stream.write(pcapng.enhanced_packet(port, at, frame, len(frame), direction))
            self._stream.flush()
        except OSError as error:
            logger.warning("the capture ends here after %d frames: %s", self.frames, error.strerror)
            self._broken = True
            return
        self.frames += len(frames)

    def close(self) -> None:
        """Close the file."""
        try:
            self._stream.close()
        except OSError as error:
            logger.warning("the capture file is incomplete: %s", error.strerror)
