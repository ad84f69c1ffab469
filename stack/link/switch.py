"""A learning switch (IEEE 802.1D, clause 7): several links of one Ethernet, without spanning trees or VLANs.

Theory. The source address of a frame tells behind which port a station is; a frame to that station goes to that port
only, and one to a station not seen yet, or to a group, goes to all others. What is known is forgotten after a while,
because stations move, and is bounded, because anybody can send from any address.

The contract is that of a host (stack.host): frames and the time come in, frames go out, nothing is read or awaited.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stack.addresses import is_group_mac
from stack.clock import SECOND, Duration, Instant, Timer, TimerQueue
from stack.fastpath.ring import FRAME_OVERHEAD, FrameRing
from stack.octets import Octets
from stack.wire.ethernet import HEADER_LENGTH

AGEING_TIME: Final = 300 * SECOND  # 802.1D table 7-5
TABLE_SIZE: Final = 1024
_RING_FRAMES: Final = 512
_RESERVED: Final = bytes.fromhex("0180c20000")  # and one octet from 00 to 0f: 802.1D table 7-10, never forwarded


@dataclass(slots=True)
class SwitchCounters:
    """What a switch has done. received = forwarded + flooded + filtered + reserved + malformed."""

    received: int = 0
    forwarded: int = 0  # to the one port where the station is
    flooded: int = 0  # to all other ports
    filtered: int = 0  # not sent on: the station is where the frame came from
    reserved: int = 0  # to addresses that no bridge forwards
    malformed: int = 0  # too short, or from a group address
    sent: int = 0
    ring_full: int = 0  # not sent, because the port had no room
    learned: int = 0
    moved: int = 0  # seen behind another port than before
    aged: int = 0
    evicted: int = 0  # forgotten because the table was full


class Switch:
    """A switch of so many `ports`; an address of a station is forgotten when it was not seen for `ageing_time`."""

    def __init__(
        self, ports: int, mtu: int = 1500, ageing_time: Duration = AGEING_TIME, table_size: int = TABLE_SIZE
    ) -> None:
        self.counters = SwitchCounters()
        self.interfaces = [FrameRing(mtu + FRAME_OVERHEAD, _RING_FRAMES) for _ in range(ports)]
        """What each port has to send."""
        self._ageing_time = ageing_time
        self._table_size = table_size
        self._stations: dict[bytes, tuple[int, Instant]] = {}  # port, and when it was seen; the latest seen is last
        self._timers = TimerQueue()
        self._ageing = Timer(self._timers, Switch._age, self)

    def receive(self, port: int, frames: Iterable[Octets], now: Instant) -> None:
        """Process frames that arrived on `port`."""
        counters = self.counters
        for frame in frames:
            counters.received += 1
            dst, src = bytes(frame[:6]), bytes(frame[6:12])
            if len(frame) < HEADER_LENGTH or is_group_mac(src):
                counters.malformed += 1
                continue
            self._learn(src, port, now)
            if dst[:5] == _RESERVED and dst[5] < 0x10:
                counters.reserved += 1
                continue
            known = self._stations.get(dst)  # a group is nobody's: it is never learned
            if known is None:
                counters.flooded += 1
                for other in range(len(self.interfaces)):
                    if other != port:
                        self._send(other, frame)
            elif known[0] == port:
                counters.filtered += 1
            else:
                counters.forwarded += 1
                self._send(known[0], frame)

    def advance(self, now: Instant) -> None:
        """Forget the stations whose time has come."""
        self._timers.expire(now)

    def deadline(self) -> Instant | None:
        """When to call advance(), or None."""
        return self._timers.deadline()

    def take_frames(self, port: int) -> FrameRing:
        """What `port` has to send: send it and clear() the ring."""
        return self.interfaces[port]

    def stations(self) -> dict[bytes, int]:
        """The addresses that are known now, and the port of each."""
        return {address: port for address, (port, _) in self._stations.items()}

    def _send(self, port: int, frame: Octets) -> None:
        if self.interfaces[port].append(frame):
            self.counters.sent += 1
        else:
            self.counters.ring_full += 1

    def _learn(self, address: bytes, port: int, now: Instant) -> None:
        stations = self._stations
        before = stations.pop(address, None)
        if before is None:
            self.counters.learned += 1
            if len(stations) >= self._table_size:
                del stations[next(iter(stations))]
                self.counters.evicted += 1
        elif before[0] != port:
            self.counters.moved += 1
        stations[address] = (port, now)
        if self._ageing.deadline is None:
            self._ageing.arm(now + self._ageing_time)

    def _age(self, now: Instant) -> None:
        stations = self._stations
        while stations:
            address, (_, seen) = next(iter(stations.items()))
            if seen + self._ageing_time > now:
                self._ageing.arm(seen + self._ageing_time)
                return
            del stations[address]
            self.counters.aged += 1
