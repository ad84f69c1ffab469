"""The ARP cache: which MAC address a neighbour has, and whether that is still believed.

Theory. An entry is INCOMPLETE while nobody has answered yet, and packets wait in a short queue. Once answered it is
REACHABLE for a while, then STALE: still used, but its next use makes it PROBE: requests go to the neighbour itself
(RFC 1122 2.3.2.1 asks for out-of-date entries to be flushed, and names this "unicast poll"). Progress of TCP confirms
an entry without any ARP traffic. Who does not answer has FAILED, and for a few seconds packets to it fail at once.

One timer per entry, armed lazily. The table is bounded: the least recently used entry makes room.
"""

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from stack.addresses import Ipv4Address, MacAddress
from stack.clock import Instant, Timer, TimerQueue
from stack.config import ArpConfig
from stack.counters import Counters


class NeighborState(IntEnum):
    """How much a mapping is believed."""

    INCOMPLETE = 0
    REACHABLE = 1
    STALE = 2
    PROBE = 3
    FAILED = 4


_USABLE: Final = frozenset({NeighborState.REACHABLE, NeighborState.STALE, NeighborState.PROBE})


class Neighbor:
    """One entry: its state, and the packets that wait for it.

    Who keeps an entry that is REACHABLE may use its `mac`, say so in `used_at`, and say in `confirmed_at` when it has
    heard from beyond it; once it is in another state, or no longer in the table (FAILED), the table is to be asked.
    """

    __slots__ = ("address", "confirmed_at", "mac", "queue", "requests", "seen_at", "state", "timer", "used_at")

    def __init__(self, address: Ipv4Address, timer: Timer) -> None:
        self.address = address
        self.mac: MacAddress | None = None
        self.state = NeighborState.INCOMPLETE
        self.queue: deque[bytes] = deque()
        self.requests = 0
        self.confirmed_at: Instant = 0
        self.used_at: Instant = 0
        self.seen_at: Instant = 0  # the last use that has kept it in the table
        self.timer = timer


class NeighborTable:
    """The neighbours of one interface.

    `request(address, mac, now)` sends an ARP request, to everybody or to `mac`; `transmit(mac, packet)` sends an
    IPv4 packet; `fail(address, packets, now)` is told who does not answer, and gets what waited in vain.
    """

    def __init__(
        self,
        config: ArpConfig,
        counters: Counters,
        timers: TimerQueue,
        request: Callable[[Ipv4Address, MacAddress | None, Instant], None],
        transmit: Callable[[MacAddress, bytes], None],
        fail: Callable[[Ipv4Address, list[bytes], Instant], None],
    ) -> None:
        self._config = config
        self._counters = counters
        self._timers = timers
        self._request = request
        self._transmit = transmit
        self._fail = fail
        self._entries: dict[int, Neighbor] = {}  # in the order in which they were last looked at by _make_room

    def __len__(self) -> int:
        return len(self._entries)

    def state(self, address: Ipv4Address) -> NeighborState | None:
        """The state of the entry for `address`, or None."""
        entry = self._entries.get(address)
        return None if entry is None else entry.state

    def find(self, address: Ipv4Address) -> Neighbor | None:
        """The entry for `address`."""
        return self._entries.get(address)

    def resolve(self, address: Ipv4Address, now: Instant) -> MacAddress | None:
        """The MAC address to use now; None when there is none yet: send() then queues and asks."""
        entry = self._entries.get(address)
        if entry is None:
            return None
        if entry.state is NeighborState.REACHABLE:
            entry.used_at = now
            return entry.mac
        if entry.state not in _USABLE:
            return None
        entry.used_at = now
        if entry.state is NeighborState.STALE:
            entry.state = NeighborState.PROBE
            self._ask(entry, now)
        return entry.mac

    def send(self, address: Ipv4Address, packet: bytes, now: Instant) -> None:
        """Send `packet` to `address` as soon as its MAC address is known."""
        mac = self.resolve(address, now)
        if mac is not None:
            self._transmit(mac, packet)
            return
        entry = self._entries.get(address)
        if entry is None:
            entry = self._add(address, now)
            entry.queue.append(packet)
            self._ask(entry, now)
        elif entry.state is NeighborState.FAILED:
            self._fail(address, [packet], now)
        else:
            if len(entry.queue) >= self._config.queue_length:
                entry.queue.popleft()  # RFC 1122 2.3.2.2: keep the latest
                self._counters["ArpQueueDrops"] += 1
            entry.queue.append(packet)

    def confirm(self, address: Ipv4Address, now: Instant) -> None:
        """A layer above has heard from beyond `address`: it is alive."""
        entry = self._entries.get(address)
        if entry is not None and entry.state in _USABLE:
            self._reachable(entry, now)

    def doubt(self, address: Ipv4Address, now: Instant) -> None:
        """A layer above hears nothing from beyond `address`: ask."""
        entry = self._entries.get(address)
        if entry is not None and entry.state is NeighborState.REACHABLE:
            entry.state = NeighborState.STALE

    def update(self, address: Ipv4Address, mac: MacAddress, now: Instant) -> bool:
        """`address` is at `mac`, as an ARP packet says; True if somebody here cared (RFC 826's merge flag)."""
        entry = self._entries.get(address)
        if entry is None:
            return False
        entry.mac = mac
        self._reachable(entry, now)
        while entry.queue:
            self._transmit(mac, entry.queue.popleft())
        return True

    def learn(self, address: Ipv4Address, mac: MacAddress, now: Instant) -> None:
        """`address` asked for us, so we are about to answer it: remember it, but do not believe it yet."""
        entry = self._add(address, now)
        entry.mac = mac
        entry.state = NeighborState.STALE
        entry.timer.arm(now + self._config.stale_time)

    def _reachable(self, entry: Neighbor, now: Instant) -> None:
        entry.state = NeighborState.REACHABLE
        entry.confirmed_at = now
        entry.requests = 0
        entry.timer.arm(now + self._config.reachable_time)

    def _add(self, address: Ipv4Address, now: Instant) -> Neighbor:
        if len(self._entries) >= self._config.table_size:
            self._make_room(now)
        entry = Neighbor(address, Timer(self._timers, self._on_timer, address))
        entry.used_at = entry.seen_at = now
        self._entries[address] = entry
        return entry

    def _make_room(self, now: Instant) -> None:
        """Remove the first that has not been used since it was last looked at here ("second chance").

        Who floods us with addresses must not make us search the whole table for each.
        """
        self._counters["ArpTableFull"] += 1
        while True:
            entry = next(iter(self._entries.values()))
            if entry.mac is None or entry.used_at == entry.seen_at:
                self._remove(entry, now)
                return
            entry.seen_at = entry.used_at
            del self._entries[entry.address]
            self._entries[entry.address] = entry

    def _remove(self, entry: Neighbor, now: Instant) -> None:
        entry.timer.disarm()
        entry.state = NeighborState.FAILED  # for those who keep it
        del self._entries[entry.address]
        if entry.queue:
            packets = list(entry.queue)
            entry.queue.clear()
            self._fail(entry.address, packets, now)

    def _ask(self, entry: Neighbor, now: Instant) -> None:
        entry.requests += 1
        self._request(entry.address, entry.mac if entry.state is NeighborState.PROBE else None, now)
        entry.timer.arm(now + self._config.retransmit_interval)

    def _on_timer(self, address: Ipv4Address, now: Instant) -> None:
        entry = self._entries[address]
        if entry.state is NeighborState.REACHABLE:
            if now < entry.confirmed_at + self._config.reachable_time:
                entry.timer.arm(entry.confirmed_at + self._config.reachable_time)
                return
            entry.state = NeighborState.STALE
            entry.timer.arm(now + self._config.stale_time)
        elif entry.state is NeighborState.STALE:
            idle_until = entry.used_at + self._config.stale_time
            if now < idle_until:
                entry.timer.arm(idle_until)
            else:
                self._remove(entry, now)
        elif entry.state is NeighborState.FAILED:
            self._remove(entry, now)
        elif entry.requests < self._config.requests:
            self._ask(entry, now)
        elif entry.state is NeighborState.PROBE:  # it may have moved: forget where it was, and ask everybody
            entry.state = NeighborState.INCOMPLETE
            entry.mac = None
            entry.requests = 0
            self._ask(entry, now)
        else:
            self._counters["ArpResolutionFailures"] += 1
            entry.state = NeighborState.FAILED
            entry.timer.arm(now + self._config.failed_time)
            packets = list(entry.queue)
            entry.queue.clear()
            self._fail(entry.address, packets, now)
