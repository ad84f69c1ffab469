"""IPv4, in and out (RFC 791, RFC 1122 section 3)."""

import errno
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from stack import fastpath
from stack.addresses import LIMITED_BROADCAST, Ipv4Address, can_be_a_source, is_multicast
from stack.clock import Instant, TimerQueue
from stack.config import Ipv4Config
from stack.counters import Counters
from stack.errors import ChecksumMismatch, MalformedPacket
from stack.internet.fragments import Identifications, Reassembler
from stack.internet.path_mtu import PathMtu
from stack.internet.routing import LinkInterface, Route, RoutingTable
from stack.octets import Octets
from stack.wire import icmp, ipv4
from stack.wire.ipv4 import PROTOCOL_ICMP, Ipv4Header, MalformedOption, TruncatedPacket

ProtocolHandler: TypeAlias = Callable[[Ipv4Header, memoryview, bool, Instant], None]
"""handler(header, payload, was_broadcast, now): a datagram for a protocol of this host."""

_SOURCE_ROUTES: Final = frozenset({ipv4.OPTION_LOOSE_SOURCE_ROUTE, ipv4.OPTION_STRICT_SOURCE_ROUTE})
_LOOPBACK_LENGTH: Final = 256
_FRAGMENT_UNIT: Final = 8


class RandomSource(Protocol):
    """Where unpredictable bits come from."""

    def getrandbits(self, k: int, /) -> int:
        """An int of `k` random bits."""


class ErrorSender(Protocol):
    """ICMP, as IPv4 needs it."""

    def send_error(
        self, type: int, code: int, header: Ipv4Header, payload: Octets, was_group: bool, now: Instant, rest: int = 0
    ) -> None:
        """Report an error about a datagram to its source, if RFC 1122 3.2.2 lets us."""


class Ipv4:
    """The internet layer of one host. `protocols` and `icmp` are set by whoever puts the layers together."""

    def __init__(
        self,
        config: Ipv4Config,
        counters: Counters,
        timers: TimerQueue,
        random: RandomSource,
        routing: RoutingTable,
        interfaces: Sequence[LinkInterface],
    ) -> None:
        self.config = config
        self.path_mtu = PathMtu(config)
        self.protocols: dict[int, ProtocolHandler] = {}
        self.icmp: ErrorSender | None = None
        self.loopback: deque[bytes] = deque()
        self._counters = counters
        self._routing = routing
        self._local = {each.address: each for each in interfaces}
        self._broadcasts = {each.network.broadcast for each in interfaces} - {None} | {LIMITED_BROADCAST}
        self._reassembler = Reassembler(config, counters, timers, self._on_reassembly_timeout)
        self._identifications = Identifications(random.getrandbits(16))

    # What is asked of it

    def is_local(self, address: int) -> bool:
        """Whether `address` is ours, and ours to use already."""
        interface = self._local.get(Ipv4Address(address))
        return interface is not None and interface.is_bound

    def is_broadcast(self, address: int) -> bool:
        """Whether `address` is the limited broadcast or a directed one of a network of ours."""
        return address in self._broadcasts

    def route(self, dst: Ipv4Address) -> Route | None:
        """The way to `dst`, or None."""
        return self._routing.lookup(dst)

    def source_for(self, dst: Ipv4Address) -> Ipv4Address:
        """The address of ours that faces `dst`. Raises OSError(ENETUNREACH)."""
        return dst if dst in self._local else self._route_or_raise(dst).source

    def _route_or_raise(self, dst: Ipv4Address) -> Route:
        route = self.route(dst)
        if route is None:
            self._counters["IpOutNoRoutes"] += 1
            raise OSError(errno.ENETUNREACH, "network is unreachable: no route to the destination")
        return route

    def reduce_mtu(self, dst: Ipv4Address, mtu: int, now: Instant) -> None:
        """A router reported that only `mtu` octets (0: it did not say how many) get through to `dst`."""
        route = self.route(dst)
        if route is not None:
            self.path_mtu.reduce(dst, mtu, min(route.interface.mtu, self.path_mtu.mtu(dst, now)), now)

    def on_dead_next_hop(self, next_hop: Ipv4Address, packets: list[bytes], now: Instant) -> list[bytes]:
        """`next_hop` does not answer ARP, and `packets` wait for it: those that no other gateway can take."""
        self._routing.on_dead(next_hop)
        stranded = []
        for packet in packets:
            route = self._routing.alternative(ipv4.parse_header(packet)[0].dst, next_hop)
            if route is None:
                stranded.append(packet)
            else:
                route.interface.send_packet(packet, route.next_hop, now)
        return stranded

    # In

    def receive(self, interface: LinkInterface, packet: memoryview, link_group: bool, now: Instant) -> None:
        """A datagram has arrived; `link_group`: in a frame to a group address."""
        counters = self._counters
        counters["IpInReceives"] += 1
        try:
            header, payload = ipv4.parse(packet, fastpath.checksum)
        except ChecksumMismatch:
            counters["IpExtInCsumErrors"] += 1
            return
        except TruncatedPacket:
            counters["IpExtInTruncatedPkts"] += 1
            return
        except MalformedPacket:
            counters["IpInHdrErrors"] += 1
            return
        was_broadcast = self.is_broadcast(header.dst)
        if not can_be_a_source(header.src) or self.is_broadcast(header.src) or self.is_local(header.src):
            counters["IpInMartians"] += 1
        elif not (was_broadcast or self.is_local(header.dst)) or is_multicast(header.dst):
            counters["IpInAddrErrors"] += 1
        elif link_group and not was_broadcast:
            counters["IpInAddrErrors"] += 1  # RFC 1122 3.3.6: a link broadcast must be to an IP broadcast address
        elif not header.options or self._accept_options(header, payload, was_broadcast or link_group, now):
            self._deliver(header, payload, was_broadcast or link_group, now)

    def drain_loopback(self, now: Instant) -> None:
        """Receive what we have sent to ourselves."""
        packet = self.loopback.popleft()
        self._counters["IpInReceives"] += 1
        header, payload = ipv4.parse(packet, fastpath.checksum)
        self._deliver(header, payload, False, now)

    def _accept_options(self, header: Ipv4Header, payload: memoryview, was_group: bool, now: Instant) -> bool:
        """Refuse options that are malformed (RFC 1122 3.2.2.5), and source routes, which get round filters."""
        try:
            options = ipv4.parse_options(header.options)
        except MalformedOption as error:
            self._counters["IpInHdrErrors"] += 1
            if self.icmp is not None:
                pointer = error.pointer << 24
                self.icmp.send_error(
                    icmp.PARAMETER_PROBLEM, icmp.POINTER_INDICATES_ERROR, header, payload, was_group, now, pointer
                )
            return False
        if any(kind in _SOURCE_ROUTES for kind, _ in options):
            self._counters["IpInSourceRouted"] += 1
            self._report(icmp.SOURCE_ROUTE_FAILED, header, payload, was_group, now)
            return False
        return True

    def _deliver(self, header: Ipv4Header, payload: memoryview, was_group: bool, now: Instant) -> None:
        if header.more_fragments or header.fragment_offset:
            whole = self._reassembler.add(header, payload, now)
            if whole is None:
                return
            header, payload = whole
        handler = self.protocols.get(header.protocol)
        if handler is None:
            self._counters["IpInUnknownProtos"] += 1
            self._report(icmp.PROTOCOL_UNREACHABLE, header, payload, was_group, now)
            return
        self._counters["IpInDelivers"] += 1
        handler(header, payload, was_group, now)

    def _report(self, code: int, header: Ipv4Header, payload: Octets, was_group: bool, now: Instant) -> None:
        if self.icmp is not None:
            self.icmp.send_error(icmp.DESTINATION_UNREACHABLE, code, header, payload, was_group, now)

    def _on_reassembly_timeout(self, header: Ipv4Header, payload: bytes, now: Instant) -> None:
        if self.icmp is not None:
            first = Ipv4Header(
                header.src, header.dst, header.protocol, header.ttl, header.identification,
                more_fragments=True, tos=header.tos, options=header.options,
            )  # fmt: skip
            self.icmp.send_error(icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME_EXCEEDED, first, payload, False, now)

    # Out

    def send(
        self,
        dst: Ipv4Address,
        protocol: int,
        payload: Octets,
        now: Instant,
        src: Ipv4Address | None = None,
        ttl: int | None = None,
        tos: int = 0,
        dont_fragment: bool = False,
        options: bytes = b"",
    ) -> None:
        """Send a datagram, in fragments where it must be and may be.

        Raises OSError: EINVAL, ENETUNREACH, EADDRNOTAVAIL, EMSGSIZE, ENOBUFS.
        """
        self._counters["IpOutRequests"] += 1
        header = Ipv4Header(
            self.source_for(dst) if src is None else src, dst, protocol, self.config.ttl if ttl is None else ttl,
            tos=tos, options=options,
        )  # fmt: skip
        _check(header, payload)
        if dst in self._local:
            self._loop_back(header, payload)
            return
        route = self._route_or_raise(dst)
        if not route.interface.is_bound:
            self._counters["IpOutDiscards"] += 1
            raise OSError(errno.EADDRNOTAVAIL, "the interface's address is still being probed for")
        mtu = min(route.interface.mtu, self.path_mtu.mtu(dst, now))
        if header.length + len(payload) <= mtu:
            header.dont_fragment = dont_fragment or self._is_atomic(header, payload)
            if not header.dont_fragment:
                header.identification = self._identify(now)
            route.interface.send_packet(ipv4.build(header, payload, fastpath.checksum), route.next_hop, now)
        elif dont_fragment:
            self._counters["IpFragFails"] += 1
            raise OSError(errno.EMSGSIZE, f"the datagram does not fit the path's MTU of {mtu} octets, and DF is set")
        else:
            self._send_fragments(route, header, payload, mtu, now)

    def _send_fragments(self, route: Route, header: Ipv4Header, payload: Octets, mtu: int, now: Instant) -> None:
        header.identification = self._identify(now)
        later = _copied_options(header.options)
        view = memoryview(payload)
        offset = 0
        while offset < len(view):
            room = (mtu - header.length) // _FRAGMENT_UNIT * _FRAGMENT_UNIT
            text = view[offset : offset + room]
            header.fragment_offset = offset
            offset += len(text)
            header.more_fragments = offset < len(view)
            route.interface.send_packet(ipv4.build(header, text, fastpath.checksum), route.next_hop, now)
            self._counters["IpFragCreates"] += 1
            header.options = later
        self._counters["IpFragOKs"] += 1

    def _loop_back(self, header: Ipv4Header, payload: Octets) -> None:
        if len(self.loopback) >= _LOOPBACK_LENGTH:
            self._counters["IpOutDiscards"] += 1
            return
        self.loopback.append(ipv4.build(header, payload, fastpath.checksum))

    def _is_atomic(self, header: Ipv4Header, payload: Octets) -> bool:
        """Whether a datagram that fits is to be fragmented by nobody (RFC 6864 4.1), and needs no identification.

        All are, so that their path's MTU is found, but for long echoes: nothing tells a forged "fragmentation needed"
        about one of those from a true one, so none is believed, and routers may fragment them.
        """
        return header.protocol != PROTOCOL_ICMP or header.length + len(payload) <= self.config.minimum_path_mtu

    def _identify(self, now: Instant) -> int:
        identification = self._identifications.take(now)
        if identification is None:
            self._counters["IpOutDiscards"] += 1
            raise OSError(errno.ENOBUFS, "65,536 datagrams to be fragmented in two minutes are all there can be")
        return identification


def _check(header: Ipv4Header, payload: Octets) -> None:
    """Raise OSError for a header that cannot be, EMSGSIZE for a datagram that is too long."""
    if not 0 < header.ttl < 256:
        raise OSError(errno.EINVAL, f"a TTL is 1 to 255, not {header.ttl}")
    if not 0 <= header.tos < 256:
        raise OSError(errno.EINVAL, f"the octet of the DS field is 0 to 255, not {header.tos}")
    if header.options:
        if len(header.options) > ipv4.MAXIMUM_OPTIONS:
            raise OSError(errno.EINVAL, f"options have at most {ipv4.MAXIMUM_OPTIONS} octets")
        try:
            ipv4.parse_options(header.options)
        except MalformedPacket as error:
            raise OSError(errno.EINVAL, str(error)) from None
    if header.length + len(payload) > ipv4.MAXIMUM_LENGTH:
        raise OSError(errno.EMSGSIZE, f"a datagram has at most {ipv4.MAXIMUM_LENGTH} octets")


def _copied_options(options: bytes) -> bytes:
    """Those that go into every fragment (RFC 791 3.1: the copied flag)."""
    if not options:
        return b""
    kept = [
        bytes((kind, len(data) + 2)) + data for kind, data in ipv4.parse_options(options) if kind & ipv4.OPTION_COPIED
    ]
    return b"".join(kept)
