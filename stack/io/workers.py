"""Several processes that do the same work, and one that starts, watches and ends them.

A worker is a fork, and does what `work` says. With the process that started it, the supervisor, it is joined by a
socket pair, its Channel: to the worker go requests, to the supervisor go reports, and the end of either shows as the
end of the other's stream. Workers heed no signals of a terminal or a service manager, which go to all processes at
once: what they are to do the supervisor tells them.
"""

import logging
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from stack.clock import SECOND, Duration
from stack.errors import DeviceError
from stack.io.signals import fork, ignore_in_child

READY: Final = b"ready"  # reports: it serves; what it has done; why it cannot go on
TOTALS: Final = b"totals "
TROUBLE: Final = b"trouble "
STOP: Final = b"stop"  # requests; the second to stop says: at once
STATISTICS: Final = b"statistics"

RESTARTS: Final = 5  # within RESTART_PERIOD; one more is the end
RESTART_PERIOD: Final = 60 * SECOND
STOP_WITHIN: Final = 1500 * SECOND // 1000  # a worker that has not ended by then is killed

_LONGEST: Final = 1 << 16

logger = logging.getLogger(__name__)


class Channel:
    """One end of what joins a worker and its supervisor."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def fileno(self) -> int:
        """The file descriptor, for a selector."""
        return self._socket.fileno()

    def send(self, message: bytes) -> None:
        """Send `message`; to one who has ended, in vain."""
        with suppress(OSError):
            self._socket.send(message)

    def receive(self) -> bytes:
        """The next message; b"" when the other is no more."""
        try:
            return self._socket.recv(_LONGEST)
        except OSError:
            return b""

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


class Watchable(Protocol):
    """Something to wait for."""

    def fileno(self) -> int:
        """The file descriptor."""


class Supervisor:
    """Runs `count` workers; `work(number, channel)` is what one does, in its process, until it is asked to stop.

    `work` reports READY and at the end TOTALS; TROUBLE, or a DeviceError that it raises, ends them all.
    """

    def __init__(self, count: int, work: Callable[[int, Channel], None]) -> None:
        self.totals: list[bytes] = []
        """What the workers have reported behind TOTALS."""
        self._work = work
        self._channels: dict[int, Channel] = {}  # by number, of those that run
        self._pids: dict[int, int] = {}
        self._ready: set[int] = set()
        self._count = count
        self._restarts: deque[Duration] = deque(maxlen=RESTARTS)
        self._selector = selectors.DefaultSelector()
        self._on_ready: Callable[[], None] | None = None
        self._stops = 0
        self._kill_at: Duration | None = None
        self._trouble: str | None = None

    def watch(self, source: Watchable, action: Callable[[], None]) -> None:
        """Call `action` whenever `source` is readable; it is to read it."""
        self._selector.register(source.fileno(), selectors.EVENT_READ, action)

    def stop(self) -> None:
        """Ask the workers to stop; a second time: at once."""
        self._stops += 1
        if self._kill_at is None:
            self._kill_at = time.monotonic_ns() + STOP_WITHIN
        self._tell(STOP)

    def tell_statistics(self) -> None:
        """Have every worker log what it has counted."""
        self._tell(STATISTICS)

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start the workers and wait until all have ended; `on_ready` is called when all serve. Raises DeviceError."""
        self._on_ready = on_ready
        try:
            for number in range(self._count):
                self._start(number)
            while self._channels:
                self._wait()
        finally:
            self._kill()
            self._selector.close()
        if self._trouble is not None:
            raise DeviceError(self._trouble)

    def _start(self, number: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = fork()
        if pid == 0:
            ours.close()
            self._be_worker(number, Channel(theirs))
        theirs.close()
        channel = self._channels[number] = Channel(ours)
        self._pids[number] = pid
        self._selector.register(channel, selectors.EVENT_READ, lambda: self._on_report(number, channel))

    def _be_worker(self, number: int, channel: Channel) -> None:
        """The child process. Never returns: nothing that the supervisor would undo is undone here."""
        code = 1
        try:
            ignore_in_child()
            for sibling in self._channels.values():
                sibling.close()
            self._work(number, channel)
            code = 0
        except DeviceError as error:
            channel.send(TROUBLE + str(error).encode())
        except BaseException:
            logger.exception("worker %d has failed", number)
        finally:
            logging.shutdown()
            os._exit(code)

    def _wait(self) -> None:
        timeout = None if self._kill_at is None else max(0, self._kill_at - time.monotonic_ns()) / SECOND
        for key, _ in self._selector.select(timeout):
            key.data()
        if self._kill_at is not None and time.monotonic_ns() >= self._kill_at:
            self._kill()

    def _on_report(self, number: int, channel: Channel) -> None:
        report = channel.receive()
        if report == READY:
            self._ready.add(number)
            if len(self._ready) == self._count and self._on_ready is not None:
                action, self._on_ready = self._on_ready, None
                action()
        elif report.startswith(TOTALS):
            self.totals.append(report.removeprefix(TOTALS))
        elif report.startswith(TROUBLE):
            if self._trouble is None:
                self._trouble = report.removeprefix(TROUBLE).decode()
                self.stop()
        elif not report:
            self._on_end(number)

    def _on_end(self, number: int) -> None:
        """Worker `number` is no more; unless it was to end, another takes its place."""
        channel, pid = self._channels.pop(number), self._pids.pop(number)
        self._selector.unregister(channel)
        channel.close()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if self._stops:
            return
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        now = time.monotonic_ns()
        if len(self._restarts) == RESTARTS and now - self._restarts[0] < RESTART_PERIOD:
            period = RESTART_PERIOD // SECOND
            self._trouble = f"worker {number} has ended {how}, after {RESTARTS} others within {period} s: giving up"
            self.stop()
            return
        self._restarts.append(now)
        logger.error("worker %d has ended %s; another takes its place", number, how)
        self._start(number)

    def _tell(self, request: bytes) -> None:
        for channel in self._channels.values():
            channel.send(request)

    def _kill(self) -> None:
        for number, pid in list(self._pids.items()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._stops += 1
            self._on_end(number)
