"""TCP for code that blocks: what a socket of it does at once, or not yet. All of it is the hosts' thread's.

Not yet is a BlockingIOError, as with a socket that does not block: the call is then made again when the bell rings.
"""

import errno
import os
from typing import TYPE_CHECKING

from stack.addresses import UNSPECIFIED, Ipv4Address
from stack.aio.faces import SocketFace, StreamFace
from stack.host import Host
from stack.octets import Octets
from stack.sockets.binding import Binding
from stack.sockets.calls import Bell
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.listener import Listener
from stack.transport.tcp.states import State

if TYPE_CHECKING:
    from stack.sockets.net import Net

_OPENING = (State.SYN_SENT, State.SYN_RECEIVED)
Address = tuple[str, int]


class Stream:
    """A TCP socket: first nothing, then a listener's or a connection's. `bell` rings when something has happened."""

    def __init__(self, net: "Net", bell: Bell) -> None:
        self._net = net
        self._bell = bell
        self._binding: Binding | None = None
        self._listeners: list[tuple[Host, Listener]] = []
        self._host: Host | None = None
        self._connection: Connection | None = None
        self._reads = True
        self._ahead = b""  # was looked at, and is still to be received
        self.face: SocketFace = SocketFace()

    def bind(self, address: Ipv4Address, port: int) -> None:
        """Raises OSError."""
        if self._binding is not None or self._connection is not None:
            raise error_of(errno.EINVAL)
        self._binding = Binding(self._net, address, port)

    def listen(self, backlog: int) -> None:
        """Listen where it is bound, or at any port. Raises OSError."""
        if self._connection is not None:
            raise error_of(errno.EINVAL)
        if self._listeners:
            return
        if self._binding is None:
            self._binding = Binding(self._net, UNSPECIFIED, 0)
        self._listeners = self._binding.listen(backlog)
        for _, listener in self._listeners:
            listener.handler = self._bell

    def accept(self) -> tuple[Host, Connection]:
        """The oldest connection that waits. Raises OSError."""
        if not self._listeners:
            raise error_of(errno.EINVAL)
        for host, listener in self._listeners:
            connection = host.accept(listener)
            if connection is not None:
                return host, connection
        raise error_of(errno.EAGAIN)

    def adopt(self, host: Host, connection: Connection, like: SocketFace) -> None:
        """Be `connection`, with the options that are set in `like`."""
        self._host, self._connection = host, connection
        connection.handler = self._bell
        self.face = StreamFace(connection, self._net.now)
        self.face.imitate(like)

    def connect(self, remote: Ipv4Address, port: int) -> None:
        """Begin to open a connection; opened() tells of its end. Raises OSError."""
        if self._connection is not None:
            raise error_of(errno.EALREADY if self._connection.state in _OPENING else errno.EISCONN)
        if self._listeners:
            raise error_of(errno.EISCONN)
        own = None if self._binding is None or self._binding.address == UNSPECIFIED else self._binding.address
        host = self._net.territory.way_to(remote, own)
        if host is None:
            raise error_of(errno.ENETUNREACH)
        bound = None if self._binding is None else self._binding.port
        connection = host.connect(remote, port, self._net.now(), own, bound)
        self.adopt(host, connection, self.face)

    def opened(self) -> None:
        """Returns once the connection is open. Raises OSError."""
        connection = self._checked()
        if connection.error is not None:
            raise _again(connection.error)
        if connection.state in _OPENING:
            raise error_of(errno.EINPROGRESS)
        if connection.state is State.CLOSED:
            raise error_of(errno.ECONNABORTED)

    def receive(self, limit: int, peek: bool = False) -> bytes:
        """Up to `limit` octets, b"" at the end; with `peek`, they can be received again. Raises OSError."""
        connection = self._checked()
        if not self._reads or not limit:
            return b""
        data, self._ahead = self._ahead[:limit], self._ahead[limit:]
        if not data:
            data = self._hosts().read(connection, limit, self._net.now())
        if data:
            self._ahead = data + self._ahead if peek else self._ahead
        elif not connection.at_end_of_stream and connection.state not in (State.CLOSED, State.TIME_WAIT):
            raise error_of(errno.EAGAIN)
        return data

    def send(self, data: Octets) -> int:
        """How many octets were taken. Raises OSError."""
        connection = self._checked()
        taken = 0 if connection.state in _OPENING else self._hosts().write(connection, data, self._net.now())
        if not taken and len(data):
            raise error_of(errno.EAGAIN)
        return taken

    def shutdown(self, how: int) -> None:
        """No more reading (SHUT_RD), writing (SHUT_WR), or both. Raises OSError."""
        connection = self._checked()
        if connection.state in _OPENING:
            raise error_of(errno.ENOTCONN)
        if how not in (0, 1, 2):
            raise error_of(errno.EINVAL)
        if how in (0, 2):
            self._reads = False
        if how in (1, 2):
            self._hosts().shutdown(connection, self._net.now())
        self._bell.ring()

    def is_readable(self) -> bool:
        """Whether accept() or receive() would not have to wait."""
        connection = self._connection
        if connection is None:
            return any(listener.acceptable for _, listener in self._listeners)
        ended = connection.state in (State.CLOSED, State.TIME_WAIT)
        return not self._reads or bool(self._ahead or connection.readable) or connection.at_end_of_stream or ended

    def set_option(self, level: int, name: int, value: int | bytes) -> None:
        """Set an option: those that there are are those of docs/architecture.md, others are remembered."""
        self.face.setsockopt(level, name, value)

    def sockname(self) -> Address:
        """Our end."""
        if isinstance(self.face, StreamFace):
            name: Address = self.face.getsockname()
            return name
        return ("0.0.0.0", 0) if self._binding is None else self._binding.name

    def peername(self) -> Address:
        """The other end. Raises OSError(ENOTCONN)."""
        if self._connection is None or self._connection.state in (*_OPENING, State.CLOSED):
            raise error_of(errno.ENOTCONN)
        name: Address = self.face.getpeername()
        return name

    @property
    def is_connection(self) -> bool:
        """Whether it is a connection, open or not."""
        return self._connection is not None

    def abort(self) -> None:
        """Reset the connection."""
        self._hosts().abort(self._checked(), self._net.now())

    def close(self) -> None:
        """Let go of everything."""
        for host, listener in self._listeners:
            host.close_listener(listener, self._net.now())
        if self._connection is not None and isinstance(self.face, StreamFace):
            self._connection.handler = None
            if self._ahead:
                self._hosts().abort(self._connection, self._net.now())  # as for all that is not received
            self._hosts().close(self._connection, self._net.now(), self.face.linger())
        if self._binding is not None:
            self._binding.release()

    def _checked(self) -> Connection:
        if self._connection is None:
            raise error_of(errno.ENOTCONN)
        return self._connection

    def _hosts(self) -> Host:
        assert self._host is not None  # where there is a connection there is its host
        return self._host


def error_of(number: int) -> OSError:
    """The error `number`, as the kernel would say it."""
    return OSError(number, os.strerror(number))


def _again(error: OSError) -> OSError:
    return OSError(error.errno, error.strerror)
