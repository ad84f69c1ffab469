"""What create_server() gives: asyncio's Server, on listeners of ours."""

import asyncio
import contextvars
import socket
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from stack.aio.faces import ListenerFace
from stack.aio.stream import StreamTransport, throw
from stack.clock import Instant
from stack.host import Host
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.listener import Listener

MakeTransport = Callable[[Host, Connection, "Server"], object]


class Server(asyncio.AbstractServer):
    """Listeners, and the transports of the connections that they took.

    `listeners` have their ports, but nobody is let in before start_serving(). `bound` is the kernel's socket in whose
    stead they listen, if there is one; it is closed with them, as asyncio does it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listeners: Sequence[tuple[Host, Listener]],
        make_transport: MakeTransport,
        now: Callable[[], Instant],
        bound: socket.socket | None = None,
    ) -> None:
        self._loop = loop
        self._bound = bound
        self._listeners = list(listeners)
        self._faces = tuple(ListenerFace(listener) for _, listener in listeners)
        self._accepting = self._faces[0]  # whose connections are just being accepted
        for _, listener in listeners:
            listener.is_reserved = True
        self._make_transport = make_transport
        self._now = now
        self._transports: weakref.WeakSet[StreamTransport] = weakref.WeakSet()
        self._active = 0
        self._is_open = True
        self._serving = False
        self._context = contextvars.Context()
        self._forever: asyncio.Future[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether connections are taken."""
        return self._serving

    @property
    def sockets(self) -> tuple[Any, ...]:
        """A socket's face for each listener; none once closed."""
        return self._faces if self._is_open else ()

    def attach(self, transport: StreamTransport) -> None:
        """A connection has got its transport; what was set of the listener is set of it."""
        self._active += 1
        transport.get_extra_info("socket").imitate(self._accepting)
        self._transports.add(transport)

    def detach(self, transport: StreamTransport) -> None:
        """A transport has ended."""
        self._active -= 1
        self._transports.discard(transport)
        self._wake_if_over()

    def close(self) -> None:
        """Take no more connections; those that there are go on."""
        if not self._is_open:
            return
        self._is_open = self._serving = False
        listeners, self._listeners = self._listeners, []
        for host, listener in listeners:
            host.close_listener(listener, self._now())
        if self._bound is not None:
            self._bound.close()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
            self._forever = None
        self._wake_if_over()

    def close_clients(self) -> None:
        """Close every connection that was taken."""
        for transport in list(self._transports):
            transport.close()

    def abort_clients(self) -> None:
        """Close every connection that was taken, without waiting for what is to be sent."""
        for transport in list(self._transports):
            transport.abort()

    async def start_serving(self) -> None:
        """Take connections."""
        self.begin()
        await asyncio.sleep(0)

    def begin(self) -> None:
        """As start_serving(), from where nothing can be awaited. Raises RuntimeError once closed."""
        if not self._is_open:
            raise RuntimeError(f"server {self!r} is closed")
        if self._serving:
            return
        self._serving = True
        self._context = contextvars.copy_context()  # in which protocols are made and called
        for (host, listener), face in zip(self._listeners, self._faces, strict=True):
            listener.handler = lambda kinds, now, host=host, listener=listener, face=face: self._accept(
                host, listener, face, now
            )
            listener.is_reserved = False

    async def serve_forever(self) -> None:
        """Take connections until cancelled, or until close()."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self.begin()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            self.close()
            self.close_clients()
            await self.wait_closed()
            raise
        finally:
            self._forever = None

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection over (as CPython from 3.12.1 on)."""
        if self._is_open or self._active:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake_if_over(self) -> None:
        if not self._is_open and not self._active:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _accept(self, host: Host, listener: Listener, face: ListenerFace, now: Instant) -> None:
        self._accepting = face
        while (connection := host.accept(listener)) is not None:
            try:
                self._context.copy().run(self._make_transport, host, connection, self)
            except (SystemExit, KeyboardInterrupt) as error:
                host.close(connection, now)
                self._loop.call_soon(throw, error)
            except BaseException as error:
                host.close(connection, now)
                self._loop.call_exception_handler(
                    {"message": "Error on transport creation for incoming connection", "exception": error}
                )
