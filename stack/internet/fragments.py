"""Naming what is fragmented (RFC 6864), and putting fragments together again (RFC 791 3.2, RFC 815).

Fragments of one datagram share source, destination, protocol and identification. What is held is bounded in time, in
memory and per source. Overlap policy: fragments that overlap, unless one is an exact copy of another, make the whole
datagram be dropped, and all its later fragments with it until the time is over. Honest senders do not overlap, and
every way of choosing which octets win has been used to get past a firewall (RFC 5722 says this for IPv6).
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from stack.addresses import Ipv4Address
from stack.clock import SECOND, Instant, Timer, TimerQueue
from stack.config import Ipv4Config
from stack.counters import Counters
from stack.wire.ipv4 import CE, MAXIMUM_LENGTH, Ipv4Header

_Key: TypeAlias = tuple[int, int, int, int]
_IDENTIFICATIONS: Final = 65536
_BLOCK: Final = 256  # identifications that share one record of when the last of them was used
_LIFETIME: Final = 120 * SECOND  # RFC 6864 4.3: the maximum datagram lifetime
_OVERHEAD: Final = 256  # what one fragment costs besides its octets, so that many empty ones are bounded too


@dataclass(slots=True)
class _Datagram:
    timer: Timer
    parts: dict[int, bytes] = field(default_factory=dict)  # by offset, in octets
    starts: list[int] = field(default_factory=list)  # the offsets, in order: thousands of tiny fragments stay cheap
    held: int = 0  # octets in all parts
    header: Ipv4Header | None = None  # of the first fragment
    size: int | None = None  # known once the last fragment is here
    codepoints: int = 0  # a bit for each ECN codepoint that a fragment had
    memory: int = 0
    spoiled: bool = False


class Identifications:
    """Identifications of what may be fragmented: none twice within the lifetime of a datagram (RFC 6864 4.3).

    One counter serves all destinations. It runs in blocks, and a block is used again only when its last use is long
    enough ago: that bounds the rate, as RFC 6864 5.2 asks, at about 546 a second.
    """

    __slots__ = ("_next", "_used_at")

    def __init__(self, start: int) -> None:
        self._next = start
        self._used_at: list[Instant | None] = [None] * (_IDENTIFICATIONS // _BLOCK)

    def take(self, now: Instant) -> int | None:
        """An identification, or None when all have been used too lately."""
        identification = self._next
        block, place = divmod(identification, _BLOCK)
        used_at = self._used_at[block]
        if not place and used_at is not None and now - used_at < _LIFETIME:
            return None
        self._used_at[block] = now
        self._next = (identification + 1) % _IDENTIFICATIONS
        return identification


class Reassembler:
    """The incomplete datagrams of one host.

    `on_timeout(header, first octets, now)` is called for those whose first fragment had arrived.
    """

    def __init__(
        self,
        config: Ipv4Config,
        counters: Counters,
        timers: TimerQueue,
        on_timeout: Callable[[Ipv4Header, bytes, Instant], None],
    ) -> None:
        self._config = config
        self._counters = counters
        self._timers = timers
        self._on_timeout = on_timeout
        self._datagrams: dict[_Key, _Datagram] = {}
        self._per_source: dict[Ipv4Address, int] = {}
        self.memory = 0

    def __len__(self) -> int:
        return len(self._datagrams)

    def add(self, header: Ipv4Header, payload: memoryview, now: Instant) -> tuple[Ipv4Header, memoryview] | None:
        """Take a fragment; the whole datagram when it is the one that was missing."""
        self._counters["IpReasmReqds"] += 1
        key = (header.src, header.dst, header.protocol, header.identification)
        if not self._is_possible(header, payload):
            self._counters["IpReasmFails"] += 1
            return None
        datagram = self._datagrams.get(key) or self._open(key, header.src, now)
        if datagram is None or datagram.spoiled:
            return None
        if not self._insert(datagram, header, payload):
            self._spoil(datagram)
            return None
        self._bound_memory()
        return self._finish(key, datagram) if key in self._datagrams else None

    def _is_possible(self, header: Ipv4Header, payload: memoryview) -> bool:
        end = header.fragment_offset + len(payload)
        if not payload or header.length + end > MAXIMUM_LENGTH:
            return False
        return not (header.more_fragments and len(payload) % 8)

    def _open(self, key: _Key, source: Ipv4Address, now: Instant) -> _Datagram | None:
        if self._per_source.get(source, 0) >= self._config.reassembly_per_source:
            self._counters["IpReasmNoMemory"] += 1
            return None
        if len(self._datagrams) >= self._config.reassembly_datagrams:
            self._evict()
        datagram = self._datagrams[key] = _Datagram(Timer(self._timers, self._expire, key))
        self._per_source[source] = self._per_source.get(source, 0) + 1
        datagram.timer.arm(now + self._config.reassembly_timeout)
        return datagram

    def _insert(self, datagram: _Datagram, header: Ipv4Header, payload: memoryview) -> bool:
        offset, end = header.fragment_offset, header.fragment_offset + len(payload)
        copy = datagram.parts.get(offset)
        if copy is not None and copy == payload:
            return True
        starts, parts = datagram.starts, datagram.parts
        at = bisect_left(starts, offset)
        overlaps_one_before = at > 0 and starts[at - 1] + len(parts[starts[at - 1]]) > offset
        overlaps_the_next = at < len(starts) and starts[at] < end
        if overlaps_one_before or overlaps_the_next:
            return False
        if not header.more_fragments:
            if datagram.size is not None or at < len(starts):
                return False
            datagram.size = end
        elif datagram.size is not None and end > datagram.size:
            return False
        if not offset:
            datagram.header = header
        parts[offset] = bytes(payload)
        starts.insert(at, offset)
        datagram.held += len(payload)
        datagram.codepoints |= 1 << (header.tos & CE)
        cost = len(payload) + _OVERHEAD
        datagram.memory += cost
        self.memory += cost
        return True

    def _spoil(self, datagram: _Datagram) -> None:
        self._counters["IpReasmOverlaps"] += 1
        self._counters["IpReasmFails"] += 1
        self.memory -= datagram.memory
        datagram.memory = 0
        datagram.parts.clear()
        datagram.starts.clear()
        datagram.header = None
        datagram.spoiled = True

    def _finish(self, key: _Key, datagram: _Datagram) -> tuple[Ipv4Header, memoryview] | None:
        header = datagram.header
        if header is None or datagram.size is None:
            return None
        if datagram.held != datagram.size:  # none overlap: then there is a hole
            return None
        is_marked = datagram.codepoints & 1 << CE
        if header.length + datagram.size > MAXIMUM_LENGTH:  # each fitted its own header; the whole does not
            self._spoil(datagram)
            return None
        self._remove(key)
        if is_marked and datagram.codepoints & 1:  # marked, of a transport without ECN: it cannot be (RFC 3168 5.3)
            self._counters["IpReasmFails"] += 1
            return None
        self._counters["IpReasmOKs"] += 1
        whole = Ipv4Header(
            header.src, header.dst, header.protocol, header.ttl, header.identification,
            tos=header.tos | CE if is_marked else header.tos, options=header.options,
        )  # fmt: skip
        return whole, memoryview(b"".join([datagram.parts[start] for start in datagram.starts]))

    def _bound_memory(self) -> None:
        while self.memory > self._config.reassembly_memory:
            self._evict()

    def _evict(self) -> None:
        self._counters["IpReasmNoMemory"] += 1
        self._counters["IpReasmFails"] += 1
        self._remove(next(iter(self._datagrams)))

    def _remove(self, key: _Key) -> None:
        datagram = self._datagrams.pop(key)
        datagram.timer.disarm()
        self.memory -= datagram.memory
        source = Ipv4Address(key[0])
        self._per_source[source] -= 1
        if not self._per_source[source]:
            del self._per_source[source]

    def _expire(self, key: _Key, now: Instant) -> None:
        datagram = self._datagrams[key]
        self._counters["IpReasmTimeout"] += 1
        if not datagram.spoiled:
            self._counters["IpReasmFails"] += 1
        self._remove(key)
        if datagram.header is not None:
            self._on_timeout(datagram.header, datagram.parts[0], now)
