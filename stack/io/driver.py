"""The loop that brings a host, a TAP device and the clock together.

One turn: wait for frames or the next deadline, hand the host what has come and what time it is, let the applications
act, and write what the host has to send (stack.io.engine). Everything happens in one thread, and one turn's work is
bounded by the size of the receive ring.
"""

import logging
import select
import time
from collections.abc import Callable
from typing import Final

from stack.clock import MILLISECOND, SECOND, Instant
from stack.host import Host
from stack.io.engine import Device, Engine
from stack.io.waiting import Waiting

GRACE: Final = 750 * MILLISECOND  # how long stop() lets connections finish before it resets them
_UNWATCHED_TURNS: Final = 16  # as long as frames arrive, so many turns go by without a look at anything else

logger = logging.getLogger(__name__)


class Driver:
    """Runs `host` with its interface `port` on `device`.

    `trouble` says what has become of the device, or None; it is asked when the device fails and by check_device().
    `loops` drivers share the device's work, each in a process of its own.
    """

    def __init__(
        self,
        host: Host,
        device: Device,
        port: int = 0,
        *,
        trouble: Callable[[], str | None] = lambda: None,
        loops: int = 1,
    ) -> None:
        self.host = host
        self._engine = Engine(host, device, port, trouble=trouble)
        self._epoll = select.epoll()
        self._epoll.register(device.fileno(), select.EPOLLIN)
        self._waiting = Waiting(loops)
        self._watched: dict[int, Callable[[], None]] = {}
        self._on_stop: Callable[[Instant], None] | None = None
        self._stop_requested = 0
        self._stop_at: Instant | None = None
        self._now: Instant = time.monotonic_ns()
        self._unwatched = 0  # turns that may still go by so

    @property
    def frames_refused(self) -> int:
        """Frames that the kernel did not take."""
        return self._engine.frames_refused

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
        self._engine.check_device()

    def run(self, on_stop: Callable[[Instant], None]) -> None:
        """Serve until stop(); `on_stop` then tells the application to take no more. Raises DeviceError."""
        self._on_stop = on_stop
        engine = self._engine
        with self._epoll:
            engine.flush()
            while not self._finished():
                self._turn()
            engine.abort_all(self._now)
            engine.flush()

    def _turn(self) -> None:
        if not self._read_on():
            self._wait()
        self._engine.settle(self._now)
        self._engine.flush()

    def _read_on(self) -> bool:
        """Where frames have just arrived, there are often more by now: without waiting, and asking how long."""
        if not self._unwatched:
            return False
        self._unwatched -= 1
        self._now = max(self._now, time.monotonic_ns())
        return self._engine.receive(self._now)

    def _wait(self) -> None:
        """Wait for frames, what is watched, or the next deadline."""
        deadline = self._next_deadline()
        ready = self._waiting.wait(self._epoll.poll, self._timeout(deadline))
        now = max(self._now, time.monotonic_ns())
        if not ready and deadline is not None and now < deadline:
            now = deadline  # woken early, by a clock that ticks coarser than ours: waiting again would spin
        self._now = now
        self._unwatched = 0
        for fileno, _ in ready:
            if fileno in self._watched:
                self._watched[fileno]()
            elif self._engine.receive(now):
                self._unwatched = _UNWATCHED_TURNS

    def _next_deadline(self) -> Instant | None:
        deadline = self._engine.deadline()
        if self._stop_at is None:
            return deadline
        return self._stop_at if deadline is None else min(deadline, self._stop_at)

    def _timeout(self, deadline: Instant | None) -> float | None:
        if self._stop_requested and self._stop_at is None:
            return 0
        return None if deadline is None else max(0, deadline - time.monotonic_ns()) / SECOND

    def _finished(self) -> bool:
        """Whether run() is to end; begins to stop when that has been asked for."""
        if not self._stop_requested:
            return False
        engine = self._engine
        if self._stop_at is None:
            self._stop_at = self._now + GRACE
            self._tell_application()
            engine.dispatch(self._now)
            engine.flush()
        return self._stop_requested > 1 or self._now >= self._stop_at or not engine.unfinished()

    def _tell_application(self) -> None:
        try:
            if self._on_stop:
                self._on_stop(self._now)
        except Exception:
            logger.exception("the application failed to stop; ending its connections")
