"""create_connection() and connect_accepted_socket(): connections of the stack's, and their transports."""

import asyncio
import errno
import functools
import socket
from asyncio import sslproto, staggered
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from stack.addresses import UNSPECIFIED
from stack.aio.server import Server
from stack.aio.standins import StandIns
from stack.aio.stream import StreamTransport
from stack.aio.territory import Territory, ipv4_of
from stack.clock import Duration, Instant
from stack.events import CLOSED, ESTABLISHED
from stack.host import Host
from stack.transport.tcp.connection import Connection

if TYPE_CHECKING:
    _Base = asyncio.SelectorEventLoop
else:
    _Base = object
_Factory = Callable[[], asyncio.BaseProtocol]
_Made = tuple[asyncio.BaseTransport, asyncio.BaseProtocol]
TIMEOUTS: Final = ("ssl_handshake_timeout", "ssl_shutdown_timeout")
_OPTIONS: Final = frozenset(
    (
        *("all_errors", "family", "flags", "happy_eyeballs_delay", "interleave", "local_addr", "proto"),
        *("server_hostname", "ssl", *TIMEOUTS),
    )
)


class ClientCalls(_Base):
    """The part of StackCalls that is about connections."""

    _territory: Territory
    _stand_ins: StandIns
    _now: Callable[[], Instant]

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: _Factory, host: Any = None, port: Any = None, *, sock: Any = None, **options: Any
    ) -> _Made:
        """As asyncio's; `sock` may be one that sock_connect() has connected to an address of the stack's."""
        check_options("create_connection", options, _OPTIONS)
        context = options.get("ssl")
        given = {name: options[name] for name in ("server_hostname", *TIMEOUTS) if options.get(name) is not None}
        if sock is not None and self._stand_ins.of(sock) is None:
            return await super().create_connection(protocol_factory, host, port, sock=sock, **options)
        self._check_tls(context, host, given)
        if sock is not None:
            if host is not None or port is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            stack, connection = self._take_over(sock)
        else:
            infos = await self._resolve(host, port, options)
            local = options.get("local_addr")
            if local is not None:
                name, number = local[:2]
                local = name, number
            if not any(self._is_ours(address, local) for address in infos):
                return await super().create_connection(protocol_factory, host, port, **options)
            stack, connection = await self._connect_to_any(infos, local, options)
        return await self._hand_over(stack, connection, protocol_factory, context, given)

    async def connect_accepted_socket(  # type: ignore[override]
        self, protocol_factory: _Factory, sock: socket.socket, *, ssl: Any = None, **timeouts: Any
    ) -> _Made:
        """As asyncio's; `sock` may be one that sock_accept() has given."""
        check_options("connect_accepted_socket", timeouts, TIMEOUTS)
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
            stack.close(connection, self._now())
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

    async def _connect_to_any(
        self, addresses: list[tuple[Any, ...]], local: Any, options: Mapping[str, Any]
    ) -> tuple[Host, Connection]:
        """The first of the stack's `addresses` that answers: each is tried when the one before has failed, or has not
        answered within happy_eyeballs_delay (RFC 8305). Raises OSError, or with all_errors an ExceptionGroup.
        """
        errors: list[OSError] = []
        opened: list[tuple[Host, Connection]] = []

        async def attempt(address: tuple[Any, ...]) -> None:
            try:
                opened.append(await self._open(address, local))
            except OSError as error:
                errors.append(error)
                raise

        attempts = [functools.partial(attempt, each) for each in addresses if self._is_ours(each, local)]
        delay = options.get("happy_eyeballs_delay")
        if delay is None:
            for each in attempts:
                with suppress(OSError):
                    await each()
                    break
        else:
            try:
                await staggered.staggered_race(attempts, delay, loop=self)
            except BaseException:
                for host, connection in opened:
                    host.abort(connection, self._now())
                raise
        if not opened:
            raise ExceptionGroup("create_connection failed", errors) if options.get("all_errors") else _one_of(errors)
        for host, connection in opened[1:]:  # which were not told in time that they are not needed
            host.abort(connection, self._now())
        return opened[0]

    async def _open(
        self, address: tuple[Any, ...], local: Any = None, patience: Duration | None = None
    ) -> tuple[Host, Connection]:
        """An active open; `patience` is TCP_USER_TIMEOUT's. Raises OSError."""
        number = ipv4_of(address[0])
        own = None if local is None else ipv4_of(self._territory.literal(local[0]))
        host = None if number is None else self._territory.way_to(number, own)
        if host is None and own is not None:
            raise OSError(errno.EADDRNOTAVAIL, f"error while attempting to bind on address {local}: it is no host's")
        if number is None or host is None:
            raise OSError(errno.ENETUNREACH, f"Connect call failed {address}")
        own = None if own == UNSPECIFIED else own
        port = (local[1] or None) if local else None
        config = replace(host.config.tcp, user_timeout=patience, syn_timeout=patience) if patience else None
        connection = host.connect(number, address[1], self._now(), own, port, config)
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


def check_options(call: str, given: Iterable[str], known: Container[str]) -> None:
    """Raise TypeError for an argument that `call` does not have."""
    for name in given:
        if name not in known:
            raise TypeError(f"{call}() got an unexpected keyword argument {name!r}")


def _one_of(errors: Sequence[OSError]) -> OSError:
    """What asyncio raises when nobody has answered."""
    if all(str(each) == str(errors[0]) for each in errors):
        return errors[0]
    return OSError(f"Multiple exceptions: {', '.join(map(str, errors))}")
