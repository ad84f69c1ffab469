"""The way of TCP segments to one remote end: the header template, and the slow road while there is none."""

import errno
import struct
from collections.abc import Sequence
from typing import Final

from stack import fastpath
from stack.addresses import MacAddress
from stack.clock import Instant
from stack.counters import Counters
from stack.internet.ipv4 import Ipv4
from stack.link.interface import Interface
from stack.link.neighbors import Neighbor, NeighborState
from stack.octets import Octets
from stack.transport.flow import FlowKey
from stack.transport.tcp.sequence import MASK
from stack.wire import ipv4 as ipv4_wire
from stack.wire import tcp as tcp_wire
from stack.wire import tcp_options
from stack.wire.ethernet import ETHERTYPE_IPV4
from stack.wire.tcp import FIN, PSH, URG

# Ethernet header, IPv4 header (length and checksum left to the fastpath; DF set, so the identification may be zero:
# RFC 6864 4.1), TCP ports.
_TEMPLATE: Final = struct.Struct("!6s6sH BBHHHBBHII HH")
_VERSION_AND_IHL: Final = 0x45
_DONT_FRAGMENT: Final = 0x4000
_REACHABLE: Final = NeighborState.REACHABLE


class TcpPath:
    """The way to `key`'s remote end. Raises OSError(ENETUNREACH) when there is none.

    As long as the next hop's MAC address is known, a segment is one call of the fastpath with a template that is
    made once. Otherwise, and to an address of our own, it goes the way that every other datagram goes.
    """

    __slots__ = (
        "_counters", "_interface", "_ipv4", "_key", "_link_mtu", "_mac", "_neighbor", "_next_hop", "_path_mtu",
        "_template", "_tos",
    )  # fmt: skip

    def __init__(self, key: FlowKey, ipv4: Ipv4, interfaces: Sequence[Interface], counters: Counters) -> None:
        route = ipv4.route(key.remote_addr)
        if route is None:
            raise OSError(errno.ENETUNREACH, "network is unreachable: no route to the peer")
        self._key = key
        self._ipv4 = ipv4
        self._path_mtu = ipv4.path_mtu
        self._counters = counters
        self._next_hop = route.next_hop
        self._interface: Interface | None = None
        if not ipv4.is_local(key.remote_addr):
            self._interface = interfaces[route.interface.index]
        self._link_mtu = route.interface.mtu
        self._neighbor: Neighbor | None = None
        self._mac: bytes | None = None
        self._template = b""  # for the neighbour's address, and what was the TOS octet
        self._tos = 0

    @property
    def link_mtu(self) -> int:
        """The MTU of the interface, in octets."""
        return self._link_mtu

    def mtu(self, now: Instant) -> int:
        """The path's MTU as far as it is known, in octets."""
        if not self._path_mtu:
            return self._link_mtu
        return min(self._path_mtu.mtu(self._key.remote_addr, now), self._link_mtu)

    def send(
        self,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        options: bytes,
        payload: Octets,
        mss: int,
        now: Instant,
        tos: int = 0,
        urgent: int = 0,
    ) -> int:
        """See stack.transport.flow.Path."""
        interface = self._interface
        mac = self._resolve(now)
        if interface is None or mac is None or urgent:
            return self._send_slowly(seq, ack, flags, window, options, payload, mss, now, tos, urgent)
        if mac != self._mac or tos != self._tos:
            self._make_template(interface, mac, tos)
        ring = interface.tx
        sent = fastpath.emit_tcp(ring, self._template, seq, ack, flags, window, options, payload, mss)
        if sent >= 0:
            self._counters["IpOutRequests"] += -(-sent // mss) or 1  # those of a super-frame, too
        return sent

    def confirm(self, now: Instant) -> None:
        """The next hop is alive."""
        neighbor = self._neighbor
        if neighbor is not None and neighbor.state is _REACHABLE:
            neighbor.confirmed_at = now
        elif self._interface is not None:
            self._interface.confirm(self._next_hop, now)

    def doubt(self, now: Instant) -> None:
        """The next hop may be dead."""
        if self._interface is not None:
            self._interface.doubt(self._next_hop, now)

    def reduce_mtu(self, mtu: int, sent: int, now: Instant) -> None:
        """A router reported that of `sent` octets only `mtu` get through."""
        self._path_mtu.reduce(self._key.remote_addr, mtu, sent, now)

    def _resolve(self, now: Instant) -> MacAddress | None:
        """The next hop's MAC address, where it is known: nearly always from the entry that was asked for before."""
        neighbor = self._neighbor
        if neighbor is None or neighbor.state is not _REACHABLE:
            if self._interface is None:
                return None
            neighbor = self._neighbor = self._interface.neighbors.find(self._next_hop)
            if neighbor is None or neighbor.state is not _REACHABLE:
                return self._interface.resolve(self._next_hop, now)
        neighbor.used_at = now
        return neighbor.mac

    def _make_template(self, interface: Interface, mac: bytes, tos: int) -> None:
        key = self._key
        self._mac = mac
        self._tos = tos
        self._template = _TEMPLATE.pack(
            mac, interface.mac, ETHERTYPE_IPV4, _VERSION_AND_IHL, tos, 0, 0, _DONT_FRAGMENT, self._ipv4.config.ttl,
            ipv4_wire.PROTOCOL_TCP, 0, key.local_addr, key.remote_addr, key.local_port, key.remote_port,
        )  # fmt: skip

    def _send_slowly(
        self,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        options: bytes,
        payload: Octets,
        mss: int,
        now: Instant,
        tos: int,
        urgent: int,
    ) -> int:
        key = self._key
        parsed = tcp_options.parse(options)
        sent = 0
        while True:
            chunk = payload[sent : sent + mss]
            last = sent + len(chunk) == len(payload)
            shown = flags if last else flags & ~(FIN | PSH)
            pointer = max(urgent - sent, 0)
            if not pointer:
                shown &= ~URG
            segment = tcp_wire.Segment(
                key.local_port, key.remote_port, (seq + sent) & MASK, ack, shown, window, chunk, parsed, pointer
            )
            octets = tcp_wire.build(segment, key.local_addr, key.remote_addr, fastpath.checksum)
            try:
                self._ipv4.send(
                    key.remote_addr,
                    ipv4_wire.PROTOCOL_TCP,
                    octets,
                    now,
                    src=key.local_addr,
                    dont_fragment=True,
                    tos=tos,
                )
            except OSError:
                self._counters["IpOutDiscards"] += 1  # as if lost on the way: TCP sends it again
            sent += len(chunk)
            if last:
                return sent
