"""Where the datagrams of an endpoint go: to UDP sockets on the stack's hosts, to the kernel, or to whichever it is.

An endpoint that is bound to an address of the stack's, or connected to one, has sockets of ours only. One that is bound
to nothing asks for each datagram whose network its destination is in. The stack's own addresses never go to the kernel.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping

from stack.addresses import Ipv4Address, show_ipv4
from stack.aio.datagram import Address, DatagramTransport
from stack.aio.territory import Territory, ipv4_of
from stack.clock import Instant
from stack.host import Host
from stack.transport.udp import UdpSocket

Remote = tuple[Ipv4Address, int]
MakeEndpoint = Callable[
    [Callable[[], asyncio.BaseProtocol]], Awaitable[tuple[asyncio.BaseTransport, asyncio.BaseProtocol]]
]


class StackOutlet:
    """Sockets of ours, which it closes: those given, or else one on each host that turns out to be needed.

    `remote`: the only one that is sent to and heard. `mapped`: peers are told as AF_INET6 has them (RFC 4291 2.5.5.2).
    `stead`: an endpoint of the kernel's, in whose stead they are; it is closed with them.
    """

    def __init__(
        self,
        territory: Territory,
        now: Callable[[], Instant],
        sockets: Mapping[Host, UdpSocket],
        remote: Remote | None = None,
        *,
        mapped: bool = False,
        stead: "KernelOutlet | None" = None,
    ) -> None:
        self._territory = territory
        self._now = now
        self._sockets = dict(sockets)
        self._is_bound = bool(sockets)  # otherwise each is made when it is needed
        self._remote = remote
        self._mapped = mapped
        self._stead = stead
        self._transport: DatagramTransport | None = None

    def begin(self, transport: DatagramTransport) -> None:
        """See Outlet."""
        self._transport = transport
        for host, socket in list(self._sockets.items()):
            self._listen(host, socket)

    def send(self, data: bytes, address: Address, *, broadcast: bool) -> bool:
        """Send by the host that is nearest. Raises OSError."""
        to, port = self._remote or _remote_of(self._territory, address)
        host = self._territory.way_to(to)
        if self._is_bound and host not in self._sockets:
            host = next(iter(self._sockets))
        if host is None:
            raise OSError(errno.ENETUNREACH, f"no host of the stack's has a way to {show_ipv4(to)}")
        if not broadcast and host.is_broadcast(to):
            raise PermissionError(errno.EACCES, f"{show_ipv4(to)} is for all, which needs allow_broadcast")
        if host not in self._sockets:
            self._sockets[host] = socket = host.bind_udp(None, self._now())
            self._listen(host, socket)
        host.send_datagram(self._sockets[host], data, to, port, self._now())
        return True

    def close(self) -> None:
        """See Outlet."""
        self._transport = None
        for host, socket in self._sockets.items():
            host.close_udp(socket, self._now())
        if self._stead is not None:
            self._stead.close()

    def _listen(self, host: Host, socket: UdpSocket) -> None:
        socket.handler = lambda kinds, now: self._take(host, socket)
        self._take(host, socket)

    def _take(self, host: Host, socket: UdpSocket) -> None:
        """Hand on everything that has arrived."""
        while (transport := self._transport) is not None:
            try:
                datagram = host.receive_datagram(socket)
            except OSError as error:
                transport.report(error)
                continue
            if datagram is None:
                return
            if self._remote in (None, (datagram.address, datagram.port)):
                name = show_ipv4(datagram.address)
                at: Address = (f"::ffff:{name}", datagram.port, 0, 0) if self._mapped else (name, datagram.port)
                transport.deliver(datagram.data, at)


class KernelOutlet(asyncio.DatagramProtocol):
    """An endpoint of the kernel's, which `make` makes at the first datagram that needs it."""

    def __init__(self, make: MakeEndpoint) -> None:
        self._make = make
        self._inner: asyncio.DatagramTransport | None = None
        self._outer: DatagramTransport | None = None
        self._making: asyncio.Task[None] | None = None
        self._failure: OSError | None = None
        self._is_full = False

    async def make(self) -> Address:
        """Have it now; returns where it is. Raises OSError."""
        transport, _ = await self._make(lambda: self)
        sockname: Address = transport.get_extra_info("sockname")
        return sockname

    def begin(self, transport: DatagramTransport) -> None:
        """See Outlet."""
        self._outer = transport

    def send(self, data: bytes, address: Address, *, broadcast: bool = False) -> bool:
        """See Outlet; what may be broadcast the kernel knows. Raises OSError, also for its not having been made."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._inner is None:
            if self._making is None:
                self._making = asyncio.get_running_loop().create_task(self._make_for_outer())
            return False
        if self._is_full:
            return False
        self._inner.sendto(data, address)
        return True

    def close(self) -> None:
        """See Outlet."""
        self._outer = None
        if self._making is not None:
            self._making.cancel()
        if self._inner is not None:
            self._inner.close()

    async def _make_for_outer(self) -> None:
        try:
            await self.make()
        except OSError as error:
            self._failure = error
        self._making = None
        self._resume()

    # What the kernel's endpoint tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._inner = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Something has arrived."""
        if self._outer is not None:
            self._outer.deliver(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Something has not."""
        if self._outer is not None and isinstance(exc, OSError):
            self._outer.report(exc)

    def pause_writing(self) -> None:
        """The kernel takes no more."""
        self._is_full = True

    def resume_writing(self) -> None:
        """It does again."""
        self._is_full = False
        self._resume()

    def _resume(self) -> None:
        if self._outer is not None:
            self._outer.resume()


class RoutedOutlet:
    """To `stack` what is its, to `kernel` everything else. Without `stack`, what is the stack's is refused."""

    def __init__(self, territory: Territory, stack: StackOutlet | None, kernel: KernelOutlet) -> None:
        self._territory = territory
        self._stack = stack
        self._kernel = kernel

    def begin(self, transport: DatagramTransport) -> None:
        """See Outlet."""
        self._kernel.begin(transport)
        if self._stack is not None:
            self._stack.begin(transport)

    def send(self, data: bytes, address: Address, *, broadcast: bool) -> bool:
        """See Outlet. Raises OSError."""
        name = self._territory.literal(address[0])
        if name is None:
            raise OSError(errno.EDESTADDRREQ, f"{address} is a name: a datagram goes to an address")
        number = ipv4_of(name)
        if number is None or not self._territory.holds(number):
            return self._kernel.send(data, (name, *address[1:]))
        if self._stack is None:
            raise OSError(errno.ENETUNREACH, f"{name} is the stack's, and this endpoint is bound to what is not")
        return self._stack.send(data, address, broadcast=broadcast)

    def close(self) -> None:
        """See Outlet."""
        if self._stack is not None:
            self._stack.close()
        self._kernel.close()


def _remote_of(territory: Territory, address: Address) -> Remote:
    """The address and port that `address` stands for. Raises OSError for what is no IPv4 address."""
    number = ipv4_of(territory.literal(address[0]))
    if number is None:
        raise OSError(errno.EAFNOSUPPORT, f"{address[0]} is no IPv4 address, which is all that the stack has")
    return number, int(address[1])
