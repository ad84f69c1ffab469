"""Every frame of an interface into a file that Wireshark reads (pcapng), as an observer of the host."""

import logging
import time
from pathlib import Path

from stack.clock import Instant
from stack.errors import DeviceError
from stack.fastpath.ring import FrameRing
from stack.wire import pcapng

logger = logging.getLogger(__name__)


class Capture:
    """Writes frames to `file`, each batch at once so that the file can be followed. Raises DeviceError."""

    def __init__(self, file: Path, interface: str, hardware: str, application: str) -> None:
        self.frames = 0
        """How many have been written."""
        try:
            self._stream = file.open("wb")
            self._stream.write(pcapng.section_header(hardware, "Linux", application))
            self._stream.write(pcapng.interface_description(interface, 0))
            self._stream.flush()
        except OSError as error:
            raise DeviceError(f"cannot write the capture file {file}: {error.strerror}") from None
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
        self.frames += len(frames)

    def close(self) -> None:
        """Close the file."""
        try:
            self._stream.close()
        except OSError as error:
            logger.warning("the capture file is incomplete: %s", error.strerror)
