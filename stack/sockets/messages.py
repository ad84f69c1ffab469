"""Octets and datagrams of sockets that may be splices: what the kernel does for TCP, and translates for UDP."""

import _socket
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from stack.addresses import UNSPECIFIED, Ipv4Address
from stack.aio.territory import ipv4_of
from stack.octets import Octets
from stack.sockets.datagram_splice import HEADER_SIZE, LARGEST, TO_PEER, DatagramSplice, header, received
from stack.sockets.splice import Splice, ends_of, number_of
from stack.sockets.stream import error_of

if TYPE_CHECKING:
    from stack.sockets.net import Net

Kernel = _socket.socket  # the class in C, whose methods nobody replaces
type_of: Callable[[Kernel], int] = Kernel.type.__get__
family_of: Callable[[Kernel], int] = Kernel.family.__get__
timeout_of = Kernel.gettimeout
_PROTOCOLS: Final = {socket.SOCK_STREAM: (0, socket.IPPROTO_TCP), socket.SOCK_DGRAM: (0, socket.IPPROTO_UDP)}
_NO_NAMES: Final = ("<broadcast>",)  # what Python takes for an address, and no resolver for a name


class MessageCalls:
    """The calls on `net` that receive and send."""

    NAMES = (
        "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "send", "sendall", "sendto",
        "sendmsg",
    )  # fmt: skip

    def __init__(self, net: "Net") -> None:
        self.net = net
        self._routing = threading.Lock()

    # Receiving

    def recv(self, sock: Kernel, bufsize: int, flags: int = 0) -> bytes:
        """As socket.socket.recv()."""
        return self.recvfrom(sock, bufsize, flags)[0]

    def recvfrom(self, sock: Kernel, bufsize: int, flags: int = 0) -> tuple[bytes, Any]:
        """As socket.socket.recvfrom()."""
        if self._is_datagrams(sock):
            if bufsize < 0:
                raise ValueError("negative buffersize in recvfrom")
            data, sender = received(Kernel.recv(sock, bufsize + HEADER_SIZE, flags), bufsize)
            return data, sender or self.getpeername(sock)
        if type_of(sock) != socket.SOCK_STREAM:
            return Kernel.recvfrom(sock, bufsize, flags)
        return self._told(sock, bufsize, lambda: Kernel.recv(sock, bufsize, flags)), None

    def recv_into(self, sock: Kernel, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.socket.recv_into()."""
        return self.recvfrom_into(sock, buffer, nbytes, flags)[0]

    def recvfrom_into(self, sock: Kernel, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """As socket.socket.recvfrom_into()."""
        if self._is_datagrams(sock):
            view = memoryview(buffer).cast("B")
            data, sender = self.recvfrom(sock, nbytes or len(view), flags)
            view[: len(data)] = data
            return len(data), sender
        if type_of(sock) != socket.SOCK_STREAM:
            return Kernel.recvfrom_into(sock, buffer, nbytes, flags)
        return self._told(sock, len(buffer), lambda: Kernel.recv_into(sock, buffer, nbytes, flags)), None

    def recvmsg(self, sock: Kernel, bufsize: int, ancbufsize: int = 0, flags: int = 0) -> Any:
        """As socket.socket.recvmsg(); the stack has no ancillary data."""
        if self._is_datagrams(sock):
            data, sender = self.recvfrom(sock, bufsize, flags)
            return data, [], 0, sender
        return Kernel.recvmsg(sock, bufsize, ancbufsize, flags)

    def recvmsg_into(self, sock: Kernel, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0) -> Any:
        """As socket.socket.recvmsg_into(); the stack has no ancillary data."""
        if not self._is_datagrams(sock):
            return Kernel.recvmsg_into(sock, buffers, ancbufsize, flags)
        views = [memoryview(each).cast("B") for each in buffers]
        data, sender = self.recvfrom(sock, sum(map(len, views)), flags)
        left = data
        for view in views:
            view[: len(left)], left = left[: len(view)], left[len(view) :]
        return len(data), [], 0, sender

    def _told(self, sock: Kernel, asked: int, receive: Callable[[], Any]) -> Any:
        """What `receive` gives; a reset, or an end that is none, is the error that the stack has for it."""
        if self.net.unconnected:
            self._require_connection(sock, errno.ENOTCONN)
        try:
            given = receive()
        except ConnectionResetError:
            self._raise_failure(sock)
            raise
        if not given and asked:
            self._raise_failure(sock)
        return given

    def _require_connection(self, sock: Kernel, otherwise: int) -> None:
        """On a listener's splice is something else to be read than octets, and nothing to be written."""
        if number_of(sock) in self.net.unconnected:
            raise error_of(otherwise)

    def _raise_failure(self, sock: Kernel) -> None:
        number = number_of(sock)
        failure = None if number is None else self.net.failures.pop(number, None)
        if failure is not None:
            raise error_of(failure)

    # Sending

    def send(self, sock: Kernel, data: Octets, flags: int = 0) -> int:
        """As socket.socket.send()."""
        if self._is_datagrams(sock):
            return self._send(sock, TO_PEER, data, flags)
        if self.net.unconnected:
            self._require_connection(sock, errno.EPIPE)
        try:
            return Kernel.send(sock, data, flags)
        except (ConnectionResetError, BrokenPipeError):
            self._raise_failure(sock)
            raise

    def sendall(self, sock: Kernel, data: Octets, flags: int = 0) -> None:
        """As socket.socket.sendall()."""
        if self._is_datagrams(sock):
            self._send(sock, TO_PEER, data, flags)
            return
        if self.net.unconnected:
            self._require_connection(sock, errno.EPIPE)
        try:
            Kernel.sendall(sock, data, flags)
        except (ConnectionResetError, BrokenPipeError):
            self._raise_failure(sock)
            raise

    def sendto(self, sock: Kernel, data: Octets, *arguments: Any) -> int:
        """As socket.socket.sendto(data, [flags,] address)."""
        to = self._header(sock, arguments[-1]) if arguments else None
        if to is None:
            return Kernel.sendto(sock, data, *arguments)
        return self._send(sock, to, data, arguments[0] if len(arguments) > 1 else 0)

    def sendmsg(
        self, sock: Kernel, buffers: Iterable[Octets], ancdata: Any = (), flags: int = 0, address: Any = None
    ) -> int:
        """As socket.socket.sendmsg(); the stack has no ancillary data."""
        to = None if address is None else self._header(sock, address)
        if to is None and not self._is_datagrams(sock):
            if ancdata and number_of(sock) is not None:
                ancdata = ()  # as with TCP, which has no file descriptors to pass
            return Kernel.sendmsg(sock, buffers, ancdata, flags, *([] if address is None else [address]))
        if list(ancdata):
            raise error_of(errno.EINVAL)
        return self._send(sock, to or TO_PEER, b"".join(buffers), flags)

    def _send(self, sock: Kernel, header: bytes, data: Octets, flags: int) -> int:
        size = memoryview(data).nbytes
        if size > LARGEST:
            raise error_of(errno.EMSGSIZE)
        Kernel.sendmsg(sock, [header, data], [], flags)
        return size

    def _header(self, sock: Kernel, address: Any) -> bytes | None:
        """What stands before a datagram to `address`; None: that is the kernel's to send. Raises OSError."""
        number = self.number(sock, address)
        if number is None or type_of(sock) == socket.SOCK_STREAM:
            self.refuse_if_ours(address)
            return None
        if self.splice_of(sock) is None:
            if not self.net.territory.holds(number):
                return None
            self.route(sock)
        if not 0 < address[1] < 65536:
            raise error_of(errno.EINVAL)
        return header(number, address[1])

    def route(self, sock: Kernel) -> None:
        """Have the stack's datagrams sent by the stack, and the others by the kernel's socket. Raises OSError."""
        with self._routing:
            if self.splice_of(sock) is None:
                port = self.port_if_unbound(sock)
                splice = DatagramSplice(self.net)
                self.put(splice, sock, lambda: splice.route(port), keep_kernel=True)

    # Whose it is

    def splice_of(self, sock: Kernel) -> Splice | None:
        """The splice that `sock` belongs to; None: the kernel's, or it is over."""
        number = number_of(sock)
        return None if number is None else self.net.splices.get(number)

    def getpeername(self, sock: Kernel) -> Any:
        """As socket.socket.getpeername()."""
        number = number_of(sock)
        if number is None:
            return Kernel.getpeername(sock)
        splice = self.net.splices.get(number)
        peername = ends_of(sock)[1] if splice is None else splice.peername()
        if peername is None:
            raise error_of(errno.ENOTCONN)
        return peername

    def _is_datagrams(self, sock: Kernel) -> bool:
        return type_of(sock) == socket.SOCK_DGRAM and number_of(sock) is not None

    def number(self, sock: Kernel, address: Any) -> Ipv4Address | None:
        """The address in a socket's address; None: the kernel may make of it what it likes. Raises OSError.

        So it is for all but TCP and UDP over IPv4.
        """
        if family_of(sock) != socket.AF_INET or Kernel.proto.__get__(sock) not in _PROTOCOLS.get(type_of(sock), ()):  # type: ignore[call-overload]
            return None
        if not isinstance(address, tuple) or len(address) != 2 or address[0] in _NO_NAMES:
            return None
        if not isinstance(address[1], int):
            raise TypeError(f"{type(address[1]).__name__!r} object cannot be interpreted as an integer")
        if not 0 <= address[1] < 65536:
            raise OverflowError("port must be 0-65535.")
        number = self.net.number(address[0])
        if number is None:
            infos = self.net.names.getaddrinfo(*address, socket.AF_INET, type_of(sock))
            number = self.net.number(infos[0][4][0])
        return number

    def refuse_if_ours(self, address: Any) -> None:
        """Raise OSError(ENETUNREACH) if the kernel would be asked to send to an address of the stack's."""
        number = ipv4_of(self.net.territory.literal(address[0])) if isinstance(address, tuple) and address else None
        if number is not None and number != UNSPECIFIED and self.net.territory.holds(number):
            raise OSError(errno.ENETUNREACH, f"{address[0]} is the stack's, which has TCP and UDP over IPv4 only")

    def port_if_unbound(self, sock: Kernel) -> int:
        """The port of a socket of the kernel's for all addresses. Raises OSError for one that is bound to some."""
        name, port = Kernel.getsockname(sock)[:2]
        if name != "0.0.0.0":
            raise OSError(errno.ENETUNREACH, f"the socket is bound to {name}, which is not the stack's")
        return int(port)

    def put(self, splice: Splice, sock: Kernel, begin: Callable[[], object], *, keep_kernel: bool = False) -> None:
        """Have `splice` begin, and put the program's end of it in the place of `sock`. Raises OSError."""
        if keep_kernel:
            splice.kernel = Kernel(socket.AF_INET, type_of(sock), 0, os.dup(sock.fileno()))
        try:
            self.net.call(begin)
        except BaseException:
            splice.abandon()
            raise
        splice.app.setblocking(timeout_of(sock) is None)
        splice.hand_over(sock.fileno())
