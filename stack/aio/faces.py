"""What get_extra_info("socket") and Server.sockets give: objects that answer what libraries ask of a socket.

Nothing here moves octets. fileno() is there for poll(): HTTP clients ask it whether an idle connection has something
to say, which after a response means that the server has closed it. Two file descriptors do for all connections of the
process, one that is always readable and one that never is: fileno() gives the one that tells the truth.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, Final

from stack.addresses import show_ipv4
from stack.clock import SECOND, Instant
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.listener import Listener
from stack.transport.tcp.states import State

Address = tuple[Any, ...]

_INT: Final = struct.Struct("i")
_LINGER: Final = struct.Struct("ii")


@cache
def always_readable() -> int:
    """A file descriptor that poll() finds readable, for as long as the process lives."""
    return os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


@cache
def never_readable() -> int:
    """A file descriptor that poll() never finds readable, for as long as the process lives."""
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


class SocketFace:
    """What all of them answer. An option that the stack has no use for is remembered, as set, and given back."""

    family = socket.AF_INET
    proto = socket.IPPROTO_TCP
    type = socket.SOCK_STREAM

    def __init__(self) -> None:
        self._options: dict[tuple[int, int], int | bytes] = {}

    def __repr__(self) -> str:
        ends = f", laddr={self.getsockname()}" if self.fileno() != -1 else ""
        with suppress(OSError):
            ends += f", raddr={self.getpeername()}"
        kind = f"family={self.family}, type={self.type}, proto={self.proto}"
        return f"<{type(self).__name__} fd={self.fileno()}, {kind}{ends}>"

    def __getstate__(self) -> object:
        raise TypeError(f"Cannot serialize {type(self).__name__} object")

    def fileno(self) -> int:
        """See above; -1 once closed."""
        return never_readable()

    def getsockname(self) -> Address:
        """Our end."""
        raise NotImplementedError

    def getpeername(self) -> Address:
        """The other end. Raises OSError(ENOTCONN)."""
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    def setsockopt(self, level: int, name: int, value: int | bytes, length: int | None = None) -> None:
        """Set an option. Raises OSError(EINVAL) for octets that are too few."""
        _number(value)
        self._options[level, name] = value

    def getsockopt(self, level: int, name: int, length: int = 0) -> int | bytes:
        """The value of an option, as octets when `length` is given."""
        value = self._value(level, name)
        if not length:
            return _number(value)
        return (_INT.pack(value) if isinstance(value, int) else value)[:length]

    def imitate(self, other: "SocketFace") -> None:
        """Set every option that has been set of `other`."""
        for (level, name), value in other._options.items():
            self.setsockopt(level, name, value)

    def get_inheritable(self) -> bool:
        """No."""
        return False

    def gettimeout(self) -> int:
        """0: not blocking, as asyncio's are."""
        return 0

    def setblocking(self, flag: bool) -> None:
        """Raises ValueError for a blocking one."""
        if flag:
            raise ValueError("setblocking(): transport sockets cannot be blocking")

    def settimeout(self, value: float | None) -> None:
        """Raises ValueError for anything that blocks."""
        if value != 0:
            raise ValueError("settimeout(): only 0 timeout is allowed on transport sockets")

    def _value(self, level: int, name: int) -> int | bytes:
        match level, name:
            case socket.SOL_SOCKET, socket.SO_TYPE:
                return int(self.type)
            case socket.SOL_SOCKET, socket.SO_DOMAIN:
                return int(self.family)
            case socket.SOL_SOCKET, socket.SO_PROTOCOL:
                return self.proto
        return self._options.get((level, name), 0)


class StreamFace(SocketFace):
    """The face of a connection."""

    def __init__(self, connection: Connection, now: Callable[[], Instant]) -> None:
        super().__init__()
        self._connection = connection
        self._now = now

    def fileno(self) -> int:
        """See above; -1 once closed."""
        connection = self._connection
        if connection.is_released:
            return -1
        speaks = connection.readable or connection.at_end_of_stream or connection.error is not None
        return always_readable() if speaks else never_readable()

    def getsockname(self) -> Address:
        """Our end."""
        key = self._connection.key
        return show_ipv4(key.local_addr), key.local_port

    def getpeername(self) -> Address:
        """The other end."""
        key = self._connection.key
        return show_ipv4(key.remote_addr), key.remote_port

    def setsockopt(self, level: int, name: int, value: int | bytes, length: int | None = None) -> None:
        """Set an option: those that the stack has are those of docs/architecture.md."""
        super().setsockopt(level, name, value, length)
        number = _number(value)
        connection, now = self._connection, self._now()
        if connection.is_released or connection.state is State.CLOSED:
            return
        match level, name:
            case socket.IPPROTO_TCP, socket.TCP_NODELAY:
                connection.nodelay = bool(number)
            case socket.IPPROTO_TCP, socket.TCP_CORK:
                connection.set_cork(bool(number), now)
            case socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT:
                connection.set_user_timeout(number * SECOND // 1000 or None, now)
            case socket.IPPROTO_TCP, socket.TCP_KEEPIDLE | socket.TCP_KEEPINTVL | socket.TCP_KEEPCNT:
                self._keep_alive(now)
            case socket.SOL_SOCKET, socket.SO_KEEPALIVE:
                self._keep_alive(now)
            case socket.IPPROTO_IP, socket.IP_TOS:
                connection.dscp = number >> 2 & 63

    def shutdown(self, how: int) -> None:
        """End what is sent, for SHUT_WR and SHUT_RDWR; what arrives ends when the peer ends it. Raises OSError."""
        if how != socket.SHUT_RD:
            self._connection.shutdown(self._now())

    def linger(self) -> int | None:
        """What SO_LINGER has been set to, in ns; None: not."""
        value = self._options.get((socket.SOL_SOCKET, socket.SO_LINGER))
        on, seconds = _LINGER.unpack(value) if isinstance(value, bytes) else (0, 0)
        return seconds * SECOND if on else None

    def _keep_alive(self, now: Instant) -> None:
        chosen = {
            name: value
            for (level, name), value in self._options.items()
            if level == socket.IPPROTO_TCP and isinstance(value, int)
        }
        on = bool(self._options.get((socket.SOL_SOCKET, socket.SO_KEEPALIVE), self._connection.config.keep_alive))
        idle, interval = chosen.get(socket.TCP_KEEPIDLE), chosen.get(socket.TCP_KEEPINTVL)
        self._connection.set_keep_alive(
            on,
            now,
            idle=None if idle is None else idle * SECOND,
            interval=None if interval is None else interval * SECOND,
            probes=chosen.get(socket.TCP_KEEPCNT),
        )

    def _value(self, level: int, name: int) -> int | bytes:
        connection, config = self._connection, self._connection.config
        match level, name:
            case socket.IPPROTO_TCP, socket.TCP_NODELAY:
                return int(connection.nodelay)
            case socket.SOL_SOCKET, socket.SO_ERROR:
                return connection.error.errno or 0 if connection.error else 0
            case socket.SOL_SOCKET, socket.SO_SNDBUF:
                return config.send_buffer
            case socket.SOL_SOCKET, socket.SO_RCVBUF:
                return config.receive_buffer
            case socket.IPPROTO_TCP, socket.TCP_KEEPIDLE:
                return config.keep_alive_idle // SECOND
            case socket.IPPROTO_TCP, socket.TCP_KEEPINTVL:
                return config.keep_alive_interval // SECOND
            case socket.IPPROTO_TCP, socket.TCP_KEEPCNT:
                return config.keep_alive_probes
        return super()._value(level, name)


class ListenerFace(SocketFace):
    """The face of a listener."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener

    def fileno(self) -> int:
        """-1 once closed."""
        return -1 if self._listener.is_closed else super().fileno()

    def getsockname(self) -> Address:
        """Where it listens."""
        return show_ipv4(self._listener.address), self._listener.port

    def _value(self, level: int, name: int) -> int | bytes:
        if level == socket.SOL_SOCKET and name in (socket.SO_ACCEPTCONN, socket.SO_REUSEADDR):
            return 1  # the port of connections in TIME-WAIT can be listened on
        return super()._value(level, name)


class DatagramFace(SocketFace):
    """The face of a datagram endpoint."""

    type = socket.SOCK_DGRAM
    proto = socket.IPPROTO_UDP

    def __init__(self, sockname: Address, peername: Address | None, *, broadcast: bool = False) -> None:
        super().__init__()
        self.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, int(broadcast))
        self.family = socket.AF_INET if len(sockname) == 2 else socket.AF_INET6
        self._sockname = sockname
        self._peername = peername

    def getsockname(self) -> Address:
        """Our end, as it was when the endpoint was made."""
        return self._sockname

    def getpeername(self) -> Address:
        """The only peer. Raises OSError(ENOTCONN) where there is none."""
        return super().getpeername() if self._peername is None else self._peername

    def may_broadcast(self) -> bool:
        """Whether datagrams may go to all."""
        return self.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) != 0


def _number(value: int | bytes) -> int:
    """What an option's value says, as a number. Raises OSError(EINVAL)."""
    if isinstance(value, int):
        return value
    if len(value) < _INT.size:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    number: int = _INT.unpack_from(value)[0]
    return number
