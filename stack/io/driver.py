"""The loop that brings a host, a TAP device and the clock together.

One turn: wait for frames or the next deadline, hand the host what has come and what time it is, let the applications
act, and write what the host has to send. Everything happens in one thread, and one turn's work is bounded by the
size of the receive ring.
"""

import logging
import select
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from stack import fastpath
from stack.clock import MILLISECOND, SECOND, Instant
from stack.errors import DeviceError
from stack.events import Subject
from stack.fastpath.ring import FrameRing
from stack.host import Host
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.states import State

GRACE: Final = 750 * MILLISECOND  # how long stop() lets connections finish before it resets them
BATCH: Final = 256  # frames of one turn
# The peer has everything that we sent it, our FIN included.
_NOTHING_TO_LOSE: Final = frozenset({State.FIN_WAIT_2, State.TIME_WAIT, State.CLOSED})

logger = logging.getLogger(__name__)


class Device(Protocol):
    """Where frames come from and go to: a Tap, or a datagram socket in tests."""

    name: str

    def fileno(self) -> int:
        """The non-blocking file descriptor; one read or write is one frame (with offload, behind a virtio header)."""


class Driver:
    """Runs `host` with its interface `port` on `device`.

    `trouble` says what has become of the device, or None; it is asked when the device fails and by check_device().
    """

    def __init__(
        self, host: Host, device: Device, port: int = 0, *, trouble: Callable[[], str | None] = lambda: None
    ) -> None:
        self.host = host
        self.frames_refused = 0
        """Frames that the kernel did not take."""
        self._device = device
        self._port = port
        self._trouble = trouble
        interface = host.interfaces[port]
        self._ring = FrameRing.of_link(interface.mtu, offload=interface.offload, max_frames=BATCH)
        self._epoll = select.epoll()
        self._epoll.register(device.fileno(), select.EPOLLIN)
        self._watched: dict[int, Callable[[], None]] = {}
        self._on_stop: Callable[[Instant], None] | None = None
        self._stop_requested = 0
        self._stop_at: Instant | None = None
        self._now: Instant = time.monotonic_ns()

    def now(self) -> Instant:
        """The instant at which the present turn takes place."""
        return self._now

    def watch(self, fileno: int, action: Callable[[], None]) -> None:
        """Call `action` between turns whenever `fileno` is readable; it is to read it."""
        self._epoll.register(fileno, select.EPOLLIN)
        self._watched[fileno] = action

    def stop(self) -> None:
        """End run() within GRACE: connections may finish, those that have not are then reset. Twice: reset at once."""
        self._stop_requested += 1

    def check_device(self) -> None:
        """Raise DeviceError if the device is gone or down."""
        if trouble := self._trouble():
            raise DeviceError(f"TAP {self._device.name!r} {trouble} while it was in use; start again to make it anew")

    def run(self, on_stop: Callable[[Instant], None]) -> None:
        """Serve until stop(); `on_stop` then tells the application to take no more. Raises DeviceError."""
        self._on_stop = on_stop
        with self._epoll:
            self._flush()
            while not self._finished():
                self._turn()
            self._abort_all()
            self._flush()

    def _turn(self) -> None:
        deadline = self._next_deadline()
        ready = self._epoll.poll(self._timeout(deadline))
        now = max(self._now, time.monotonic_ns())
        if not ready and deadline is not None and now < deadline:
            now = deadline  # woken early, by a clock that ticks coarser than ours: waiting again would spin
        self._now = now
        for fileno, _ in ready:
            if fileno in self._watched:
                self._watched[fileno]()
            else:
                self._receive()
        self._advance()
        self._dispatch()
        self._flush()

    def _next_deadline(self) -> Instant | None:
        deadline = self.host.deadline()
        if self._stop_at is None:
            return deadline
        return self._stop_at if deadline is None else min(deadline, self._stop_at)

    def _timeout(self, deadline: Instant | None) -> float | None:
        if self._stop_requested and self._stop_at is None:
            return 0
        return None if deadline is None else max(0, deadline - time.monotonic_ns()) / SECOND

    def _receive(self) -> None:
        ring = self._ring
        ring.clear()
        try:
            count = fastpath.read_frames(self._device.fileno(), ring)
        except OSError as error:
            raise self._failure(error) from None
        if count:
            self.host.receive(self._port, ring, self._now)

    def _advance(self) -> None:
        try:
            self.host.advance(self._now)
        except Exception:
            # A timer fires once, whatever its action does: the others still have to run.
            logger.exception("a timer's action failed; going on")

    def _dispatch(self) -> None:
        """Tell the applications what has happened, until nothing more happens."""
        while events := self.host.take_events():
            for subject, kinds in events:
                if subject.handler:
                    try:
                        subject.handler(kinds, self._now)
                    except Exception:
                        self._give_up(subject)

    def _give_up(self, subject: Subject) -> None:
        """An application has failed on `subject`: that is the end of this connection, not of the daemon."""
        if isinstance(subject, Connection):
            logger.exception("the application failed on %s; connection aborted", subject.key)
            subject.handler = None
            self.host.abort(subject, self._now)
        else:
            logger.exception("the application failed on %r; going on", subject)

    def _flush(self) -> None:
        fd = self._device.fileno()
        while frames := self.host.take_frames(self._port):
            try:
                taken = fastpath.write_frames(fd, frames)
            except OSError as error:
                raise self._failure(error) from None
            self.frames_refused += len(frames) - taken
            frames.clear()

    def _failure(self, error: OSError) -> DeviceError:
        self.check_device()
        return DeviceError(f"TAP {self._device.name!r} has failed: {error.strerror}")

    def _finished(self) -> bool:
        """Whether run() is to end; begins to stop when that has been asked for."""
        if not self._stop_requested:
            return False
        if self._stop_at is None:
            self._stop_at = self._now + GRACE
            self._tell_application()
            self._dispatch()
            self._flush()
        return self._stop_requested > 1 or self._now >= self._stop_at or not self._unfinished()

    def _tell_application(self) -> None:
        try:
            if self._on_stop:
                self._on_stop(self._now)
        except Exception:
            logger.exception("the application failed to stop; ending its connections")

    def _unfinished(self) -> list[Connection]:
        return [each for each in self.host.connections() if each.state not in _NOTHING_TO_LOSE]

    def _abort_all(self) -> None:
        for connection in self._unfinished():
            self.host.abort(connection, self._now)
        with suppress(Exception):  # applications get their last word, and no chance to fail now
            self.host.dispatch(self._now)
