"""A script against a host, in virtual time.

Theory. The events are taken in order. Time goes on only as far as the next one, and every timer of the host fires when
it is due; what the host sends waits in a queue until a line expects it. A packet that nobody has expected when its time
(and the tolerance) is over fails the script, and so does one that is left at the end: a script says all that is sent.
A call that waits is looked at again whenever something has happened.
"""

import errno
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from stack.clock import SECOND, Instant
from stack.errors import MalformedPacket
from stack.host import Host
from stack.pkt.cable import Cable
from stack.pkt.compare import adopt, differences, first_part, like
from stack.pkt.packets import Flow, check_text, datagrams_of, packet_of, ports_of
from stack.pkt.settings import Settings, settings_of
from stack.pkt.sockets import Sockets, Waiting
from stack.pkt.statistics import check
from stack.pkt.syntax import Assertion, Call, Event, IcmpPacket, Packet, Script, ScriptFailure, TcpPacket
from stack.wire import ipv4, tcp
from stack.wire.ipv4 import Ipv4Header

_START: Final = 1000 * SECOND  # of the host's clock: not zero, since nothing may rest on that
_SECRET: Final = bytes(range(32))
_WHENEVER: Final = 24 * 3600 * SECOND  # how long `*` waits
_FIRST_REMOTE_PORT: Final = 40001
_TIMERS_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Sent:
    """A datagram of the host, and when it was sent."""

    at: Instant
    header: Ipv4Header
    content: bytes


@dataclass(slots=True)
class _Pending:
    """A call that waits."""

    event: Event
    call: Call
    course: Waiting[int]
    ends: Instant | None


class Runner:
    """One run of `script`; `tell` gets a line about each event, as it happens."""

    def __init__(self, script: Script, tell: Callable[[str], None] = lambda line: None) -> None:
        self._script = script
        self._tell = tell
        self._settings: Settings = settings_of(script)
        self._host = Host(self._settings.host_config(), secret=_SECRET, random=random.Random(1), now=_START)
        self._cable = Cable(self._host, self._settings.local_ip)
        self._sockets = Sockets(self._host, self._settings)
        self._now: Instant = _START
        self._before: Instant = _START  # when the event before was, or was to be
        self._sent: deque[_Sent] = deque()
        self._flows: dict[tuple[int, int], Flow] = {}
        self._flow: Flow | None = None  # of packets without ports
        self._next_remote_port = _FIRST_REMOTE_PORT
        self._pending: _Pending | None = None
        self._event: Event | None = None

    def run(self) -> None:
        """Raises ScriptFailure when the host does something else than the script says."""
        self._collect()
        for event in self._script.events:
            self._event = event
            self._on_event(event)
        if self._pending is not None:
            self._advance(self._must_end_at(self._pending))
        if self._sent:
            self._fail("a packet that no line expects", actual=self._translated(self._sent[0])[0], at=self._sent[0].at)
        if self._pending is not None:
            self._fail_overdue(self._pending)

    # Events

    def _on_event(self, event: Event) -> None:
        base = self._before if event.when.is_relative else _START
        earliest = base + event.when.earliest
        latest = base + (_WHENEVER if event.when.latest is None else event.when.latest)
        action = event.action
        if not isinstance(action, Call | Assertion) and not action.inbound:
            self._expect(action, earliest, latest)
            self._before = earliest if event.when.earliest == event.when.latest else self._now
            return
        if earliest < self._now - self._settings.tolerance(0):
            self._fail("an event that lies before the one above it")
        self._advance(max(earliest, self._now))
        self._before = earliest
        if isinstance(action, Call):
            ends = base + action.ends if action.ends is not None else None
            self._start(event, action, ends)
        elif isinstance(action, Assertion):
            self._assert(action)
        else:
            self._inject(action)

    def _inject(self, packet: Packet) -> None:
        self._say(packet)
        flow = self._flow_of(packet)
        self._sockets.now = self._now
        self._cable.send(datagrams_of(packet, flow, self._settings), self._now)
        self._settle()

    def _assert(self, assertion: Assertion) -> None:
        connection = self._sockets.latest
        if connection is None:
            self._fail(f"{assertion}: there is no connection yet")
        try:
            check(assertion, connection.info())
        except ScriptFailure as failure:
            self._fail(str(failure))
        self._say(assertion)

    # Calls

    def _start(self, event: Event, call: Call, ends: Instant | None) -> None:
        if self._pending is not None:
            self._fail(f"{self._pending.call} still waits")
        latest = self._sockets.latest
        self._pending = _Pending(event, call, self._sockets.call(call), ends)
        self._resume()
        if call.name == "listen" or (call.name == "connect" and self._sockets.latest is not latest):
            self._flow = None  # packets without ports now mean the connection that comes next
        if self._pending is not None and ends is None:
            self._fail(f"{call} waits: give it a time to end, as in +0...0.1")
        self._settle()

    def _resume(self) -> None:
        """Let the call that waits look again."""
        pending = self._pending
        if pending is None:
            return
        self._sockets.now = self._now
        call, result, error = pending.call, -1, 0
        try:
            next(pending.course)
            return
        except StopIteration as stop:
            result = stop.value
        except OSError as failed:
            error = failed.errno or 0
        except ScriptFailure as failure:
            self._fail(f"{call}: {failure}", event=pending.event)
        self._pending = None
        got = f"{result} {errno.errorcode.get(error, error)}" if error else f"{result}"
        self._say(f"{call} = {got}")
        expected_error = getattr(errno, call.error) if call.error else error  # -1 alone: any
        if call.result is not ... and (result, error) != (call.result, expected_error):
            wanted = f"{call.result!r} {call.error}" if call.error else f"{call.result!r}"
            self._fail(f"{call}\n  expected: {wanted}\n  actual:   {got}", event=pending.event)
        if pending.ends is not None and abs(self._now - pending.ends) > self._settings.tolerance(0):
            self._fail(f"{call} was to return at {_show(pending.ends)}", event=pending.event)

    def _must_end_at(self, pending: _Pending) -> Instant:
        return (pending.ends or self._now) + self._settings.tolerance(0)

    # Packets of the host

    def _expect(self, expected: Packet, earliest: Instant, latest: Instant) -> None:
        rest: Packet | None = expected
        while rest is not None:
            tolerance = self._settings.tolerance(max(earliest - self._before, 0))
            limit = latest + tolerance
            self._advance_until_sent(limit)
            if not self._sent:
                self._fail("no packet was sent", expected=rest, at=limit)
            sent = self._sent[0]
            actual, flow = self._translated(sent)
            actual = adopt(rest, actual, flow)
            part, rest_after = (rest, None) if self._settings.strict_segments else first_part(rest, actual)
            names = list(differences(part, actual, self._settings.tcp_ts_tick_usecs, tolerance))
            if names:
                self._fail(f"another packet ({', '.join(names)})", rest, actual, at=sent.at)
            if not earliest - tolerance <= sent.at <= limit:
                due = _show(earliest) if earliest == latest else f"{_show(earliest)} to {_show(latest)}"
                self._fail(f"a packet at the wrong time: due at {due}", part, actual, at=sent.at)
            if isinstance(actual, TcpPacket):
                self._check_text(actual, sent)
            self._sent.popleft()
            self._say(like(actual, part), at=sent.at)
            rest = rest_after

    def _check_text(self, packet: TcpPacket, sent: _Sent) -> None:
        if packet.length and packet.ports is not None:
            try:
                check_text(packet, sent.content, bytes(self._sockets.written.get(packet.ports, b"")))
            except ScriptFailure as failure:
                self._fail(str(failure), at=sent.at)

    def _translated(self, sent: _Sent) -> tuple[Packet, Flow]:
        ports = ports_of(sent.header, sent.content)
        flow = self._flow if ports is None else self._flows.get(ports)
        if flow is None:
            flow = self._new_flow(*(ports or (self._settings.bind_port, self._next_remote_port)))
        try:
            return packet_of(sent.header, sent.content, flow), flow
        except MalformedPacket as error:
            self._fail(f"a packet that is none: {error}", at=sent.at)

    # Flows

    def _flow_of(self, packet: Packet) -> Flow:
        """The flow of a packet that arrives."""
        ports = None if isinstance(packet, IcmpPacket) else packet.ports
        if ports is not None:
            remote, local = ports
            return self._flows.get((local, remote)) or self._new_flow(local, remote)
        if self._flow is None:
            if isinstance(packet, TcpPacket) and not packet.flags & tcp.SYN and self._flows:
                return next(reversed(self._flows.values()))
            self._new_flow(self._sockets.bound_port(), self._next_remote_port)
        return self._flow if self._flow is not None else self._fail("a packet of no connection")

    def _new_flow(self, local: int, remote: int) -> Flow:
        flow = self._flows[local, remote] = Flow(local, remote)
        if remote == self._next_remote_port:
            self._next_remote_port += 1
        if self._flow is None:
            self._flow = flow
        return flow

    # Time

    def _advance(self, target: Instant) -> None:
        """Let time pass up to and with `target`; nothing may be sent meanwhile that no line expects."""
        while (deadline := self._host.deadline()) is not None and deadline <= target:
            self._tick(max(deadline, self._now))
            self._check_unexpected(deadline)
            self._check_overdue()
        self._now = target
        self._check_unexpected(target)
        self._check_overdue()
        self._tick(target)

    def _advance_until_sent(self, limit: Instant) -> None:
        while not self._sent:
            deadline = self._host.deadline()
            if deadline is None or deadline > limit:
                return
            self._tick(max(deadline, self._now))

    def _tick(self, now: Instant) -> None:
        self._now = now
        self._host.advance(now)
        self._settle()

    def _check_unexpected(self, now: Instant) -> None:
        if self._sent and self._sent[0].at + self._settings.tolerance(0) < now:
            sent = self._sent[0]
            self._fail("a packet that no line expects", actual=self._translated(sent)[0], at=sent.at)

    def _check_overdue(self) -> None:
        pending = self._pending
        if pending is not None and self._now > self._must_end_at(pending):
            self._fail_overdue(pending)

    def _settle(self) -> None:
        """Something has happened: let the call that waits see it, and take what there is to send."""
        for _ in range(_TIMERS_AT_ONCE):
            self._host.take_events()
            self._resume()
            if not self._collect():
                return
        self._fail("the host never stops sending")

    def _collect(self) -> bool:
        datagrams = self._cable.collect(self._now)
        for datagram in datagrams:
            header, content = ipv4.parse(datagram)
            self._sent.append(_Sent(self._now, header, bytes(content)))
        return bool(datagrams)

    # What is said

    def _fail_overdue(self, pending: _Pending) -> NoReturn:
        ends = _show(pending.ends) if pending.ends is not None else "now"
        self._fail(f"{pending.call} has not returned by {ends}", event=pending.event)

    def _say(self, what: object, at: Instant | None = None) -> None:
        self._tell(f"{_show(self._now if at is None else at)} {what}")

    def _fail(
        self,
        what: str,
        expected: Packet | None = None,
        actual: Packet | None = None,
        *,
        at: Instant | None = None,
        event: Event | None = None,
    ) -> NoReturn:
        event = event or self._event
        lines = [
            f"{self._script.name}:{event.line if event else 0}: at {_show(self._now if at is None else at)}: {what}"
        ]
        if expected is not None:
            lines.append(f"  expected: {expected}")
        if actual is not None:
            lines.append(f"  actual:   {like(actual, expected)}")
        raise ScriptFailure("\n".join(lines))


def run(script: Script, tell: Callable[[str], None] = lambda line: None) -> None:
    """Run `script`. Raises ScriptError for its options, ScriptFailure when the host does something else."""
    Runner(script, tell).run()


def _show(instant: Instant) -> str:
    """Seconds since the script began."""
    return f"{(instant - _START) / SECOND:.6f}"
