"""A socket object whose other side is the stack: what socket.socket is to the kernel, for IPv4.

A call hands what is to be done to the thread that drives the hosts, and waits there for as long as the timeout says.
fileno() is an event counter that is readable whenever a call would not wait, for select() and its kin; that it is
writable says nothing. What needs a file descriptor that octets can be read from is stack.sockets.patch's.
"""

import errno
import os
import socket
import warnings
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from stack.addresses import UNSPECIFIED, Ipv4Address
from stack.octets import Octets
from stack.sockets.datagrams import Datagrams
from stack.sockets.stream import Stream, error_of

if TYPE_CHECKING:
    from stack.sockets.net import Net

_Result = TypeVar("_Result")
_FLAGS = socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class Socket:
    """As socket.socket, on the hosts of `net`. Raises OSError for what the stack does not have."""

    def __init__(
        self, net: "Net", family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0
    ) -> None:
        kinds = {socket.SOCK_STREAM: (0, socket.IPPROTO_TCP), socket.SOCK_DGRAM: (0, socket.IPPROTO_UDP)}
        kind = type & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        if family != socket.AF_INET:
            raise error_of(errno.EAFNOSUPPORT)
        if proto not in kinds.get(socket.SocketKind(kind), ()):
            raise error_of(errno.EPROTONOSUPPORT)
        self.family = socket.AF_INET
        self.type = socket.SocketKind(kind)
        self.proto = proto
        self._closed = False
        self._closed_by_user = False  # perhaps not yet, for the sake of its files
        self._io_refs = 0
        self._net = net
        self._timeout = 0.0 if type & socket.SOCK_NONBLOCK else socket.getdefaulttimeout()
        self._ready: int | None = None  # fileno(), once it was asked for
        show = weakref.WeakMethod(self._show)  # the hosts hold the bell, and that is not to hold us

        def on_ring() -> None:
            method = show()
            if method is not None:
                method()

        self._bell = net.driver.bell(on_ring)
        self._is_stream = kind == socket.SOCK_STREAM
        self._stream = Stream(net, self._bell)
        self._datagrams = Datagrams(net, self._bell)

    def __repr__(self) -> str:
        closed = " [closed]" if self._closed else ""
        return f"<{type(self).__name__}{closed} type={self.type.name} timeout={self._timeout}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self._closed = True
            self._net.driver.post(self._let_go)

    # Blocking or not

    def settimeout(self, value: float | None) -> None:
        """How many seconds a call waits; 0: not at all, None: for ever. Raises ValueError."""
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = None if value is None else float(value)

    def gettimeout(self) -> float | None:
        """See settimeout()."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Whether calls wait."""
        self._timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """Whether calls wait."""
        return self._timeout != 0

    @property
    def timeout(self) -> float | None:
        """See settimeout()."""
        return self._timeout

    def fileno(self) -> int:
        """Readable when a call would not wait; -1 once closed."""
        if self._closed:
            return -1
        if self._ready is None:
            self._ready = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._do(lambda: None)
        return self._ready

    def get_inheritable(self) -> bool:
        """False: a child process has nothing of it."""
        return False

    # TCP and UDP

    def bind(self, address: Any) -> None:
        """Bind to an address of a host of the stack, or to one of all ("", 0.0.0.0). Raises OSError."""
        number, port = self._resolved(address)
        self._do(lambda: self._half().bind(number, port))

    def connect(self, address: Any) -> None:
        """Open a connection; for UDP, choose the peer. Raises OSError."""
        number, port = self._resolved(address)
        if not self._is_stream:
            self._do(lambda: self._datagrams.connect(number, port))
            return
        begun = False

        def open_it() -> None:
            nonlocal begun
            if not begun:
                self._stream.connect(number, port)
                begun = True
            self._stream.opened()

        self._wait(open_it)

    def connect_ex(self, address: Any) -> int:
        """As connect(); returns the errno, 0 for none."""
        try:
            self.connect(address)
        except TimeoutError as error:
            return error.errno or errno.EAGAIN
        except socket.gaierror:
            raise
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def shutdown(self, how: int) -> None:
        """End reading, writing or both. Raises OSError."""
        if not self._is_stream:
            self._do(self._datagrams.peername)  # raises where there is none
            return
        self._do(lambda: self._stream.shutdown(how))

    def getsockname(self) -> tuple[str, int]:
        """Our end."""
        return self._do(lambda: self._half().sockname())

    def getpeername(self) -> tuple[str, int]:
        """The other end. Raises OSError(ENOTCONN)."""
        return self._do(lambda: self._half().peername())

    def setsockopt(self, level: int, name: int, value: Any, length: int | None = None) -> None:
        """Set an option: see docs/architecture.md for those that there are, others are remembered."""
        self._do(lambda: self._half().set_option(level, name, value))

    def getsockopt(self, level: int, name: int, length: int = 0) -> int | bytes:
        """The value of an option."""
        return self._do(lambda: self._half().face.getsockopt(level, name, length))

    # TCP

    def listen(self, backlog: int = 128) -> None:
        """Take connections, of which `backlog` wait at most. Raises OSError."""
        self._require_stream()
        self._do(lambda: self._stream.listen(backlog))

    def accept(self) -> tuple["Socket", tuple[str, int]]:
        """The oldest connection that waits, and its other end. Raises OSError."""
        self._require_stream()
        accepted = type(self)(self._net, self.family, self.type, self.proto)
        try:

            def take() -> tuple[str, int]:
                accepted._stream.adopt(*self._stream.accept(), self._stream.face)
                return accepted._stream.peername()

            return accepted, self._wait(take)
        except BaseException:
            accepted.close()
            raise

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Up to `bufsize` octets; b"" at the end. Raises OSError."""
        return self.recvfrom(bufsize, flags)[0]

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As recv(), into `buffer`; returns how many octets."""
        return self.recvfrom_into(buffer, nbytes, flags)[0]

    def send(self, data: Octets, flags: int = 0) -> int:
        """Send octets, of which TCP takes as many as there is room for; returns how many. Raises OSError."""
        self._check_flags(flags)
        if not self._is_stream:
            return self._do(lambda: self._datagrams.send(bytes(data), None))
        view = memoryview(data).cast("B")
        return self._wait(lambda: self._stream.send(view), 0 if flags & socket.MSG_DONTWAIT else self._timeout)

    def sendall(self, data: Octets, flags: int = 0) -> None:
        """Send all of `data`. Raises OSError: how much of it was sent is then not known."""
        self._check_flags(flags)
        if not self._is_stream:
            self.send(data, flags)
            return
        left = memoryview(data).cast("B")

        def send_on() -> None:
            nonlocal left
            while left:
                left = left[self._stream.send(left) :]

        self._wait(send_on)

    # UDP

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, tuple[str, int] | None]:
        """A datagram, or as recv(), and who sent it. Raises OSError."""
        self._check_flags(flags)
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        timeout = 0 if flags & socket.MSG_DONTWAIT else self._timeout
        peek = bool(flags & socket.MSG_PEEK)
        if not self._is_stream:
            data, sender = self._wait(lambda: self._datagrams.receive(peek), timeout)
            return data[:bufsize], sender
        return self._wait(lambda: self._stream.receive(bufsize, peek), timeout), None

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, tuple[str, int] | None]:
        """As recvfrom(), into `buffer`; returns how many octets, and who sent them."""
        view = memoryview(buffer).cast("B")
        data, sender = self.recvfrom(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data), sender

    def sendto(self, data: Octets, *arguments: Any) -> int:
        """sendto(data, [flags,] address). Raises OSError."""
        self._check_flags(arguments[0] if len(arguments) == 2 else 0)
        if self._is_stream:
            return self.send(data)
        to = self._resolved(arguments[-1])
        return self._do(lambda: self._datagrams.send(bytes(data), to))

    def sendmsg(self, buffers: Iterable[Octets], ancdata: Any = (), flags: int = 0, address: Any = None) -> int:
        """As send() or sendto(), of several buffers, without ancillary data. Raises OSError."""
        if list(ancdata):
            raise error_of(errno.EINVAL)
        data = b"".join(buffers)
        return self.send(data, flags) if address is None else self.sendto(data, flags, address)

    # Files

    makefile = socket.socket.makefile  # which needs nothing but recv_into(), send() and these two

    def _decref_socketios(self) -> None:
        if self._io_refs > 0:
            self._io_refs -= 1
        if self._closed_by_user and not self._io_refs:
            self._really_close()

    def close(self) -> None:
        """Let go of it, once the files that were made of it are closed, too; harmless when done twice."""
        self._closed_by_user = True
        if not self._io_refs:
            self._really_close()

    # How it is done

    def _really_close(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                self._net.call(self._let_go)
            except OSError:
                self._let_go_of_ready()  # the stack is gone, and the connection with it

    def _let_go(self) -> None:
        self._half().close()
        self._bell.fail(error_of(errno.EBADF))  # to who waits in another thread
        self._let_go_of_ready()

    def _let_go_of_ready(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            os.close(ready)

    def _half(self) -> Stream | Datagrams:
        return self._stream if self._is_stream else self._datagrams

    def _show(self) -> None:
        """Have fileno() say what is."""
        if self._ready is None:
            return
        if not self._half().is_readable():
            try:
                os.eventfd_read(self._ready)
            except BlockingIOError:
                return
        else:
            os.eventfd_write(self._ready, 1)

    def _do(self, function: Callable[[], _Result]) -> _Result:
        """What `function` gives, in the hosts' thread."""
        return self._wait(function, 0)

    def _wait(self, attempt: Callable[[], _Result], timeout: float | Any | None = ...) -> _Result:
        """What `attempt` gives as soon as it does not block."""

        def attempt_and_show() -> _Result:
            if self._closed:
                raise error_of(errno.EBADF)
            try:
                return attempt()
            finally:
                self._show()

        limit = self._timeout if timeout is ... else timeout
        return self._net.driver.call_when(self._bell, attempt_and_show, limit)

    def _resolved(self, address: Any) -> tuple[Ipv4Address, int]:
        if not isinstance(address, tuple) or len(address) != 2:
            raise TypeError("AF_INET address must be a pair (host, port)")
        host, port = address
        if not isinstance(port, int) or not 0 <= port < 65536:
            raise OverflowError("port must be 0-65535.")
        number = self._net.number(host)
        if number is None:
            infos = self._net.names.getaddrinfo(host, port, self.family, self.type)
            number = self._net.number(infos[0][4][0])
        return UNSPECIFIED if number is None else number, port

    def _require_stream(self) -> None:
        if not self._is_stream:
            raise error_of(errno.EOPNOTSUPP)

    def _check_flags(self, flags: int) -> None:
        if flags & ~_FLAGS:
            raise error_of(errno.EOPNOTSUPP)
