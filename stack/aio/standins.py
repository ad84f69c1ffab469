"""Sockets of the kernel's that stand for connections and listeners of ours.

Libraries that make their sockets themselves hand them to sock_connect() or, bound and listening, to sock_accept(), and
go on with create_connection(sock=), connect_accepted_socket(), or sock_recv() and sock_sendall(). Where that is for the
stack, the socket is nothing but the name by which the library calls what we keep here beside it. When it is closed, or
nobody holds it any more, what it stands for is closed.
"""

import _socket
import asyncio
import socket
import weakref
from collections.abc import Callable, Sequence

from stack.clock import Instant
from stack.host import Host
from stack.octets import Octets
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.listener import Listener


def is_spliced(sock: socket.socket) -> bool:
    """Whether `sock` is the stack's already, by stack.sockets.patch(): then it works as any of the kernel's does."""
    return not isinstance(_socket.socket.getsockname(sock), tuple)  # which nobody replaces; AF_UNIX has no tuples


class _Waiting:
    """Coroutines that wait for the next event of a connection, or of listeners."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    async def event(self) -> None:
        """Wait for it."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def wake(self, kinds: int, now: Instant) -> None:
        """It has happened: as a handler."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class StandIn:
    """What a socket of the kernel's is, when `connection` of `host` is meant."""

    def __init__(self, host: Host, connection: Connection, now: Callable[[], Instant]) -> None:
        self.host = host
        self.connection = connection
        self._now = now
        self._waiting = _Waiting()
        connection.handler = self._waiting.wake

    async def read(self, limit: int) -> bytes:
        """Up to `limit` octets, once there are some; none at the end of the stream. Raises OSError."""
        while True:
            data = self.host.read(self.connection, limit, self._now())
            if data or not limit or self.connection.at_end_of_stream:
                return data
            await self._waiting.event()

    async def write(self, data: Octets) -> None:
        """Have TCP take all of `data`. Raises OSError."""
        with memoryview(data) as view, view.cast("B") as octets:
            done = 0
            while done < len(octets):
                done += self.host.write(self.connection, octets[done:], self._now())
                if done < len(octets):
                    await self._waiting.event()

    def close(self) -> None:
        """End the connection."""
        self.host.close(self.connection, self._now())


class AcceptQueue:
    """`listeners` of ours, in whose stead a socket listened."""

    def __init__(self, listeners: Sequence[tuple[Host, Listener]], now: Callable[[], Instant]) -> None:
        self._listeners = listeners
        self._now = now
        self._waiting = _Waiting()
        for _, listener in listeners:
            listener.handler = self._waiting.wake

    async def next(self) -> tuple[Host, Connection]:
        """The next connection, once there is one."""
        while True:
            for host, listener in self._listeners:
                if (connection := host.accept(listener)) is not None:
                    return host, connection
            await self._waiting.event()

    def close(self) -> None:
        """Take no more."""
        for host, listener in self._listeners:
            host.close_listener(listener, self._now())


# What happens when a socket that stands for something is closed, or is gone.
_ends: weakref.WeakKeyDictionary[socket.socket, "weakref.finalize[[], socket.socket]"] = weakref.WeakKeyDictionary()


class _Socket(socket.socket):
    """What a library's socket is turned into."""

    __slots__ = ()  # or it could not be

    def close(self) -> None:
        """Close what it stands for, too."""
        super().close()
        end = _ends.get(self)
        if end is not None:
            end()


class StandIns:
    """All of a loop's."""

    def __init__(self, now: Callable[[], Instant]) -> None:
        self._now = now
        self._connections: weakref.WeakKeyDictionary[socket.socket, StandIn] = weakref.WeakKeyDictionary()
        self._queues: weakref.WeakKeyDictionary[socket.socket, AcceptQueue] = weakref.WeakKeyDictionary()

    def connect(self, sock: socket.socket, host: Host, connection: Connection) -> None:
        """From now on, `sock` stands for `connection`."""
        stand_in = self._connections[sock] = StandIn(host, connection, self._now)
        self._when_closed(sock, stand_in.close)

    def of(self, sock: object) -> StandIn | None:
        """What `sock` stands for, if anything."""
        return self._connections.get(sock) if isinstance(sock, socket.socket) else None

    def take(self, sock: socket.socket) -> StandIn | None:
        """As of(), and then it stands for nothing any more, and is closed."""
        stand_in = self._connections.pop(sock, None)
        if stand_in is not None:
            _ends.pop(sock).detach()
            sock.close()
        return stand_in

    def listen(self, sock: socket.socket, listeners: Sequence[tuple[Host, Listener]]) -> AcceptQueue:
        """From now on, `listeners` listen in the stead of `sock`."""
        sock.shutdown(socket.SHUT_RD)  # it does not listen any more, and keeps the port
        queue = self._queues[sock] = AcceptQueue(listeners, self._now)
        self._when_closed(sock, queue.close)
        return queue

    def queue(self, sock: socket.socket) -> AcceptQueue | None:
        """What listens in the stead of `sock`, if anything does."""
        return self._queues.get(sock)

    def _when_closed(self, sock: socket.socket, close: Callable[[], None]) -> None:
        if type(sock) is socket.socket:  # of a class of the library's own, it has to be let go of
            sock.__class__ = _Socket
        end = _ends[sock] = weakref.finalize(sock, close)
        end.atexit = False
