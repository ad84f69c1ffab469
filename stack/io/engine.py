"""What every loop does with a host on a device: frames in, time on, applications told, frames out.

Whose loop it is makes no difference: stack.io.driver has one of its own, stack.aio lives in asyncio's. A turn is

    receive(now)    once the device is readable: at most a batch of frames, so a turn's work is bounded
    settle(now)     fire the timers that are due, and let the applications see what has happened
    flush()         write what is to be sent
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from stack import fastpath
from stack.clock import Instant
from stack.errors import DeviceError
from stack.events import Subject
from stack.fastpath.ring import FrameRing
from stack.host import Host
from stack.io.heap import keep_what_is_freed
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.states import State

BATCH: Final = 256  # frames of one turn
# The peer has everything that we sent it, our FIN included.
_NOTHING_TO_LOSE: Final = frozenset({State.FIN_WAIT_2, State.TIME_WAIT, State.CLOSED})

logger = logging.getLogger(__name__)


class Device(Protocol):
    """Where frames come from and go to: a Tap, or a datagram socket in tests."""

    name: str

    def fileno(self) -> int:
        """The non-blocking file descriptor; one read or write is one frame (with offload, behind a virtio header)."""


class Engine:
    """Moves the frames of `host`'s interface `port` from and to `device`.

    `trouble` says what has become of the device, or None; it is asked when the device fails and by check_device().
    """

    def __init__(
        self, host: Host, device: Device, port: int = 0, *, trouble: Callable[[], str | None] = lambda: None
    ) -> None:
        self.host = host
        self.audience: Callable[[Subject], bool] | None = None
        """Who may be told now of what happens; the others will be when they may. None: everybody may."""
        self.frames_refused = 0
        """Frames that the kernel did not take."""
        self._device = device
        self._port = port
        self._trouble = trouble
        self._held: dict[Subject, int] = {}  # what those have not been told who may not be told now
        keep_what_is_freed()
        interface = host.interfaces[port]
        self._ring = FrameRing.of_link(interface.mtu, offload=interface.offload, max_frames=BATCH)

    def fileno(self) -> int:
        """The device's file descriptor, for a selector: readable when receive() has something to do."""
        return self._device.fileno()

    def check_device(self) -> None:
        """Raise DeviceError if the device is gone or down."""
        if trouble := self._trouble():
            raise device_lost(self._device.name, trouble)

    def receive(self, now: Instant) -> bool:
        """Hand the host a batch of what has arrived; False: nothing had. Raises DeviceError."""
        ring = self._ring
        ring.clear()
        try:
            count = fastpath.read_frames(self._device.fileno(), ring)
        except OSError as error:
            raise self._failure(error) from None
        if count:
            self.host.receive(self._port, ring, now)
        return count > 0

    def settle(self, now: Instant) -> None:
        """Fire the timers that are due, then tell the applications what has happened, until nothing more happens."""
        try:
            self.host.advance(now)
        except Exception:
            # A timer fires once, whatever its action does: the others still have to run.
            logger.exception("a timer's action failed; going on")
        self.dispatch(now)

    def dispatch(self, now: Instant) -> bool:
        """Tell the applications what has happened, until nothing more happens; False: nothing had."""
        if self.audience is None and not self._held:
            return dispatch(self.host, now)
        events, self._held = list(self._held.items()), {}
        events += self.host.take_events()
        happened = False
        while events:
            for subject, kinds in events:
                if self.audience is None or self.audience(subject):
                    happened = True
                    _tell(self.host, subject, kinds, now)
                elif subject.handler is not None:
                    self._held[subject] = self._held.get(subject, 0) | kinds
            events = self.host.take_events()
        return happened

    def forget_held(self) -> None:
        """Those who could not be told will not be any more: they are gone."""
        self._held.clear()

    def flush(self) -> None:
        """Write what the host has to send. Raises DeviceError."""
        fd = self._device.fileno()
        while frames := self.host.take_frames(self._port):
            try:
                taken = fastpath.write_frames(fd, frames)
            except OSError as error:
                raise self._failure(error) from None
            self.frames_refused += len(frames) - taken
            frames.clear()

    def deadline(self) -> Instant | None:
        """When to call settle() at the latest, if at all."""
        return 0 if self.host.has_events else self.host.deadline()

    def unfinished(self) -> list[Connection]:
        """Connections whose peer does not have everything yet."""
        return [each for each in self.host.connections() if each.state not in _NOTHING_TO_LOSE]

    def abort_all(self, now: Instant) -> None:
        """Reset what is unfinished; flush() then tells the peers."""
        for connection in self.unfinished():
            self.host.abort(connection, now)
        with suppress(Exception):  # applications get their last word, and no chance to fail now
            self.host.dispatch(now)

    def _failure(self, error: OSError) -> DeviceError:
        self.check_device()
        return DeviceError(f"TAP {self._device.name!r} has failed: {error.strerror}")


def device_lost(name: str, trouble: str) -> DeviceError:
    """What to raise when `trouble` has come over the device; see Engine."""
    return DeviceError(f"TAP {name!r} {trouble} while it was in use; start again to have it created again")


def dispatch(host: Host, now: Instant) -> bool:
    """Tell `host`'s applications what has happened, until nothing more happens; False: nothing had.

    An application that fails on a connection loses it, and nothing else.
    """
    happened = False
    while events := host.take_events():
        happened = True
        for subject, kinds in events:
            _tell(host, subject, kinds, now)
    return happened


def _tell(host: Host, subject: Subject, kinds: int, now: Instant) -> None:
    if subject.handler:
        try:
            subject.handler(kinds, now)
        except Exception:
            _give_up(host, subject, now)


def _give_up(host: Host, subject: Subject, now: Instant) -> None:
    if isinstance(subject, Connection):
        logger.exception("the application failed on %s; connection aborted", subject.key)
        subject.handler = None
        host.abort(subject, now)
    else:
        logger.exception("the application failed on %r; going on", subject)
