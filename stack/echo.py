"""Echo requests answered from the octets that came (RFC 792, RFC 1122 3.2.2.6).

Nearly every echo request is plain: from a neighbour whose MAC address is known, to an address of ours, in a datagram
that nobody may fragment. What the fastpath has found to be one is answered here in one step, without a value for each
layer, which at a ping a second costs most of its time: everything is cold by then. The outcome is that of the layers
(stack.internet.icmp), octet for octet and count for count; what is not so plain is left to them.
"""

import struct
from collections.abc import Sequence
from typing import Final

from stack import fastpath
from stack.clock import Instant
from stack.counters import Counters
from stack.fastpath.ring import FrameRing
from stack.internet.ipv4 import Ipv4
from stack.link.interface import Interface
from stack.link.neighbors import NeighborState
from stack.wire import ethernet, icmp, ipv4
from stack.wire.ethernet import ETHERTYPE_IPV4

# Ethernet and IPv4; DF set, so the identification may be zero (RFC 6864 4.1).
_HEADERS: Final = struct.Struct("!6s6sH BBHHHBBHII")
_VERSION_AND_IHL: Final = 0x45
_DONT_FRAGMENT: Final = 0x4000
_REPLY: Final = bytes((icmp.ECHO_REPLY, 0))
_REACHABLE: Final = NeighborState.REACHABLE


class EchoResponder:
    """Answers for one host, if it answers at all (`answers`)."""

    __slots__ = ("_answers", "_counters", "_headers", "_interfaces", "_ipv4", "_is_for")

    def __init__(self, answers: bool, ipv4_layer: Ipv4, interfaces: Sequence[Interface], counters: Counters) -> None:
        self._answers = answers
        self._ipv4 = ipv4_layer
        self._interfaces = interfaces
        self._counters = counters
        self._is_for: tuple[int, int, bytes, int] | None = None  # source, destination, MAC address and length of
        self._headers = b""  # what was answered last

    def answer(self, ring: FrameRing, record: fastpath.Record, now: Instant) -> bool:
        """Answer the echo request of `record`, which is RECORD_ECHO; False: it has to go through the layers."""
        layer = self._ipv4
        src, dst, start, length = record[3], record[4], record[17], record[18]
        total = ipv4.HEADER_LENGTH + length
        if not self._answers or total > layer.config.minimum_path_mtu:
            return False
        if not layer.is_local(dst) or layer.is_broadcast(src) or layer.is_local(src):
            return False
        route = layer.route(src)
        if route is None or not route.interface.is_bound or total > route.interface.mtu:
            return False
        interface = self._interfaces[route.interface.index]
        neighbor = interface.neighbors.find(route.next_hop)
        if neighbor is None or neighbor.state is not _REACHABLE or neighbor.mac is None:
            return False
        neighbor.used_at = now
        if self._is_for != (src, dst, neighbor.mac, length):
            self._is_for = (src, dst, neighbor.mac, length)
            self._headers = self._make_headers(interface.mac, neighbor.mac, dst, src, length)
        rest = ring.view[start + 4 : start + length]  # behind type, code (both zero in a reply) and checksum
        value = fastpath.checksum(rest)
        self._count()
        if not interface.tx.append(b"".join((self._headers, _REPLY, value.to_bytes(2, "big"), rest))):
            self._counters["EthOutRingFull"] += 1
        return True

    def _make_headers(self, own_mac: bytes, mac: bytes, src: int, dst: int, length: int) -> bytes:
        total = ipv4.HEADER_LENGTH + length
        fields = (_VERSION_AND_IHL, 0, total, 0, _DONT_FRAGMENT, self._ipv4.config.ttl, ipv4.PROTOCOL_ICMP)
        unsummed = _HEADERS.pack(mac, own_mac, ETHERTYPE_IPV4, *fields, 0, src, dst)
        value = fastpath.checksum(unsummed[ethernet.HEADER_LENGTH :])
        return _HEADERS.pack(mac, own_mac, ETHERTYPE_IPV4, *fields, value, src, dst)

    def _count(self) -> None:
        counters = self._counters
        counters["IpInReceives"] += 1
        counters["IpInDelivers"] += 1
        counters["IcmpInMsgs"] += 1
        counters["IcmpInEchos"] += 1
        counters["IcmpOutEchoReps"] += 1
        counters["IcmpOutMsgs"] += 1
        counters["IpOutRequests"] += 1
