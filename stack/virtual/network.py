"""Networks in virtual time.

Theory. Hosts, switches and channels each say when they next want to do something (`deadline`). A heap holds these
instants; a step takes the earliest, sets the clock to it, and lets just that one act. Nothing waits for a real clock,
so an idle hour costs a step or two; and nothing is random but what a seed decides, so a run can be repeated.

A deadline moves away with nearly every segment. What is in the heap is therefore only "not before": when an entry
comes to the top its owner is asked again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from typing import Final, Protocol, TypeAlias, TypeVar

from stack.clock import Instant
from stack.errors import ConfigurationError, StackError
from stack.fastpath.offload import wire_frames
from stack.fastpath.ring import FrameRing
from stack.host import Host
from stack.virtual.link import Channel, LinkProfile

_STEPS_WITHOUT_PROGRESS: Final = 100_000


class Stuck(StackError):
    """Something happens again and again without time going on."""


class Node(Protocol):
    """What can stand in a network: a stack.host.Host, a stack.link.switch.Switch. See stack.host for the contract."""

    @property
    def interfaces(self) -> Sequence[object]:
        """One for each port."""

    def receive(self, port: int, frames: Sequence[bytes], now: Instant) -> None:
        """Frames have arrived."""

    def advance(self, now: Instant) -> None:
        """Time has passed."""

    def deadline(self) -> Instant | None:
        """When to call advance()."""

    def take_frames(self, port: int) -> FrameRing:
        """What is to be sent."""


_AnyNode = TypeVar("_AnyNode", bound=Node)


@dataclass(slots=True)
class Link:
    """A cable between two interfaces; `forward` is the direction from the first to the second."""

    forward: Channel
    backward: Channel


class _Station:
    """A node, and the channels that lead away from it, by port."""

    __slots__ = ("cables", "deadline", "dispatch", "node", "planned", "ports")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.ports = range(len(node.interfaces))
        self.cables: dict[int, _Cable] = {}
        self.planned: Instant | None = None
        self.deadline = node.deadline
        self.dispatch = node.dispatch if isinstance(node, Host) else None  # a switch has no applications

    def act(self, now: Instant) -> "_Station":
        self.node.advance(now)
        return self


class _Cable:
    """A channel, and where it ends."""

    __slots__ = ("channel", "deadline", "end", "planned", "port")

    def __init__(self, channel: Channel, end: _Station, port: int) -> None:
        self.channel = channel
        self.end = end
        self.port = port
        self.planned: Instant | None = None
        self.deadline = channel.deadline

    def act(self, now: Instant) -> _Station:
        receive = self.end.node.receive
        for frame in self.channel.receive(now):
            receive(self.port, [frame], now)  # one by one: nothing on this way gathers frames into batches
        return self.end


_Actor: TypeAlias = _Station | _Cable


class Network:
    """Nodes, links between their interfaces, and the time, in nanoseconds since the start."""

    def __init__(self, seed: int = 0) -> None:
        self.now: Instant = 0
        self._seed = seed
        self._channels = 0
        self._stations: dict[Node, _Station] = {}
        self._plan: list[tuple[Instant, int, _Actor]] = []
        self._order = 0

    def add(self, node: _AnyNode) -> _AnyNode:
        """Put `node` into the network; returns it. Raises ConfigurationError."""
        if node in self._stations:
            raise ConfigurationError("the node is in the network already")
        station = self._stations[node] = _Station(node)
        self._settle(station)
        return node

    def connect(
        self,
        one: Node,
        other: Node,
        profile: LinkProfile | None = None,
        backward: LinkProfile | None = None,
        ports: tuple[int, int] = (0, 0),
    ) -> Link:
        """Join two interfaces; `backward` is the way from `other` to `one` where that is not like `profile`.

        Raises ConfigurationError.
        """
        profile = profile or LinkProfile()
        if one not in self._stations or other not in self._stations:
            raise ConfigurationError("a node has to be added to the network before it is connected")
        ends = (self._stations[one], self._stations[other])
        if ends[0] is ends[1] and ports[0] == ports[1]:
            raise ConfigurationError(f"port {ports[0]} cannot be connected to itself")
        for station, port in zip(ends, ports, strict=True):
            if port not in station.ports:
                raise ConfigurationError(f"there is no port {port}: the node has {len(station.ports)}, from 0 on")
            if port in station.cables:
                raise ConfigurationError(f"port {port} is connected already: an interface has one cable")
        link = Link(self._channel(profile), self._channel(backward or profile))
        ends[0].cables[ports[0]] = _Cable(link.forward, ends[1], ports[1])
        ends[1].cables[ports[1]] = _Cable(link.backward, ends[0], ports[0])
        self.settle()
        return link

    @property
    def nodes(self) -> Sequence[Node]:
        """Everything that was added, in this order."""
        return list(self._stations)

    def settle(self) -> Instant | None:
        """Let every node send what it has to send: after calls from outside. Returns when step() will act, if ever."""
        for station in self._stations.values():
            self._settle(station)
        return self._next()

    def step(self) -> bool:
        """Go on to the next thing that happens; False: nothing ever will."""
        if self._next() is None:
            return False
        self._act()
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
            self._act()
            steps = steps + 1 if self.now == since else 0
            since = self.now
            if steps > _STEPS_WITHOUT_PROGRESS:
                raise Stuck(f"{steps} steps at {self.now} ns: something answers itself without delay")
        return True

    def _channel(self, profile: LinkProfile) -> Channel:
        self._channels += 1
        return Channel(profile, self._seed * 1_000_003 + self._channels)

    def _next(self) -> Instant | None:
        """When the actor at the top of the heap acts, which then is the right one; None: nobody ever will."""
        plan = self._plan
        while plan:
            at, _, actor = plan[0]
            if at != actor.planned:  # it was planned anew, for earlier
                heappop(plan)
                continue
            deadline = actor.deadline()
            if deadline == at:
                return at
            actor.planned = deadline
            if deadline is None:
                heappop(plan)
            else:
                self._order += 1
                heapreplace(plan, (deadline, self._order, actor))
        return None

    def _act(self) -> None:
        """Let the actor at the top of the heap act, as _next() has left it."""
        at, _, actor = heappop(self._plan)
        self.now = now = max(self.now, at)
        actor.planned = None
        station = actor.act(now)
        if station.dispatch is not None:
            station.dispatch(now)
        self._settle(station)
        if actor is not station:
            self._replan(actor)

    def _settle(self, station: _Station) -> None:
        """Send what a node has to send, and plan when it acts next."""
        node = station.node
        for port in station.ports:
            while frames := node.take_frames(port):
                cable = station.cables.get(port)
                if cable is not None:
                    for frame in wire_frames(frames):
                        cable.channel.send(frame, self.now)
                    self._replan(cable)
                frames.clear()
        self._replan(station)

    def _replan(self, actor: _Actor) -> None:
        deadline = actor.deadline()
        if deadline is not None and (actor.planned is None or deadline < actor.planned):
            actor.planned = deadline
            self._order += 1
            heappush(self._plan, (deadline, self._order, actor))
