"""The stack under packetdrill: the calls of its process, its device and its clock, all in virtual time.

packetdrill runs on two threads: one takes the events of the script in order, the other makes the calls that wait. Time
passes when the first asks for it: usleep() skips, each look at the clock costs a little, and waiting for a packet goes
on to the next timer. What a waiting call is waiting for happens at an instant of that time, which is remembered until
its thread, whenever the kernel lets it run, looks at the clock.
"""

import random
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from stack.clock import MICROSECOND, SECOND, Duration, Instant
from stack.host import Host
from stack.pkt.cable import Cable
from stack.pkt.settings import settings_of
from stack.pkt.sockets import Sockets, Waiting
from stack.pkt.syntax import Script, Value

_START: Final = 1000 * SECOND
_LOOK: Final = 5 * MICROSECOND  # what looking at the clock costs: packetdrill spins on it
_WHENEVER: Final = 3600 * SECOND  # how long a packet is waited for
_LET_OTHERS_RUN: Final = 0.001  # real seconds
_SECRET: Final = bytes(range(32))


@dataclass(slots=True)
class Outcome:
    """What has become of a call: its result or its error, and what it has read."""

    course: Waiting[int]
    result: int | None = None
    error: OSError | None = None
    data: bytes = b""
    at: Instant = 0

    @property
    def is_over(self) -> bool:
        """Whether the call has returned."""
        return self.result is not None or self.error is not None


@dataclass(slots=True)
class Sent:
    """A datagram of the stack."""

    at: Instant
    octets: bytes = field(repr=False)


class Process:
    """One run of a script; `flags` are options as at the head of our own scripts: "tcp_config=sack=false mtu=1400"."""

    def __init__(self, flags: str = "") -> None:
        options = [(1, *each.partition("=")[::2]) for each in flags.split()]
        settings = settings_of(Script("--so_flags", options=options))
        self._host = Host(settings.host_config(), secret=_SECRET, random=random.Random(1), now=_START)
        self._cable = Cable(self._host, settings.local_ip)
        self.sockets = Sockets(self._host, settings)
        self._now: Instant = _START
        self._changed = threading.Condition()
        self._waiting: list[Outcome] = []
        self._sent: deque[Sent] = deque()
        self._returned_at: dict[int, Instant] = {}  # by thread

    # Calls

    def call(self, name: str, arguments: Sequence[Value]) -> Outcome:
        """Make a call, and wait until it returns; its error is in the outcome."""
        with self._changed:
            outcome = Outcome(self.sockets.make(name, arguments))
            self._waiting.append(outcome)
            self._settle()
            if not outcome.is_over:
                self._changed.notify_all()
                self._changed.wait_for(lambda: outcome.is_over)
                self._returned_at[threading.get_ident()] = outcome.at
            return outcome

    # The clock

    def clock(self) -> Instant:
        """The time, in nanoseconds; to a thread that has waited, once, when its call returned."""
        with self._changed:
            returned_at = self._returned_at.pop(threading.get_ident(), None)
            if returned_at is not None:
                return returned_at
            self._advance(self._now + _LOOK)
            return self._now

    def sleep(self, duration: Duration) -> None:
        """Let time pass."""
        with self._changed:
            self._advance(self._now + duration)

    # The device

    def receive(self, datagram: bytes) -> None:
        """A datagram arrives at the stack."""
        with self._changed:
            self._cable.send([datagram], self._now)
            self._settle()

    def take(self) -> Sent | None:
        """The next datagram that the stack sends, waiting for it; None: it sends none in an hour."""
        with self._changed:
            limit = self._now + _WHENEVER
            while not self._sent:
                self._changed.wait(_LET_OTHERS_RUN)
                deadline = self._host.deadline()
                if self._sent:
                    break
                if deadline is None or deadline > limit:
                    return None
                self._advance(deadline)
            return self._sent.popleft()

    def _advance(self, target: Instant) -> None:
        while (deadline := self._host.deadline()) is not None and deadline <= target:
            self._now = max(self._now, deadline)
            self._host.advance(self._now)
            self._settle()
        self._now = max(self._now, target)

    def _settle(self) -> None:
        """Something has happened: let the calls that wait look, and take what there is to send."""
        has_sent = True
        while has_sent:
            self._host.take_events()
            for outcome in list(self._waiting):
                self._resume(outcome)
            datagrams = self._cable.collect(self._now)
            self._sent.extend(Sent(self._now, each) for each in datagrams)
            has_sent = bool(datagrams)
        self._changed.notify_all()

    def _resume(self, outcome: Outcome) -> None:
        def take(offset: int, data: bytes) -> None:
            outcome.data = data

        self.sockets.now = self._now
        self.sockets.on_received = take
        try:
            next(outcome.course)
            return
        except StopIteration as stop:
            outcome.result = stop.value
        except OSError as error:
            outcome.error = error
        outcome.at = self._now
        self._waiting.remove(outcome)
