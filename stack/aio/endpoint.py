"""create_datagram_endpoint(): whose sockets an endpoint has, by what it is bound and connected to.

bound to an address of the stack's, or connected to one       the stack's
bound to a port of all addresses                              the stack's: a server is on its hosts, as with TCP
bound to nothing, or to any port of all addresses             for each datagram, those of whose network it goes to
a `sock` that is bound to all addresses                       the same; what comes to its port of the stack's, too
a `sock` that is bound to an address of the stack's           the stack's (IP_FREEBIND and ip_nonlocal_bind allow that)
connected to anything else                                    the kernel's
bound to anything else                                        the kernel's; what is the stack's is refused
"""

import asyncio
import errno
import functools
import socket
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from stack.addresses import UNSPECIFIED, Ipv4Address, show_ipv4
from stack.aio.datagram import Address, DatagramTransport, Outlet
from stack.aio.faces import DatagramFace
from stack.aio.outlets import KernelOutlet, MakeEndpoint, RoutedOutlet, StackOutlet
from stack.aio.standins import is_spliced
from stack.aio.territory import Territory, ipv4_of
from stack.clock import Instant
from stack.host import Host
from stack.transport.udp import UdpSocket

if TYPE_CHECKING:
    _Base = asyncio.SelectorEventLoop
else:
    _Base = object
_Factory = Callable[[], asyncio.BaseProtocol]
_Made = tuple[asyncio.BaseTransport, asyncio.BaseProtocol]
_ANY = ("0.0.0.0", "::")
_ASKED = ("family", "proto", "flags")


class DatagramCalls(_Base):
    """The part of StackCalls that is about datagrams."""

    _territory: Territory
    _now: Callable[[], Instant]
    _with_ports: "weakref.WeakSet[Any]"
    """Servers and outlets: what has ports of the hosts'."""

    async def create_datagram_endpoint(  # type: ignore[override]
        self,
        protocol_factory: _Factory,
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        sock: Any = None,
        **options: Any,
    ) -> _Made:
        """As asyncio's; see above for whose sockets it has."""
        make: Any = super().create_datagram_endpoint
        make_kernels: MakeEndpoint = functools.partial(
            make, local_addr=local_addr, remote_addr=remote_addr, sock=sock, **options
        )
        family = options.get("family", 0) if sock is None else sock.family
        nowhere = sock is None and not (local_addr or remote_addr)
        if family == socket.AF_UNIX or (nowhere and not family):
            return await make_kernels(protocol_factory)
        if sock is not None and (_is_connected(sock) or is_spliced(sock)):
            return await make_kernels(protocol_factory)
        broadcast = bool(options.get("allow_broadcast") if sock is None else _may_broadcast(sock))
        if remote_addr:
            way = await self._way_between(local_addr, remote_addr, options)
            if way is None:
                return await make_kernels(protocol_factory)
            return await self._make_endpoint(protocol_factory, *self._connected(*way), broadcast)
        kernel = KernelOutlet(make_kernels)
        if sock is not None:
            at = await kernel.make()
        elif local_addr:
            at = (await self._addresses(local_addr, options))[0]
        else:
            at = (_ANY[family == socket.AF_INET6], 0)
        own = ipv4_of(at[0])
        here = sock is not None and own is not None and self._territory.has(own)
        try:
            sockets = self._bind(at) if local_addr or here else self._bind_beside(at) if at[0] in _ANY and at[1] else {}
        except OSError:
            kernel.close()
            raise
        mapped, stead = family == socket.AF_INET6, kernel if here else None
        stack = StackOutlet(self._territory, self._now, sockets, mapped=mapped, stead=stead)
        bound = next(((at[0], each.port, *at[2:]) for each in sockets.values()), at)
        if at[0] not in _ANY:
            if sockets:
                return await self._make_endpoint(protocol_factory, stack, bound, None, broadcast)
            at = at if sock is not None else await kernel.make()
            routed = RoutedOutlet(self._territory, None, kernel)
            return await self._make_endpoint(protocol_factory, routed, at, None, broadcast)
        everywhere = stack if local_addr and at[1] else RoutedOutlet(self._territory, stack, kernel)
        return await self._make_endpoint(protocol_factory, everywhere, bound, None, broadcast)

    async def _addresses(self, address: Any, options: Mapping[str, Any]) -> list[Address]:
        if not (isinstance(address, tuple | list) and len(address) == 2):
            raise TypeError("2-tuple is expected")
        asked: dict[str, Any] = {name: options.get(name) or 0 for name in _ASKED}
        infos = await self.getaddrinfo(*address, type=socket.SOCK_DGRAM, **asked)
        return [info[4] for info in infos]

    async def _way_between(
        self, local: Any, remote: Any, options: Mapping[str, Any]
    ) -> tuple[Host, Ipv4Address | None, int | None, tuple[Ipv4Address, int]] | None:
        """Host, own address and port, and the other end; None: that is not the stack's. Raises OSError."""
        own, port, is_other_family = None, None, False
        if local:
            name, number, *_ = (await self._addresses(local, options))[0]
            own, port = ipv4_of(name), number or None
            is_other_family = own is None
        own = None if own == UNSPECIFIED else own
        for name, number, *_ in await self._addresses(remote, options):
            address = ipv4_of(name)
            if address is not None and is_other_family and self._territory.holds(address):
                raise ValueError("can not get address information")  # of one family for both
            if address is not None and (host := self._territory.way_to(address, own)) is not None:
                return host, own, port, (address, number)
            if address is not None and self._territory.holds(address):
                raise OSError(errno.EADDRNOTAVAIL, f"{name} is the stack's, and {local[0]} is not")
        return None

    def _connected(
        self, host: Host, own: Ipv4Address | None, port: int | None, remote: tuple[Ipv4Address, int]
    ) -> tuple[Outlet, Address, Address]:
        """Outlet, sockname and peername. Raises OSError."""
        own = host.source_for(remote[0]) if own is None else own
        bound = host.bind_udp(port, self._now(), own)
        outlet = StackOutlet(self._territory, self._now, {host: bound}, remote)
        return outlet, (show_ipv4(own), bound.port), (show_ipv4(remote[0]), remote[1])

    def _bind(self, at: Address) -> dict[Host, UdpSocket]:
        """Sockets at `at`, on each host for all addresses; none where it is not the stack's. Raises OSError."""
        number = ipv4_of(at[0])
        owner = None if number is None or at[0] in _ANY else self._territory.owner(number)
        hosts = self._territory.hosts if at[0] in _ANY else [owner] if owner else []
        sockets: dict[Host, UdpSocket] = {}
        port = at[1] or None
        try:
            for host in hosts:
                sockets[host] = host.bind_udp(port, self._now(), number if host is owner else None)
                port = sockets[host].port
        except OSError:
            for host, bound in sockets.items():
                host.close_udp(bound, self._now())
            raise
        return sockets

    def _bind_beside(self, at: Address) -> dict[Host, UdpSocket]:
        """As _bind(), for the port that the kernel's socket has. Raises OSError.

        Among ephemeral ports it was the kernel that chose it, and whoever is bound to it knows no other end: then
        another port does, when it is needed.
        """
        try:
            return self._bind(at)
        except OSError as error:
            ranges = [host.config.udp.ephemeral_ports for host in self._territory.hosts]
            if error.errno != errno.EADDRINUSE or not all(low <= at[1] <= high for low, high in ranges):
                raise
            return {}

    async def _make_endpoint(
        self, factory: _Factory, outlet: Outlet, sockname: Address, peername: Address | None, broadcast: bool
    ) -> _Made:
        waiter = self.create_future()
        self._with_ports.add(outlet)
        try:
            protocol = factory()
        except BaseException:
            outlet.close()
            raise
        face = DatagramFace(sockname, peername, broadcast=broadcast)
        transport = DatagramTransport(self, outlet, protocol, face, peername, waiter)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _may_broadcast(sock: socket.socket) -> bool:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) != 0
