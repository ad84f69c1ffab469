"""UDP for code that blocks: what a socket of it does at once, or not yet. All of it is the hosts' thread's."""

import errno
from socket import IP_TOS, IP_TTL, IPPROTO_IP
from typing import TYPE_CHECKING

from stack.addresses import UNSPECIFIED, Ipv4Address, show_ipv4
from stack.aio.faces import DatagramFace, SocketFace
from stack.host import Host
from stack.sockets.calls import Bell
from stack.sockets.stream import Address, error_of
from stack.transport.udp import UdpSocket

if TYPE_CHECKING:
    from stack.sockets.net import Net


class Datagrams:
    """A UDP socket, on each host that it turns out to need. `bell` rings when something has arrived."""

    def __init__(self, net: "Net", bell: Bell) -> None:
        self._net = net
        self._bell = bell
        self._sockets: dict[Host, UdpSocket] = {}
        self._bound: Ipv4Address | None = None
        self._port: int | None = None
        self._peer: tuple[Ipv4Address, int] | None = None
        self._ahead: tuple[bytes, Address] | None = None  # was looked at, and is still to be received
        self._tos = 0
        self._ttl: int | None = None
        self.face: SocketFace = DatagramFace(("0.0.0.0", 0), None)

    def bind(self, address: Ipv4Address, port: int) -> None:
        """At each host, for UNSPECIFIED. Raises OSError."""
        if self._bound is not None or self._sockets:
            raise error_of(errno.EINVAL)
        self._port = port or None
        try:
            for host, own in self._net.places(address).items():
                self._open(host, own)
        except OSError:
            self.close()
            raise
        self._bound = address

    def connect(self, remote: Ipv4Address | None, port: int) -> None:
        """Hear and send to this peer only; with None, to anybody again. Raises OSError."""
        if remote is None:
            self._peer = None
            return
        self._socket_towards(remote)
        self._peer = remote, port

    @property
    def is_connected(self) -> bool:
        """Whether there is only one peer."""
        return self._peer is not None

    def receive(self, peek: bool = False) -> tuple[bytes, Address]:
        """The oldest datagram, and who sent it. Raises OSError, also for what became of one that was sent."""
        if self._ahead is None:
            self._ahead = self._next()
        datagram = self._ahead
        if not peek:
            self._ahead = None
        return datagram

    def _next(self) -> tuple[bytes, Address]:
        for host, socket in self._sockets.items():
            while socket.readable or socket.error:
                try:
                    datagram = host.receive_datagram(socket)
                except OSError as error:
                    if self._peer is not None:  # as Linux has it: one who sends to many is not told
                        raise OSError(error.errno, error.strerror) from None
                    continue
                if datagram is not None and self._peer in (None, (datagram.address, datagram.port)):
                    return datagram.data, (show_ipv4(datagram.address), datagram.port)
        raise error_of(errno.EAGAIN)

    def send(self, data: bytes, to: tuple[Ipv4Address, int] | None) -> int:
        """Send a datagram, to the peer by default. Raises OSError."""
        to = to or self._peer
        if to is None:
            raise error_of(errno.EDESTADDRREQ)
        host, socket = self._socket_towards(to[0])
        if self._peer is None:
            socket.error = None  # see _next()
        host.send_datagram(socket, data, *to, self._net.now())
        return len(data)

    def set_option(self, level: int, name: int, value: int | bytes) -> None:
        """IP_TOS and IP_TTL; others are remembered. Raises OSError(EINVAL)."""
        self.face.setsockopt(level, name, value)
        if level == IPPROTO_IP and name == IP_TOS and isinstance(value, int):
            self._tos = value & 0xFF
        elif level == IPPROTO_IP and name == IP_TTL and isinstance(value, int):
            if value != -1 and not 0 < value < 256:
                raise error_of(errno.EINVAL)
            self._ttl = None if value == -1 else value
        for socket in self._sockets.values():
            socket.tos, socket.ttl = self._tos, self._ttl

    def is_readable(self) -> bool:
        """Whether something has arrived."""
        return self._ahead is not None or any(
            socket.readable or (socket.error and self._peer) for socket in self._sockets.values()
        )

    def sockname(self) -> Address:
        """Our end."""
        if self._bound is not None:
            return show_ipv4(self._bound), self._port or 0
        for host, socket in self._sockets.items():
            own = UNSPECIFIED if self._peer is None else host.source_for(self._peer[0])
            return show_ipv4(own), socket.port
        return "0.0.0.0", 0

    def peername(self) -> Address:
        """The only peer. Raises OSError(ENOTCONN)."""
        if self._peer is None:
            raise error_of(errno.ENOTCONN)
        return show_ipv4(self._peer[0]), self._peer[1]

    def close(self) -> None:
        """Give the ports back."""
        for host, socket in self._sockets.items():
            host.close_udp(socket, self._net.now())
        self._sockets.clear()

    def _socket_towards(self, remote: Ipv4Address) -> tuple[Host, UdpSocket]:
        """The socket on the host that is nearest to `remote`, or on that to which it is bound. Raises OSError."""
        bound = self._bound if self._bound != UNSPECIFIED else None
        host = self._net.territory.way_to(remote, bound)
        if host is None:
            raise error_of(errno.ENETUNREACH)
        return host, self._sockets.get(host) or self._open(host, UNSPECIFIED)

    def _open(self, host: Host, own: Ipv4Address) -> UdpSocket:
        socket = host.bind_udp(self._port, self._net.now(), None if own == UNSPECIFIED else own)
        socket.handler = self._bell
        socket.tos, socket.ttl = self._tos, self._ttl
        self._port = socket.port
        self._sockets[host] = socket
        return socket
