"""The system calls of a script, as a process makes them, on top of the Host's calls, which never wait.

A call that may wait is a generator: each time that something has happened it is resumed, and looks again. What is
written is a fixed pattern (text.py) or the script's own string.
"""

import errno
import fcntl
import os
import select
import socket
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from stack.addresses import Ipv4Address
from stack.clock import SECOND, Instant
from stack.config import TcpConfig
from stack.host import Host
from stack.pkt.arguments import SocketAddress, Vector, as_address, as_number, as_size, as_vector, check_flags, member
from stack.pkt.settings import Settings
from stack.pkt.sockopts import LINGER, get_option, set_option
from stack.pkt.syntax import Call, ScriptFailure, Value
from stack.pkt.text import check_pattern, pattern
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.listener import Listener
from stack.transport.tcp.states import State
from stack.transport.udp import UdpSocket

T = TypeVar("T")
Waiting: TypeAlias = Generator[None, None, T]

_OPENING: Final = (State.SYN_SENT, State.SYN_RECEIVED)
_PROTOCOLS: Final = {int(socket.SOCK_STREAM): socket.IPPROTO_TCP, int(socket.SOCK_DGRAM): socket.IPPROTO_UDP}
_CHUNK: Final = 1 << 16


@dataclass(slots=True)
class Descriptor:
    """An open socket; which of the last four it has depends on what was called."""

    type: int
    config: TcpConfig
    flags: int = os.O_RDWR
    options: dict[tuple[int, int], int] = field(default_factory=dict)  # those that only have to be remembered
    local: tuple[Ipv4Address | None, int] | None = None
    peer: SocketAddress | None = None
    told_open: bool = False  # connect() has returned 0
    told_error: bool = False
    read_shut: bool = False
    received: int = 0
    listener: Listener | None = None
    connection: Connection | None = None
    datagrams: UdpSocket | None = None

    def take_error(self) -> OSError | None:
        """How the connection ended, when that was not in order, told once as sockets do."""
        if self.connection is None or self.told_error:
            return None
        self.told_error = self.connection.error is not None
        return self.connection.error


class Sockets:
    """The descriptors of a script. `latest` is the connection that was opened last, `written` what each has sent."""

    def __init__(self, host: Host, settings: Settings) -> None:
        self.now: Instant = 0
        self.on_received: Callable[[int, bytes], None] = check_pattern  # what becomes of what is read, and its offset
        self.new_number: Callable[[], int] = self._lowest_free
        self.latest: Connection | None = None
        self.written: dict[tuple[int, int], bytearray] = {}  # by local and remote port
        self._host = host
        self._settings = settings
        self._open: dict[int, Descriptor] = {}

    def call(self, call: Call) -> Waiting[int]:
        """Make `call`; yields while it waits, raises OSError where it fails."""
        return self.make(call.name, call.arguments)

    def make(self, name: str, arguments: Sequence[Value]) -> Waiting[int]:
        """Make the call `name` (expressions.ARGUMENTS); as call()."""
        result = getattr(self, f"_{name}")(*arguments)
        if isinstance(result, Generator):
            result = yield from result
        return int(result)

    def bound_port(self) -> int:
        """The port that the listener opened last listens on."""
        ports = [each.listener.port for each in self._open.values() if each.listener is not None]
        return ports[-1] if ports else self._settings.bind_port

    # Opening

    def _socket(self, domain: Value, kind: Value, protocol: Value) -> int:
        base = as_number(kind) & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        if domain not in (..., socket.AF_INET):
            raise OSError(errno.EAFNOSUPPORT, "IPv4 only")
        if base not in _PROTOCOLS or protocol not in (0, _PROTOCOLS[base]):
            raise OSError(errno.EPROTONOSUPPORT, "TCP and UDP only")
        descriptor = Descriptor(base, self._settings.tcp)
        descriptor.flags |= os.O_NONBLOCK if as_number(kind) & socket.SOCK_NONBLOCK else 0
        return self._install(descriptor)

    def _bind(self, fd: Value, address: Value, length: Value) -> int:
        descriptor = self._get(fd)
        ip, port = as_address(address) or (None, self._settings.bind_port)
        if descriptor.local is not None:
            raise OSError(errno.EINVAL, "bound already")
        if descriptor.type == socket.SOCK_DGRAM:
            descriptor.datagrams = self._host.bind_udp(port or None, self.now, ip)
        descriptor.local = ip, port
        return 0

    def _listen(self, fd: Value, backlog: Value) -> int:
        descriptor = self._get(fd)
        if descriptor.connection is not None:
            raise OSError(errno.EINVAL, "connected already")
        ip, port = descriptor.local or (None, self._settings.bind_port)
        descriptor.listener = self._host.listen(port, self.now, ip, as_number(backlog), descriptor.config)
        return 0

    def _accept(self, fd: Value, address: Value, length: Value) -> Waiting[int]:
        descriptor = self._get(fd)
        if descriptor.listener is None:
            raise OSError(errno.EINVAL, "accept() on a socket that does not listen")
        while (connection := self._host.accept(descriptor.listener)) is None:
            yield from _wait(descriptor)
        accepted = Descriptor(descriptor.type, connection.config, connection=connection, told_open=True)
        self._follow(connection)
        return self._install(accepted)

    def _connect(self, fd: Value, address: Value, length: Value) -> Waiting[int]:
        descriptor = self._get(fd)
        peer = as_address(address) or (self._settings.remote_ip, self._settings.connect_port)
        if descriptor.type == socket.SOCK_DGRAM:
            descriptor.peer = peer
            return 0
        if descriptor.connection is None:
            ip, port = descriptor.local or (None, None)
            descriptor.connection = self._host.connect(*peer, self.now, ip, port, descriptor.config)
            self._follow(descriptor.connection)
            if descriptor.flags & os.O_NONBLOCK:
                raise BlockingIOError(errno.EINPROGRESS, "the handshake goes on")
        elif descriptor.told_open:
            raise OSError(errno.EISCONN, "connected already")
        while descriptor.connection.state in _OPENING:
            if descriptor.flags & os.O_NONBLOCK:
                raise BlockingIOError(errno.EALREADY, "the handshake goes on")
            yield
        if error := descriptor.take_error():
            raise error
        descriptor.told_open = True
        return 0

    # Reading

    def _read(self, fd: Value, buffer: Value, size: Value) -> Waiting[int]:
        return self._recv(fd, buffer, size, 0)

    def _recv(self, fd: Value, buffer: Value, size: Value, flags: Value, *_: Value) -> Waiting[int]:
        return self._receive(self._get(fd), as_size(size), as_number(flags))

    _recvfrom = _recv

    def _readv(self, fd: Value, vector: Value, count: Value) -> Waiting[int]:
        return self._receive(self._get(fd), sum(as_size(size) for _, size in as_vector(vector)), 0)

    def _recvmsg(self, fd: Value, message: Value, flags: Value) -> Waiting[int]:
        size = sum(as_size(size) for _, size in as_vector(member(message, "msg_iov")))
        return self._receive(self._get(fd), size, as_number(flags))

    def _receive(self, descriptor: Descriptor, size: int, flags: int) -> Waiting[int]:
        check_flags(flags)
        if descriptor.type == socket.SOCK_DGRAM:
            return (yield from self._receive_datagram(descriptor, size, flags))
        connection = descriptor.connection
        if connection is None:
            raise OSError(errno.ENOTCONN, "read() on a socket that is not connected")
        while True:
            if data := self._host.read(connection, size, self.now) if connection.readable else b"":
                self.on_received(descriptor.received, data)
                descriptor.received += len(data)
                return len(data)
            if connection.at_end_of_stream:
                return 0
            if error := descriptor.take_error():
                raise error
            if descriptor.read_shut or connection.state is State.CLOSED:
                return 0
            yield from _wait(descriptor, flags)

    def _receive_datagram(self, descriptor: Descriptor, size: int, flags: int) -> Waiting[int]:
        bound = self._bound(descriptor)
        while (datagram := self._host.receive_datagram(bound)) is None:
            yield from _wait(descriptor, flags)
        data = datagram.data[:size]
        self.on_received(0, data)
        return len(data)

    # Writing

    def _write(self, fd: Value, data: Value, size: Value) -> Waiting[int]:
        return self._send(fd, data, size, 0)

    def _send(self, fd: Value, data: Value, size: Value, flags: Value) -> Waiting[int]:
        return self._send_all(self._get(fd), [(data, size)], as_number(flags), None)

    def _sendto(self, fd: Value, data: Value, size: Value, flags: Value, to: Value, length: Value) -> Waiting[int]:
        peer = as_address(to) or (self._settings.remote_ip, self._settings.connect_port)
        return self._send_all(self._get(fd), [(data, size)], as_number(flags), peer)

    def _writev(self, fd: Value, vector: Value, count: Value) -> Waiting[int]:
        return self._send_all(self._get(fd), as_vector(vector), 0, None)

    def _sendmsg(self, fd: Value, message: Value, flags: Value) -> Waiting[int]:
        return self._send_all(self._get(fd), as_vector(member(message, "msg_iov")), as_number(flags), None)

    def _send_all(self, descriptor: Descriptor, vector: Vector, flags: int, to: SocketAddress | None) -> Waiting[int]:
        check_flags(flags)
        size = sum(as_size(size) for _, size in vector)
        text = b"".join(data[: as_size(size)] for data, size in vector if isinstance(data, bytes))
        size = len(text) or size
        if descriptor.type == socket.SOCK_DGRAM:
            peer = descriptor.peer or to
            if peer is None:
                raise OSError(errno.EDESTADDRREQ, "no address to send to")
            data = text or pattern(0, min(size, _CHUNK))
            self._host.send_datagram(self._bound(descriptor), data, *peer, self.now)
            return size
        connection = descriptor.connection
        if connection is None:
            raise BrokenPipeError(errno.EPIPE, "write() on a socket that is not connected")
        written = self.written[connection.key.local_port, connection.key.remote_port]
        sent = 0
        while True:
            if error := descriptor.take_error():
                raise error
            if connection.state is State.CLOSED:
                raise BrokenPipeError(errno.EPIPE, "the connection is over")
            if connection.state not in _OPENING:
                data = text[sent:] or pattern(len(written), min(size - sent, _CHUNK))
                taken = self._host.write(connection, data, self.now, bool(flags & socket.MSG_OOB))
                written += data[:taken]
                sent += taken
                if sent == size:
                    return sent
                if taken == len(data):
                    continue
            if sent and descriptor.flags & os.O_NONBLOCK:
                return sent
            yield from _wait(descriptor, flags)

    # Ending

    def _shutdown(self, fd: Value, how: Value) -> int:
        descriptor = self._get(fd)
        connection = descriptor.connection
        if connection is None or connection.state is State.CLOSED:
            raise OSError(errno.ENOTCONN, "shutdown() on a socket that is not connected")
        descriptor.read_shut |= how in (socket.SHUT_RD, socket.SHUT_RDWR)
        if how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self._host.shutdown(connection, self.now)
        return 0

    def _close(self, fd: Value) -> Waiting[int]:
        descriptor = self._get(fd)
        del self._open[as_number(fd)]
        if descriptor.listener is not None:
            self._host.close_listener(descriptor.listener, self.now)
        elif descriptor.datagrams is not None:
            self._host.close_udp(descriptor.datagrams, self.now)
        elif descriptor.connection is not None:
            connection, seconds = descriptor.connection, descriptor.options.get(LINGER, -1)
            self._host.close(connection, self.now, seconds * SECOND if seconds >= 0 else None)
            while connection.is_lingering and not descriptor.flags & os.O_NONBLOCK:
                yield
        return 0

    # Settings

    def _setsockopt(self, fd: Value, level: Value, option: Value, value: Value, length: Value) -> int:
        return set_option(self._get(fd), (as_number(level), as_number(option)), value, self.now)

    def _getsockopt(self, fd: Value, level: Value, option: Value, value: Value, length: Value) -> int:
        actual = self.option(as_number(fd), as_number(level), as_number(option))
        if isinstance(value, list) and value != [...] and value != [actual]:
            raise ScriptFailure(f"expected {value}, got [{actual!r}]")
        return 0

    def option(self, fd: int, level: int, option: int) -> int | bytes:
        """What getsockopt() brings back. Raises OSError."""
        return get_option(self._get(fd), (level, option))

    def _fcntl(self, fd: Value, command: Value, flags: Value = 0) -> int:
        descriptor = self._get(fd)
        if command == fcntl.F_GETFL:
            return descriptor.flags
        if command != fcntl.F_SETFL:
            raise OSError(errno.EINVAL, "F_GETFL and F_SETFL only")
        descriptor.flags = os.O_RDWR | (as_number(flags) & os.O_NONBLOCK)
        return 0

    def _poll(self, entries: Value, count: Value, timeout: Value) -> Waiting[int]:
        asked = entries if isinstance(entries, list) else []
        ends = self.now + as_number(timeout) * 1_000_000 if as_number(timeout) >= 0 else None
        while True:
            ready = [self.events(as_number(member(each, "fd")), as_number(member(each, "events"))) for each in asked]
            if any(ready) or (ends is not None and self.now >= ends):
                break
            yield
        for entry, actual in zip(asked, ready, strict=True):
            expected = entry.get("revents", ...) if isinstance(entry, dict) else ...
            if expected not in (..., actual):
                raise ScriptFailure(f"expected revents={expected!r}, got {actual:#x}")
        return sum(1 for each in ready if each)

    def events(self, fd: int, asked: int) -> int:
        """Those of poll()'s events in `asked` that `fd` has, and its errors."""
        descriptor = self._open.get(fd)
        if descriptor is None:
            return select.POLLNVAL
        asked |= select.POLLERR | select.POLLHUP
        if descriptor.listener is not None:
            return select.POLLIN & asked if descriptor.listener.acceptable else 0
        if descriptor.datagrams is not None:
            return (select.POLLOUT | (select.POLLIN if descriptor.datagrams.readable else 0)) & asked
        connection = descriptor.connection
        if connection is None or connection.state is State.CLOSED:
            failed = connection is not None and connection.error is not None and not descriptor.told_error
            every = select.POLLIN | select.POLLOUT | select.POLLRDHUP | select.POLLHUP
            return (
                every if connection is not None else select.POLLOUT | select.POLLHUP
            ) & asked | failed * select.POLLERR
        events = select.POLLIN if connection.readable or descriptor.read_shut else 0
        if connection.urgent_left:
            events |= select.POLLPRI
        if connection.receiver.has_finished:
            events |= select.POLLIN | select.POLLRDHUP
        if connection.state not in _OPENING and connection.writable:
            events |= select.POLLOUT
        return events & asked

    # Descriptors

    def _lowest_free(self) -> int:
        return next(fd for fd in range(3, len(self._open) + 4) if fd not in self._open)

    def _install(self, descriptor: Descriptor) -> int:
        number = self.new_number()
        self._open[number] = descriptor
        return number

    def _get(self, fd: Value) -> Descriptor:
        descriptor = self._open.get(as_number(fd))
        if descriptor is None:
            raise OSError(errno.EBADF, "no such descriptor")
        return descriptor

    def _bound(self, descriptor: Descriptor) -> UdpSocket:
        if descriptor.datagrams is None:
            descriptor.datagrams = self._host.bind_udp(None, self.now)
        return descriptor.datagrams

    def _follow(self, connection: Connection) -> None:
        self.latest = connection
        self.written[connection.key.local_port, connection.key.remote_port] = bytearray()


def _wait(descriptor: Descriptor, flags: int = 0) -> Waiting[None]:
    if descriptor.flags & os.O_NONBLOCK or flags & socket.MSG_DONTWAIT:
        raise BlockingIOError(errno.EAGAIN, "nothing to be had now")
    yield
