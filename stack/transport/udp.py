"""UDP (RFC 768, RFC 1122 section 4.1)."""

import errno
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from stack import fastpath
from stack.addresses import UNSPECIFIED, Ipv4Address, show_ipv4
from stack.clock import Instant
from stack.config import UdpConfig
from stack.counters import Counters
from stack.errors import ChecksumMismatch, MalformedPacket
from stack.events import READABLE, EventQueue, Subject
from stack.octets import Octets
from stack.transport.flow import IcmpReport, RandomSource
from stack.transport.ports import ephemeral_port
from stack.wire import icmp, udp
from stack.wire.ipv4 import PROTOCOL_UDP, Ipv4Header
from stack.wire.udp import UdpHeader

_OVERHEAD: Final = 128  # what a waiting datagram costs besides its octets, so that many empty ones are bounded too

# RFC 1122 4.1.3.3: every ICMP error reaches the application; a code of None stands for all others of the type.
_MEANING: Final[dict[tuple[int, int | None], tuple[int, str]]] = {
    (icmp.DESTINATION_UNREACHABLE, None): (errno.EHOSTUNREACH, "host unreachable"),
    (icmp.DESTINATION_UNREACHABLE, icmp.NET_UNREACHABLE): (errno.ENETUNREACH, "network unreachable"),
    (icmp.DESTINATION_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE): (errno.ECONNREFUSED, "nobody speaks UDP there"),
    (icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE): (errno.ECONNREFUSED, "nobody listens there"),
    (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED): (errno.EMSGSIZE, "lost, too long for the path"),
    (icmp.TIME_EXCEEDED, None): (errno.EHOSTUNREACH, "time exceeded on the way"),
    (icmp.PARAMETER_PROBLEM, None): (errno.EPROTO, "refused on the way for a parameter of its header"),
}


class DatagramNetwork(Protocol):
    """What UDP asks of the internet layer."""

    def send(
        self,
        dst: Ipv4Address,
        protocol: int,
        payload: Octets,
        now: Instant,
        src: Ipv4Address | None = None,
        ttl: int | None = None,
        tos: int = 0,
        *,
        options: bytes = b"",
    ) -> None:
        """Send a datagram. Raises OSError."""

    def source_for(self, dst: Ipv4Address) -> Ipv4Address:
        """The address of ours that faces `dst`. Raises OSError."""

    def reduce_mtu(self, dst: Ipv4Address, mtu: int, now: Instant) -> None:
        """A router reported that only `mtu` octets get through."""


@dataclass(slots=True)
class Datagram:
    """What has arrived: from `port` of `address`, to `destination`, which may be a broadcast address."""

    data: bytes
    address: Ipv4Address
    port: int
    destination: Ipv4Address
    tos: int
    options: bytes


class UdpSocket(Subject):
    """A bound port. `error` is an ICMP error about what was sent from it, raised by the next call.

    `ttl` (None: the host's), `tos` and `options` are those of IPv4 in what is sent from now on (RFC 1122 4.1.4).
    """

    __slots__ = (
        "_queue", "_queued", "address", "error", "options", "port", "tos", "ttl",
    )  # fmt: skip

    def __init__(self, address: Ipv4Address, port: int) -> None:
        super().__init__()
        self.address = address
        self.port = port
        self.ttl: int | None = None
        self.tos = 0
        self.options = b""
        self.error: OSError | None = None
        self._queue: deque[Datagram] = deque()
        self._queued = 0

    @property
    def readable(self) -> int:
        """Datagrams that wait to be received."""
        return len(self._queue)

    def put(self, datagram: Datagram, limit: int) -> bool:
        """Queue a datagram; False when the queue holds `limit` octets already."""
        size = len(datagram.data) + _OVERHEAD
        if self._queued + size > limit:
            return False
        self._queue.append(datagram)
        self._queued += size
        return True

    def get(self) -> Datagram | None:
        """The oldest datagram, or None."""
        if not self._queue:
            return None
        datagram = self._queue.popleft()
        self._queued -= len(datagram.data) + _OVERHEAD
        return datagram

    def raise_error(self) -> None:
        """Raise the error that is waiting to be told, once."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error


class Udp:
    """UDP of one host. `on_no_port(header, payload, was_group, now)` is told of datagrams that nobody listens for."""

    def __init__(
        self,
        config: UdpConfig,
        counters: Counters,
        events: EventQueue,
        network: DatagramNetwork,
        random: RandomSource,
    ) -> None:
        self.on_no_port: Callable[[Ipv4Header, memoryview, bool, Instant], None] | None = None
        self._config = config
        self._counters = counters
        self._events = events
        self._network = network
        self._random = random
        self._sockets: dict[tuple[int, int], UdpSocket] = {}

    def bind(self, port: int | None, address: Ipv4Address) -> UdpSocket:
        """A socket for `port` of `address` (UNSPECIFIED: of all); None: an ephemeral port. Raises OSError."""
        if port is None:
            port = ephemeral_port(
                self._config.ephemeral_ports, self._random, lambda each: (address, each) not in self._sockets
            )
        if not 0 < port < 65536:
            raise OSError(errno.EINVAL, f"a UDP port is 1 to 65535, not {port}")
        if (address, port) in self._sockets:
            raise OSError(errno.EADDRINUSE, f"UDP port {port} is in use")
        socket = self._sockets[address, port] = UdpSocket(address, port)
        return socket

    def close(self, socket: UdpSocket) -> None:
        """Give the port back; harmless when done twice."""
        socket.handler = None
        if self._sockets.get((socket.address, socket.port)) is socket:
            del self._sockets[socket.address, socket.port]

    def send(
        self,
        socket: UdpSocket,
        data: Octets,
        dst: Ipv4Address,
        port: int,
        now: Instant,
        source: Ipv4Address | None = None,
    ) -> None:
        """Send one datagram. Raises OSError: EMSGSIZE, EINVAL, ENETUNREACH, or an error reported about an earlier."""
        socket.raise_error()
        if not 0 < port < 65536:
            raise OSError(errno.EINVAL, f"a UDP port is 1 to 65535, not {port}")
        if len(data) > udp.MAXIMUM_PAYLOAD:
            raise OSError(errno.EMSGSIZE, f"a datagram has at most {udp.MAXIMUM_PAYLOAD} octets, not {len(data)}")
        if source is None:
            source = socket.address if socket.address != UNSPECIFIED else self._network.source_for(dst)
        octets = udp.build(UdpHeader(socket.port, port), data, source, dst, fastpath.checksum)
        self._counters["UdpOutDatagrams"] += 1
        self._network.send(dst, PROTOCOL_UDP, octets, now, source, socket.ttl, socket.tos, options=socket.options)

    def receive_datagram(self, socket: UdpSocket) -> Datagram | None:
        """The oldest datagram, or None. Raises OSError, once, for an error reported by ICMP."""
        socket.raise_error()
        return socket.get()

    def receive(self, header: Ipv4Header, payload: memoryview, was_group: bool, now: Instant) -> None:
        """A datagram has arrived."""
        try:
            ports, data = udp.parse(payload, header.src, header.dst, fastpath.checksum)
        except ChecksumMismatch:
            self._counters["UdpInCsumErrors"] += 1
            return
        except MalformedPacket:
            self._counters["UdpInErrors"] += 1
            return
        socket = self._socket_for(header.dst, ports.dst_port)
        if socket is None:
            self._counters["UdpNoPorts"] += 1
            if self.on_no_port is not None:
                self.on_no_port(header, payload, was_group, now)
            return
        arrived = Datagram(bytes(data), header.src, ports.src_port, header.dst, header.tos, header.options)
        if socket.put(arrived, self._config.receive_queue):
            self._counters["UdpInDatagrams"] += 1
            self._events.post(socket, READABLE)
        else:
            self._counters["UdpRcvbufErrors"] += 1

    def on_icmp_error(self, report: IcmpReport, now: Instant) -> None:
        """An ICMP error quotes a datagram of ours."""
        source_port = int.from_bytes(report.quoted[:2], "big")
        socket = self._socket_for(report.src, source_port)
        if socket is None:
            self._counters["IcmpInQuoteUnmatched"] += 1
            return
        if (report.type, report.code) == (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED):
            self._network.reduce_mtu(report.dst, report.next_hop_mtu, now)
        number, what = _MEANING.get((report.type, report.code)) or _MEANING[report.type, None]
        port = int.from_bytes(report.quoted[2:4], "big")
        socket.error = OSError(number, f"{what}: a datagram to {show_ipv4(report.dst)}, port {port}")
        self._events.post(socket, READABLE)

    def _socket_for(self, address: int, port: int) -> UdpSocket | None:
        return self._sockets.get((address, port)) or self._sockets.get((UNSPECIFIED, port))
