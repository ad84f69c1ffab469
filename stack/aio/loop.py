"""asyncio's event loop with the stack in it: what belongs to the stack's networks goes there, all else to the kernel.

StackCalls overrides the calls of an event loop that name addresses, and hands on to the loop that it is mixed into
what is not the stack's. What is the stack's never goes to the kernel, which would send it to wherever the machine's own
routes lead: where the stack cannot do what is asked, the call fails.
"""

import asyncio
import errno
import socket
from asyncio import sslproto
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stack.addresses import UNSPECIFIED, Ipv4Address, show_ipv4
from stack.aio.endpoint import DatagramCalls
from stack.aio.names import NameCalls
from stack.aio.selector import StackSelector
from stack.aio.server import Server
from stack.aio.standins import StandIns
from stack.aio.stream import StreamTransport
from stack.aio.territory import Territory, ipv4_of
from stack.aio.underlay import Underlay, VirtualNetwork
from stack.clock import SECOND, Instant
from stack.events import CLOSED, ESTABLISHED
from stack.host import Host
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.listener import Listener
from stack.virtual.network import Network

if TYPE_CHECKING:
    _Base = asyncio.SelectorEventLoop
else:
    _Base = object
_Factory = Callable[[], asyncio.BaseProtocol]
_Made = tuple[asyncio.BaseTransport, asyncio.BaseProtocol]
_TLS_OPTIONS = ("server_hostname", "ssl_handshake_timeout", "ssl_shutdown_timeout")


class StackCalls(NameCalls, DatagramCalls, _Base):
    """The calls. `_settle_in` is to be called before any of them."""

    def _settle_in(self, underlay: Underlay, names: Mapping[str, str], dns_servers: Sequence[Ipv4Address] = ()) -> None:
        self._underlay = underlay
        self._territory = Territory(underlay.hosts, names)
        self._now = underlay.now
        if dns_servers:
            self._ask_servers(dns_servers)
        self._stand_ins = StandIns(underlay.now)

    def close(self) -> None:
        """Let what was closed be delivered, end the rest, let go of the devices."""
        if not self.is_running() and not self.is_closed():
            try:
                self._underlay.close()
            finally:
                super().close()

    # Servers

    async def create_server(  # type: ignore[override]
        self, protocol_factory: _Factory, host: Any = None, port: Any = None, *, sock: Any = None, **options: Any
    ) -> asyncio.AbstractServer:
        """As asyncio's. Without a host, or with 0.0.0.0, it listens on the stack's hosts, and not on the machine's.

        So does a `sock` that is bound to a port of 0.0.0.0 and does not listen: the port is what counts of it.
        """
        bound = None
        if sock is not None and host is None and port is None and _is_for_all_addresses(sock) and not _listens(sock):
            bound, sock = sock, None
            host, port = bound.getsockname()
        if sock is not None or options.get("family", 0) not in (0, socket.AF_INET):
            return await super().create_server(protocol_factory, host, port, sock=sock, **options)
        places = await self._places(host, port)
        if places is None:
            return await super().create_server(protocol_factory, host, port, **options)
        context = options.pop("ssl", None)
        timeouts = {name: options[name] for name in _TLS_OPTIONS if options.get(name) is not None}
        if isinstance(context, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        if timeouts and context is None:
            raise ValueError(f"{next(iter(timeouts))} is only meaningful with ssl")

        def make_transport(stack: Host, connection: Connection, server: Server) -> None:
            self._make_transport(
                stack, connection, protocol_factory(), context, None, server, server_side=True, **timeouts
            )

        listeners = self._listen(places, int(port or 0), options.get("backlog") or 100)
        server = Server(self, listeners, make_transport, self._now, bound)
        if options.get("start_serving", True):
            await server.start_serving()
        return server

    async def _places(self, host: Any, port: Any) -> list[tuple[Host, Ipv4Address]] | None:
        """Where to listen; None: nowhere on the stack. Raises OSError."""
        names: Iterable[Any] = [host] if host is None or isinstance(host, str | bytes) else host
        places: dict[tuple[Host, Ipv4Address], None] = {}
        elsewhere = []
        for name in names:
            infos = [(None,) * 4 + (("0.0.0.0",),)]
            if name not in (None, "", "0.0.0.0"):
                infos = await self.getaddrinfo(name, port, type=socket.SOCK_STREAM)
            for *_, address in infos:
                number = ipv4_of(address[0])
                if number == UNSPECIFIED:
                    places.update(((each, UNSPECIFIED), None) for each in self._territory.hosts)
                elif number is not None and (owner := self._territory.owner(number)) is not None:
                    places[owner, number] = None
                else:
                    elsewhere.append(address[0])
        if places and elsewhere:
            raise OSError(
                errno.EADDRNOTAVAIL, f"{elsewhere[0]} is not the stack's, the others are: two servers, please"
            )
        return list(places) or None

    def _listen(self, places: list[tuple[Host, Ipv4Address]], port: int, backlog: int) -> list[tuple[Host, Listener]]:
        listeners: list[tuple[Host, Listener]] = []
        try:
            for host, address in places:
                chosen = port or (listeners[0][1].port if listeners else 0)
                listeners.append((host, self._listen_at(host, address, chosen, backlog)))
        except OSError:
            for host, listener in listeners:
                host.close_listener(listener, self._now())
            raise
        return listeners

    def _listen_at(self, host: Host, address: Ipv4Address, port: int, backlog: int) -> Listener:
        """Listen on `port`, or on an ephemeral one for 0."""
        own = None if address == UNSPECIFIED else address
        low, high = host.config.tcp.ephemeral_ports
        for candidate in (port,) if port else range(low, high + 1):
            try:
                return host.listen(candidate, self._now(), own, backlog)
            except OSError as error:
                if port or error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, f"all ephemeral ports from {low} to {high} are in use")

    # Clients

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: _Factory, host: Any = None, port: Any = None, *, sock: Any = None, **options: Any
    ) -> _Made:
        """As asyncio's; `sock` may be one that sock_connect() has connected to an address of the stack's."""
        context = options.get("ssl")
        given = {name: options[name] for name in _TLS_OPTIONS if options.get(name) is not None}
        if sock is not None:
            if self._stand_ins.of(sock) is None:
                return await super().create_connection(protocol_factory, sock=sock, **options)
            self._check_tls(context, host, given)
            stack, connection = self._take_over(sock)
        else:
            infos = await self._resolve(host, port, options)
            if not any(self._is_ours(address, options.get("local_addr")) for address in infos):
                return await super().create_connection(protocol_factory, host, port, **options)
            self._check_tls(context, host, given)
            stack, connection = await self._connect_to_any(infos, options.get("local_addr"))
        return await self._hand_over(stack, connection, protocol_factory, context, given)

    async def connect_accepted_socket(  # type: ignore[override]
        self, protocol_factory: _Factory, sock: socket.socket, *, ssl: Any = None, **timeouts: Any
    ) -> _Made:
        """As asyncio's; `sock` may be one that sock_accept() has given."""
        if self._stand_ins.of(sock) is None:
            return await super().connect_accepted_socket(protocol_factory, sock, ssl=ssl, **timeouts)
        given = {name: value for name, value in timeouts.items() if value is not None}
        if ssl is None and given:
            raise ValueError(f"{next(iter(given))} is only meaningful with ssl")
        stack, connection = self._take_over(sock)
        return await self._hand_over(stack, connection, protocol_factory, ssl, given, server_side=True)

    def _take_over(self, sock: socket.socket) -> tuple[Host, Connection]:
        stand_in = self._stand_ins.take(sock)
        assert stand_in is not None
        return stand_in.host, stand_in.connection

    async def _hand_over(
        self,
        stack: Host,
        connection: Connection,
        factory: _Factory,
        context: Any,
        given: dict[str, Any],
        *,
        server_side: bool = False,
    ) -> _Made:
        """A transport on `connection`, once its protocol is connected, and TLS is agreed on."""
        waiter = self.create_future()
        try:
            protocol = factory()
        except BaseException:
            stack.abort(connection, self._now())
            raise
        transport = self._make_transport(
            stack, connection, protocol, context, waiter, None, server_side=server_side, **given
        )
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    def _check_tls(self, context: Any, host: Any, given: dict[str, Any]) -> None:
        """Complain as asyncio does; fill in the name that the server's certificate must have."""
        if not context and given:
            raise ValueError(f"{next(iter(given))} is only meaningful with ssl")
        if context and "server_hostname" not in given:
            if not host:
                raise ValueError("You must set server_hostname when using ssl without a host")
            given["server_hostname"] = host

    async def _resolve(self, host: Any, port: Any, options: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        if host is None:
            return []
        asked = {name: options.get(name) or 0 for name in ("family", "proto", "flags")}
        infos = await self.getaddrinfo(host, port, type=socket.SOCK_STREAM, **asked)
        return [info[4] for info in infos]

    def _is_ours(self, address: tuple[Any, ...], local: Any = None) -> bool:
        number = ipv4_of(address[0])
        if number is None:
            return False
        own = None if local is None else ipv4_of(self._territory.literal(local[0]))
        return self._territory.holds(number) or (own is not None and own != UNSPECIFIED and self._territory.holds(own))

    async def _connect_to_any(self, addresses: list[tuple[Any, ...]], local: Any) -> tuple[Host, Connection]:
        """The first of the stack's `addresses` that answers. Raises the first's OSError."""
        errors = []
        for address in addresses:
            if self._is_ours(address, local):
                try:
                    return await self._open(address, local)
                except OSError as error:
                    errors.append(error)
        raise errors[0]

    async def _open(self, address: tuple[Any, ...], local: Any = None) -> tuple[Host, Connection]:
        """An active open. Raises OSError."""
        number = ipv4_of(address[0])
        own = None if local is None else ipv4_of(self._territory.literal(local[0]))
        host = None if number is None else self._territory.way_to(number, own)
        if number is None or host is None:
            raise OSError(errno.ENETUNREACH, f"Connect call failed {address}")
        own = None if own == UNSPECIFIED else own
        connection = host.connect(number, address[1], self._now(), own, (local[1] or None) if local else None)
        opened: asyncio.Future[None] = self.create_future()

        def on_event(kinds: int, now: Instant) -> None:
            if opened.done():
                return
            if kinds & ESTABLISHED:
                opened.set_result(None)
            elif kinds & CLOSED:
                number = connection.error.errno if connection.error else errno.ECONNABORTED
                opened.set_exception(OSError(number, f"Connect call failed {address}"))

        connection.handler = on_event
        try:
            await opened
        except BaseException:
            connection.handler = None
            host.abort(connection, self._now())
            raise
        return host, connection

    def _make_transport(
        self,
        stack: Host,
        connection: Connection,
        protocol: asyncio.BaseProtocol,
        context: Any,
        waiter: "asyncio.Future[None] | None",
        server: Server | None,
        *,
        server_side: bool,
        **given: Any,
    ) -> asyncio.Transport:
        """A transport for `protocol`, with TLS between them where there is a `context`."""
        if not context:
            return StreamTransport(self, stack, connection, protocol, self._now, waiter, server)
        make: Any = sslproto.SSLProtocol
        between = make(self, protocol, None if context is True else context, waiter, server_side, **given)
        StreamTransport(self, stack, connection, between, self._now, None, server)
        transport: asyncio.Transport = between._app_transport
        return transport

    # Sockets

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """As asyncio's. For an address of the stack's, `sock` then stands for a connection of ours."""
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            await super().sock_connect(sock, address)
            return
        infos = await self.getaddrinfo(*address[:2], family=sock.family, type=sock.type, proto=sock.proto)
        resolved = infos[0][4]
        if not self._is_ours(resolved):
            await super().sock_connect(sock, resolved)
            return
        if sock.type != socket.SOCK_STREAM:
            raise OSError(errno.ENETUNREACH, f"{resolved[0]} is the stack's: use create_datagram_endpoint()")
        host, connection = await self._open(resolved)
        self._stand_ins.connect(sock, host, connection)

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """As asyncio's. What listens on a port of 0.0.0.0 does so on the stack's hosts, and not on the machine's."""
        queue = self._stand_ins.queue(sock)
        if queue is None:
            if not (_is_for_all_addresses(sock) and _listens(sock)):
                return await super().sock_accept(sock)
            places = [(host, UNSPECIFIED) for host in self._territory.hosts]
            listeners = self._listen(places, sock.getsockname()[1], socket.SOMAXCONN)
            queue = self._stand_ins.listen(sock, listeners)
        host, connection = await queue.next()
        accepted = socket.socket()
        accepted.setblocking(False)
        self._stand_ins.connect(accepted, host, connection)
        return accepted, (show_ipv4(connection.key.remote_addr), connection.key.remote_port)

    async def sock_recv(self, sock: socket.socket, nbytes: int) -> bytes:
        """As asyncio's."""
        stand_in = self._stand_ins.of(sock)
        return await (super().sock_recv(sock, nbytes) if stand_in is None else stand_in.read(nbytes))

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """As asyncio's."""
        stand_in = self._stand_ins.of(sock)
        if stand_in is None:
            return await super().sock_recv_into(sock, buf)
        with memoryview(buf) as view, view.cast("B") as octets:
            data = await stand_in.read(len(octets))
            octets[: len(data)] = data
        return len(data)

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """As asyncio's."""
        stand_in = self._stand_ins.of(sock)
        await (super().sock_sendall(sock, data) if stand_in is None else stand_in.write(data))


def _is_for_all_addresses(sock: socket.socket) -> bool:
    if (sock.family, sock.type) != (socket.AF_INET, socket.SOCK_STREAM):
        return False
    address, port = sock.getsockname()
    return bool(address == "0.0.0.0" and port != 0)


def _listens(sock: socket.socket) -> bool:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0


class StackLoop(StackCalls, asyncio.SelectorEventLoop):
    """asyncio's selector loop, with the stack in its selector."""

    def __init__(self, underlay: Underlay, names: Mapping[str, str], dns_servers: Sequence[Ipv4Address] = ()) -> None:
        self._settle_in(underlay, names, dns_servers)
        super().__init__(StackSelector(underlay))


class VirtualLoop(StackLoop):
    """A loop in the time of a network of hosts in memory; see VirtualNetwork."""

    def __init__(
        self, network: Network, names: Mapping[str, str] | None = None, dns_servers: Sequence[Ipv4Address] = ()
    ) -> None:
        super().__init__(VirtualNetwork(network), names or {}, dns_servers)

    def time(self) -> float:
        """Seconds of the network's time."""
        return self._now() / SECOND
