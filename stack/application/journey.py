"""The journey of the request that asks for it."""

from collections.abc import Iterable
from typing import Protocol

from stack.clock import Instant
from stack.octets import Octets


class RecordedFrame(Protocol):
    """A frame that was seen: when, in which direction, on which interface."""

    @property
    def instant(self) -> Instant:
        """When."""

    @property
    def received(self) -> bool:
        """Whether it came in."""

    @property
    def port(self) -> int:
        """The interface."""

    @property
    def octets(self) -> Octets:
        """The frame."""


class Recorder(Protocol):
    """Who remembers the last frames: stack.virtual.capture.FlightRecorder."""

    def frames(self) -> Iterable[RecordedFrame]:
        """The frames still remembered, oldest first."""
