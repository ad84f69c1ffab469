"""Networks of hosts in virtual time.

Theory. A heap holds what is going to happen: frames on their way, and the deadlines of hosts. A step takes the
earliest, sets the clock to it, and lets just those hosts act that it concerns. Nothing waits for a real clock, so an
idle hour costs a step or two; and nothing is random but what a seed decides, so a run can be repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from stack.clock import Instant
from stack.errors import StackError
from stack.host import Host
from stack.virtual.link import Impairment, LinkProfile

_STEPS_WITHOUT_PROGRESS: Final = 100_000


class Stuck(StackError):
    """Something happens again and again without time going on."""


@dataclass(slots=True)
class Link:
    """A cable between two interfaces; `forward` is the direction from the first to the second."""

    forward: Impairment
    backward: Impairment


class Network:
    """Hosts, links between their interfaces, and the time, in nanoseconds since the start."""

    def __init__(self, seed: int = 0) -> None:
        self.now: Instant = 0
        self._seed = seed
        self._hosts: list[Host] = []
        self._wires: dict[tuple[int, int], tuple[Impairment, int, int]] = {}  # from (host, port): to host, port
        self._queue: list[tuple[Instant, int, int, int, bytes]] = []  # instant, order, host, port, frame
        self._deadlines: list[tuple[Instant, int]] = []
        self._planned: list[Instant | None] = []
        self._order = 0

    def add(self, host: Host) -> Host:
        """Put `host` into the network; returns it."""
        self._hosts.append(host)
        self._planned.append(None)
        self._settle(len(self._hosts) - 1)
        return host

    def connect(
        self,
        one: Host,
        other: Host,
        profile: LinkProfile | None = None,
        backward: LinkProfile | None = None,
        ports: tuple[int, int] = (0, 0),
    ) -> Link:
        """Join two interfaces; `backward` is the way from `other` to `one` where that is not like `profile`."""
        profile = profile or LinkProfile()
        number = len(self._wires)
        forward = Impairment(profile, self._seed * 1_000_003 + number)
        back = Impairment(backward or profile, self._seed * 1_000_003 + number + 1)
        a, b = self._hosts.index(one), self._hosts.index(other)
        self._wires[a, ports[0]] = (forward, b, ports[1])
        self._wires[b, ports[1]] = (back, a, ports[0])
        self.settle()
        return Link(forward, back)

    def settle(self) -> None:
        """Let every host send what it has to send, and plan its next deadline: after calls from outside."""
        for index in range(len(self._hosts)):
            self._settle(index)

    def step(self) -> bool:
        """Go on to the next thing that happens; False: nothing ever will."""
        at = self._next()
        if at is None:
            return False
        self.now = max(self.now, at)
        touched: dict[int, None] = {}
        while self._queue and self._queue[0][0] <= self.now:
            _, _, index, port, frame = heappop(self._queue)
            touched[index] = None
            self._hosts[index].receive(port, [frame], self.now)
        while self._deadlines and self._deadlines[0][0] <= self.now:
            planned, index = heappop(self._deadlines)
            if self._planned[index] == planned:
                self._planned[index] = None
                touched[index] = None
        for index in touched:
            host = self._hosts[index]
            host.advance(self.now)
            host.dispatch(self.now)
            self._settle(index)
        return True

    def run(self, until: Instant) -> None:
        """Let everything happen up to and with `until`. Raises Stuck."""
        self.run_until(lambda: False, until)

    def run_until(self, condition: Callable[[], bool], limit: Instant) -> bool:
        """Go on until `condition` holds (True), or `limit` has passed (False). Raises Stuck."""
        self.settle()
        since, steps = self.now, 0
        while not condition():
            at = self._next()
            if at is None or at > limit:
                self.now = max(self.now, limit)
                return condition()
            self.step()
            steps = steps + 1 if self.now == since else 0
            since = self.now
            if steps > _STEPS_WITHOUT_PROGRESS:
                raise Stuck(f"{steps} steps at {self.now} ns: something answers itself without delay")
        return True

    def _next(self) -> Instant | None:
        while self._deadlines and self._planned[self._deadlines[0][1]] != self._deadlines[0][0]:
            heappop(self._deadlines)
        due = [heap[0][0] for heap in (self._queue, self._deadlines) if heap]
        return min(due) if due else None

    def _settle(self, index: int) -> None:
        host = self._hosts[index]
        for port in range(len(host.interfaces)):
            wire = self._wires.get((index, port))
            while frames := host.take_frames(port):
                if wire is not None:
                    self._send(wire, [bytes(frame) for frame in frames])
                frames.clear()
        deadline = host.deadline()
        if deadline != self._planned[index]:
            self._planned[index] = deadline
            if deadline is not None:
                heappush(self._deadlines, (deadline, index))

    def _send(self, wire: tuple[Impairment, int, int], frames: list[bytes]) -> None:
        impairment, index, port = wire
        for frame in frames:
            for at, octets in impairment.schedule(frame, self.now):
                self._order += 1
                heappush(self._queue, (at, self._order, index, port, octets))
