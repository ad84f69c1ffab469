"""What is under an event loop's hosts, and whose time it is: TAP devices in real time, or a network in virtual time.

Theory. A loop asks its selector once a tick: what is ready, and wait no longer than this. That is the one moment when
nothing else runs, so everything the stack does happens there: what was written during the tick is sent (all of it
together, which is why two writes of an answer are one segment), the wait is cut short by the stack's next timer, what
has arrived is taken, and the transports call their protocols right there.
"""

import asyncio
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, Protocol, TypeVar

from stack.clock import MILLISECOND, SECOND, Instant
from stack.errors import DeviceError
from stack.host import Host
from stack.io.engine import Engine, dispatch
from stack.io.waiting import Waiting
from stack.virtual.network import Network

GRACE: Final = 750 * MILLISECOND  # how long close() lets connections finish before it resets them
_SHORTEST: Final = 0.000_001  # s; asyncio's time is a float, and a wait that is shorter than its last digit never ends
_PATIENCE: Final = 1.0  # s of real time; a thread that takes longer may be waiting for the network itself

_Events = TypeVar("_Events")
Poll = Callable[[float | None], Sequence[_Events]]


class Underlay(Protocol):
    """Carries hosts. Instants are the hosts' own; the loop's time is the same in seconds."""

    @property
    def hosts(self) -> Sequence[Host]:
        """The hosts."""

    def now(self) -> Instant:
        """The instant of a call into a host that is made now."""

    def filenos(self) -> Sequence[int]:
        """What the selector has to watch for us, for reading."""

    def turn(self, poll: "Poll[_Events]", timeout: float | None) -> "Sequence[_Events]":
        """Send what is to be sent, wait for `timeout` s at most, take what has arrived; returns what poll() did."""

    def rest(self) -> None:
        """The loop does not run any more: send what its last turn has led to, since nothing else will."""

    def close(self) -> None:
        """Let connections that the application has closed finish, for GRACE at most, and end the others."""


class Devices:
    """Hosts on devices, in real time."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.hosts = [engine.host for engine in engines]
        self.engines = tuple(engines)
        self._resources = ExitStack()
        self._waiting = Waiting()
        self._now: Instant = time.monotonic_ns()
        self._failure: DeviceError | None = None

    def own(self, resources: ExitStack) -> None:
        """Close `resources` in close()."""
        self._resources.push(resources)

    def check(self) -> None:
        """Have the next turn raise DeviceError if a device is gone or down: to be called when one has changed."""
        for engine in self.engines:
            try:
                engine.check_device()
            except DeviceError as error:
                self._failure = error

    def now(self) -> Instant:
        """CLOCK_MONOTONIC, but never before what a host has been told already."""
        self._now = max(self._now, time.monotonic_ns())
        return self._now

    def filenos(self) -> Sequence[int]:
        """The devices."""
        return [engine.fileno() for engine in self.engines]

    def turn(self, poll: Poll[_Events], timeout: float | None) -> Sequence[_Events]:
        """One turn of every engine, around the wait. Raises DeviceError, once: then the loop has no stack any more."""
        with self._no_longer_if_it_fails():
            if self._send():
                timeout = 0  # what calls from outside have led to: the loop may have something to run now
            left = self._time_left()
            if left is not None:
                timeout = left if timeout is None else min(left, timeout)
            ready = self._waiting.wait(poll, timeout)
            self._take()
            return ready

    def rest(self) -> None:
        """See Underlay. Raises DeviceError, as turn() does."""
        with self._no_longer_if_it_fails():
            self._send()

    @contextmanager
    def _no_longer_if_it_fails(self) -> Iterator[None]:
        try:
            if self._failure is not None:
                raise self._failure
            yield
        except DeviceError:
            self._failure, self.engines = None, ()
            raise

    def _send(self) -> bool:
        """Send what is to be sent; True: applications were told of something before that."""
        happened = False
        for engine in self.engines:
            happened |= engine.dispatch(self._now)
        for engine in self.engines:
            engine.flush()
        return happened

    def _time_left(self) -> float | None:
        """Seconds until a timer of a host fires; None: there is none."""
        deadline = min((at for each in self.engines if (at := each.deadline()) is not None), default=None)
        return None if deadline is None else max(0, deadline - time.monotonic_ns()) / SECOND

    def _take(self) -> None:
        """Take what has arrived, fire the timers that are due, tell the applications."""
        now = Devices.now(self)
        for engine in self.engines:
            engine.receive(now)
            engine.settle(now)

    def close(self) -> None:
        """See Underlay; then everything that was opened is closed."""
        with self._resources, suppress(DeviceError):
            self._finish()

    def _finish(self) -> None:
        end = self.now() + GRACE
        poll = select.poll()
        for fileno in self.filenos():
            poll.register(fileno, select.POLLIN)

        def wait(timeout: float | None) -> Sequence[tuple[int, int]]:
            return poll.poll(None if timeout is None else timeout * 1000)

        while self.now() < end and any(each.is_released for engine in self.engines for each in engine.unfinished()):
            self.turn(wait, 0.01)
        for engine in self.engines:
            engine.abort_all(self.now())
            engine.flush()


class NetworkInMemory:
    """Hosts of a network in memory: what underlays of such have in common, whatever the network's time is."""

    def __init__(self, network: Network) -> None:
        self.hosts = [node for node in network.nodes if isinstance(node, Host)]
        self._network = network

    def now(self) -> Instant:
        """The network's time."""
        return self._network.now

    def filenos(self) -> Sequence[int]:
        """None: nothing here is outside of the process."""
        return ()

    def _dispatch(self) -> bool:
        """Tell the hosts' applications what has happened; False: nothing had."""
        happened = [dispatch(host, self._network.now) for host in self.hosts]
        return any(happened)

    def rest(self) -> None:
        """Nothing: the network's time rests, too."""

    def close(self) -> None:
        """Nothing to let go of: the network belongs to whoever made it."""


class VirtualNetwork(NetworkInMemory):
    """Hosts of a network in virtual time: nothing waits, the loop's clock is the network's.

    So a program that takes an hour, over links as bad as one likes, is run in no time, and each time in the same way.
    What a thread does takes none of that time either: until it is done the network's clock stands still. Any other
    file descriptor is waited for only when nothing is left to happen.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._threads = 0

    def hold(self, work: "asyncio.Future[Any]") -> None:
        """Let the clock stand still until a thread has done `work`."""
        self._threads += 1
        work.add_done_callback(self._on_done)

    def _on_done(self, work: "asyncio.Future[Any]") -> None:
        self._threads -= 1

    def turn(self, poll: Poll[_Events], timeout: float | None) -> Sequence[_Events]:
        """Let the next thing happen, unless the loop has something to do before it."""
        network = self._network
        if self._dispatch():
            timeout = 0
        if self._threads and timeout != 0 and (ready := poll(_PATIENCE)):
            return ready
        if timeout is None:
            limit = None
        else:
            limit = network.now + (round(max(timeout, _SHORTEST) * SECOND) if timeout > 0 else 0)
        at = network.settle()
        idle = at is None and limit is None
        ready = poll(None if idle else 0)
        if ready or idle:
            return ready
        if at is not None and (limit is None or at <= limit):
            network.step()
        elif limit is not None:
            network.run(limit)
        return ready
