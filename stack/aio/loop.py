"""asyncio's event loop with the stack in it: what belongs to the stack's networks goes there, all else to the kernel.

StackCalls overrides the calls of an event loop that name addresses, and hands on to the loop that it is mixed into
what is not the stack's. What is the stack's never goes to the kernel, which would send it to wherever the machine's own
routes lead: where the stack cannot do what is asked, the call fails.
"""

import asyncio
import errno
import socket
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

from stack.addresses import UNSPECIFIED, Ipv4Address, show_ipv4
from stack.aio.clients import TIMEOUTS, ClientCalls, check_options
from stack.aio.endpoint import DatagramCalls
from stack.aio.files import FileCalls
from stack.aio.names import NameCalls
from stack.aio.selector import StackSelector
from stack.aio.server import Server
from stack.aio.standins import StandIn, StandIns, is_spliced
from stack.aio.territory import Territory, ipv4_of
from stack.aio.underlay import Underlay, VirtualNetwork
from stack.clock import MILLISECOND, SECOND
from stack.host import Host
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.listener import Listener
from stack.virtual.network import Network

if TYPE_CHECKING:
    _Base = asyncio.SelectorEventLoop
else:
    _Base = object
_Factory = Callable[[], asyncio.BaseProtocol]
_SERVER_OPTIONS: Final = frozenset(
    ("backlog", "family", "flags", "keep_alive", "reuse_address", "reuse_port", "ssl", "start_serving", *TIMEOUTS)
)


class StackCalls(NameCalls, ClientCalls, DatagramCalls, FileCalls, _Base):
    """The calls. `_settle_in` is to be called before any of them."""

    def _settle_in(self, underlay: Underlay, names: Mapping[str, str], dns_servers: Sequence[Ipv4Address] = ()) -> None:
        self._underlay = underlay
        self._territory = Territory(underlay.hosts, names)
        self._now = underlay.now
        if dns_servers:
            self._ask_servers(dns_servers)
        self._stand_ins = StandIns(underlay.now)
        self._with_ports = weakref.WeakSet()

    def run_forever(self) -> None:
        """See AbstractEventLoop."""
        try:
            super().run_forever()
        finally:
            self._underlay.rest()

    def close(self) -> None:
        """Let what was closed be delivered, end the rest, let go of its ports, and of the devices."""
        if self.is_running() or self.is_closed():
            super().close()  # which complains, or has nothing to do
            return
        for each in list(self._with_ports):
            each.close()  # the host may live longer than the loop
        try:
            self._underlay.close()
        finally:
            super().close()

    # Servers

    async def create_server(  # type: ignore[override]
        self, protocol_factory: _Factory, host: Any = None, port: Any = None, *, sock: Any = None, **options: Any
    ) -> asyncio.AbstractServer:
        """As asyncio's. Without a host, or with 0.0.0.0, it listens on the stack's hosts, and not on the machine's.

        So does a `sock` that is bound to a port of 0.0.0.0 and does not listen: the port is what counts of it. And so
        does one that is bound to an address of the stack's, as IP_FREEBIND or net.ipv4.ip_nonlocal_bind allow.
        """
        check_options("create_server", options, _SERVER_OPTIONS)
        bound = None
        if sock is not None and host is None and port is None and self._is_bound_here(sock) and not _listens(sock):
            bound, sock = sock, None
            host, port = bound.getsockname()
        nowhere = host is None and port is None  # which asyncio complains of
        if sock is not None or nowhere or options.get("family", 0) not in (0, socket.AF_INET):
            return await super().create_server(protocol_factory, host, port, sock=sock, **options)
        context = options.get("ssl")
        timeouts = {name: options[name] for name in TIMEOUTS if options.get(name) is not None}
        if isinstance(context, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        if timeouts and context is None:
            raise ValueError(f"{next(iter(timeouts))} is only meaningful with ssl")
        places = await self._places(host, port)
        if places is None:
            return await super().create_server(protocol_factory, host, port, **options)

        def make_transport(stack: Host, connection: Connection, server: Server) -> None:
            self._make_transport(
                stack, connection, protocol_factory(), context, None, server, server_side=True, **timeouts
            )

        listeners = self._listen(places, int(port or 0), options.get("backlog") or 100)
        server = Server(self, listeners, make_transport, self._now, bound)
        if options.get("keep_alive"):
            for face in server.sockets:
                face.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._with_ports.add(server)
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

    def _is_bound_here(self, sock: socket.socket) -> bool:
        """Whether `sock` is for TCP, and bound to a port of all addresses, or of one of the stack's."""
        if (sock.family, sock.type) != (socket.AF_INET, socket.SOCK_STREAM):
            return False
        name, port = sock.getsockname()
        address = ipv4_of(name)
        return bool(port) and address is not None and (address == UNSPECIFIED or self._territory.has(address))

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

    # Sockets

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """As asyncio's. For an address of the stack's, `sock` then stands for a connection of ours.

        It may be bound: to a port of all addresses, or to an address of the stack's; see create_server().
        """
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            await super().sock_connect(sock, address)
            return
        infos = await self.getaddrinfo(*address[:2], family=sock.family, type=sock.type, proto=sock.proto)
        resolved = infos[0][4]
        if not self._is_ours(resolved):
            await super().sock_connect(sock, resolved)
            return
        self._check_does_not_block(sock)
        if sock.type != socket.SOCK_STREAM:
            raise OSError(errno.ENETUNREACH, f"{resolved[0]} is the stack's: use create_datagram_endpoint()")
        patience = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) * MILLISECOND
        local = sock.getsockname()[:2]
        host, connection = await self._open(resolved, local if local[1] else None, patience or None)
        self._stand_ins.connect(sock, host, connection)

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """As asyncio's. What listens on a port of 0.0.0.0 does so on the stack's hosts, and not on the machine's.

        So does what is bound to an address of the stack's: see create_server().
        """
        queue = self._stand_ins.queue(sock)
        if queue is None:
            if is_spliced(sock) or not (self._is_bound_here(sock) and _listens(sock)):
                return await super().sock_accept(sock)
            address, port = sock.getsockname()
            listeners = self._listen(await self._places(address, port) or [], port, socket.SOMAXCONN)
            queue = self._stand_ins.listen(sock, listeners)
        host, connection = await queue.next()
        accepted = socket.socket()
        accepted.setblocking(False)
        self._stand_ins.connect(accepted, host, connection)
        return accepted, (show_ipv4(connection.key.remote_addr), connection.key.remote_port)

    async def sock_recv(self, sock: socket.socket, nbytes: int) -> bytes:
        """As asyncio's."""
        stand_in = self._stand_in(sock)
        return await (super().sock_recv(sock, nbytes) if stand_in is None else stand_in.read(nbytes))

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """As asyncio's."""
        stand_in = self._stand_in(sock)
        if stand_in is None:
            return await super().sock_recv_into(sock, buf)
        with memoryview(buf) as view, view.cast("B") as octets:
            data = await stand_in.read(len(octets))
            octets[: len(data)] = data
        return len(data)

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """As asyncio's."""
        stand_in = self._stand_in(sock)
        await (super().sock_sendall(sock, data) if stand_in is None else stand_in.write(data))

    async def sock_sendfile(
        self, sock: socket.socket, file: IO[bytes], offset: int = 0, count: int | None = None, *, fallback: Any = True
    ) -> int:
        """As asyncio's; over a connection of the stack's, the file is always read and sent."""
        if self._stand_in(sock) is None:
            return await super().sock_sendfile(sock, file, offset, count, fallback=fallback)
        base: Any = asyncio.BaseEventLoop
        base._check_sendfile_params(self, sock, file, offset, count)
        if not fallback:
            raise asyncio.SendfileNotAvailableError("the kernel cannot send a file over a connection of the stack's")
        sent: int = await base._sock_sendfile_fallback(self, sock, file, offset, count)
        return sent

    def _stand_in(self, sock: socket.socket) -> StandIn | None:
        """What `sock` stands for, if anything. Raises ValueError, as asyncio does where it is debugged."""
        stand_in = self._stand_ins.of(sock)
        if stand_in is not None:
            self._check_does_not_block(sock)
        return stand_in

    def _check_does_not_block(self, sock: socket.socket) -> None:
        if self.get_debug() and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")


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
        self._virtual = VirtualNetwork(network)
        super().__init__(self._virtual, names or {}, dns_servers)

    def time(self) -> float:
        """Seconds of the network's time."""
        return self._now() / SECOND

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """As asyncio's; the network's time stands still meanwhile."""
        work = super().run_in_executor(executor, func, *args)
        self._virtual.hold(work)
        return work
