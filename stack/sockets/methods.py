"""The calls of socket.socket that name addresses, for sockets that are the kernel's until one of the stack's is named.

Then the program's file descriptor becomes a splice's (stack.sockets.splice); all that has no address in it is the
kernel's on that. What belongs to the stack's networks never goes to the kernel's: where the stack cannot do what is
asked, the call fails. The stack's are

    TCP    bound to an address of the stack's, or to a port of all addresses; connected to one of its networks
    UDP    the same; and one that is bound to nothing else sends each datagram by whomever it has to go by

IPv6 is the kernel's, and so is everything but TCP and UDP.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from stack.addresses import UNSPECIFIED, Ipv4Address, show_ipv4
from stack.aio.faces import SocketFace
from stack.sockets.datagram_splice import DatagramSplice
from stack.sockets.driver import Driver
from stack.sockets.messages import Kernel, MessageCalls, family_of, timeout_of, type_of
from stack.sockets.splice import Splice, ends_of, number_of
from stack.sockets.stream import error_of
from stack.sockets.stream_splice import PARCEL, StreamSplice, accepted

if TYPE_CHECKING:
    from stack.sockets.net import Net

# What a program may have set of the kernel's socket before the stack's takes its place.
_CARRIED: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    (socket.IPPROTO_IP, socket.IP_TOS),
)
_KEEP_ALIVE: Final = (
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
)
_LINGER: Final = (socket.SOL_SOCKET, socket.SO_LINGER)


class Methods(MessageCalls):
    """All calls on `net`."""

    def functions(self) -> dict[str, Callable[..., Any]]:
        """By their names, to be set as attributes of socket.socket or of a subclass."""
        calls: dict[str, Callable[..., Any]] = {
            "bind": self.bind, "listen": self.listen, "_real_close": self.close, "getsockname": self.getsockname,
            "getpeername": self.getpeername, "setsockopt": self.setsockopt, "getsockopt": self.getsockopt,
        }  # fmt: skip
        blocking: dict[str, Callable[..., Any]] = {
            "connect": self.connect,
            "connect_ex": self.connect_ex,
            "_accept": self.accept,
        }
        blocking |= {name: getattr(self, name) for name in self.NAMES}
        driver = self.net.driver
        return {name: _as_method(call) for name, call in calls.items()} | {
            name: _as_blocking_method(call, driver) for name, call in blocking.items()
        }

    # Addresses

    def bind(self, sock: Kernel, address: Any) -> None:
        """As socket.socket.bind()."""
        number = self.number(sock, address)
        is_stream = type_of(sock) == socket.SOCK_STREAM
        if number is None:
            Kernel.bind(sock, address)
            return
        if number != UNSPECIFIED and self.net.territory.owner(number) is None:
            Kernel.bind(sock, (show_ipv4(number), address[1]))
            return
        if number_of(sock) is not None:
            raise error_of(errno.EINVAL)
        if number == UNSPECIFIED and not is_stream and not address[1]:
            Kernel.bind(sock, address)
            self.route(sock)  # now: who waits for datagrams already would otherwise wait for the kernel's only
            return
        splice: StreamSplice | DatagramSplice = self._new_stream(sock) if is_stream else DatagramSplice(self.net)
        self.put(splice, sock, lambda: splice.bind(number, address[1]), keep_kernel=is_stream)

    def listen(self, sock: Kernel, backlog: int = 128) -> None:
        """As socket.socket.listen()."""
        splice = self.splice_of(sock)
        if splice is None:
            Kernel.listen(sock, backlog)
        elif isinstance(splice, StreamSplice):
            if not -(1 << 31) <= backlog < 1 << 31:
                raise OverflowError("signed integer is out of range")
            stream = splice
            self.net.call(lambda: stream.listen(backlog))
        else:
            raise error_of(errno.EOPNOTSUPP)

    def connect(self, sock: Kernel, address: Any) -> None:
        """As socket.socket.connect()."""
        number = self.number(sock, address)
        if number is None:
            self.refuse_if_ours(address)
            Kernel.connect(sock, address)
            return
        splice, port, is_ours = self.splice_of(sock), address[1], self.net.territory.holds(number)
        if isinstance(splice, DatagramSplice):
            datagrams = splice
            if is_ours or splice.kernel is None:
                self.net.call(lambda: datagrams.connect(number, port))
            else:
                self._give_back(sock, splice)
                Kernel.connect(sock, (show_ipv4(number), port))
        elif isinstance(splice, StreamSplice):
            if is_ours or splice.stream.is_connection or splice.kernel is None:
                self._connect_stream(sock, splice, number, port)
            else:
                bound = splice.stream.sockname()
                self._give_back(sock, splice)
                Kernel.bind(sock, bound)
                Kernel.connect(sock, (show_ipv4(number), port))
        elif not is_ours:
            Kernel.connect(sock, (show_ipv4(number), port))
        elif type_of(sock) == socket.SOCK_STREAM:
            if number_of(sock) is None:
                self.port_if_unbound(sock)
            self._connect_stream(sock, self._new_stream(sock), number, port)
        else:
            own, fresh = self.port_if_unbound(sock), DatagramSplice(self.net)
            self.put(fresh, sock, lambda: fresh.connect(number, port, own))

    def connect_ex(self, sock: Kernel, address: Any) -> int:
        """As socket.socket.connect_ex()."""
        try:
            self.connect(sock, address)
        except TimeoutError as error:
            return error.errno or errno.EAGAIN
        except socket.gaierror:
            raise
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def _new_stream(self, sock: Kernel) -> StreamSplice:
        """A splice with the options that the kernel's `sock` has."""
        splice = StreamSplice(self.net)
        if number_of(sock) is None:
            _carry_options(sock, splice.stream.face)
        return splice

    def _connect_stream(self, sock: Kernel, splice: StreamSplice, number: Ipv4Address, port: int) -> None:
        waits = timeout_of(sock) != 0
        if splice.number in self.net.splices:
            self.net.call(lambda: splice.connect(number, port, None if waits else sock))
        else:
            self.put(splice, sock, lambda: splice.connect(number, port, None if waits else splice.app))
        if not waits:
            raise error_of(errno.EINPROGRESS)
        self.net.driver.call_when(splice.bell, splice.opened, timeout_of(sock))

    def _give_back(self, sock: Kernel, splice: Splice) -> None:
        """Put the kernel's socket back: the stack's networks have turned out not to be meant."""
        kernel = splice.kernel
        assert kernel is not None  # its caller has seen it
        os.set_blocking(kernel.fileno(), timeout_of(sock) is None)
        os.dup2(kernel.fileno(), sock.fileno(), inheritable=os.get_inheritable(sock.fileno()))
        self.net.call(splice.end)

    def accept(self, sock: Kernel) -> tuple[int, Any]:
        """As socket.socket._accept(): a connection's file descriptor, and its other end."""
        if number_of(sock) is None:
            return Kernel._accept(sock)  # type: ignore[attr-defined, no-any-return]
        if type_of(sock) != socket.SOCK_STREAM:
            raise error_of(errno.EOPNOTSUPP)
        parcel, rights, _, _ = Kernel.recvmsg(sock, PARCEL.size, socket.CMSG_LEN(4), socket.MSG_CMSG_CLOEXEC)
        if not rights:
            raise error_of(errno.EMFILE if parcel else errno.EINVAL)
        fileno = int.from_bytes(rights[0][2], sys.byteorder)
        number, peer = accepted(parcel)
        splice = self.net.splices.get(number)
        if splice is not None:
            splice.is_now_at(fileno)
        return fileno, peer

    def close(self, sock: Kernel) -> None:
        """As socket.socket._real_close(); a port is free again when this returns."""
        splice = self.splice_of(sock)
        Kernel.close(sock)
        if isinstance(splice, DatagramSplice) or (isinstance(splice, StreamSplice) and not splice.stream.is_connection):
            try:
                self.net.call(splice.look)
            except OSError:
                return  # the stack is gone, and the port with it

    def getsockname(self, sock: Kernel) -> Any:
        """As socket.socket.getsockname()."""
        number = number_of(sock)
        if number is None:
            return Kernel.getsockname(sock)
        splice = self.net.splices.get(number)
        return ends_of(sock)[0] if splice is None else splice.sockname()

    # Options

    def setsockopt(self, sock: Kernel, level: int, name: int, value: Any, *length: int) -> None:
        """As socket.socket.setsockopt()."""
        if number_of(sock) is None:
            Kernel.setsockopt(sock, level, name, value, *length)
            return
        splice = self.splice_of(sock)
        if splice is not None:
            spliced = splice
            self.net.call(lambda: spliced.set_option(level, name, value))

    def getsockopt(self, sock: Kernel, level: int, name: int, *length: int) -> Any:
        """As socket.socket.getsockopt()."""
        number = number_of(sock)
        if number is None:
            return Kernel.getsockopt(sock, level, name, *length)
        if level == socket.SOL_SOCKET:
            match name:
                case socket.SO_ERROR:
                    return self.net.failures.pop(number, 0)
                case socket.SO_TYPE:
                    return type_of(sock)
                case socket.SO_DOMAIN:
                    return family_of(sock)
        splice = self.net.splices.get(number)
        if splice is None:
            return bytes(*length) if length else 0
        return self.net.call(lambda: splice.option(level, name, *length))


def socket_class(net: "Net") -> type[socket.socket]:
    """socket.socket with the calls on `net`, where nothing is to be patched."""
    return type("StackSocket", (socket.socket,), Methods(net).functions())


def _as_method(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def method(self: Kernel, *arguments: Any, **options: Any) -> Any:
        return call(self, *arguments, **options)

    return method


def _as_blocking_method(call: Callable[..., Any], driver: Driver) -> Callable[..., Any]:
    """As _as_method(), for what may block: nobody else drives the hosts while an event loop's own thread is stuck."""

    @wraps(call)
    def method(self: Kernel, *arguments: Any, **options: Any) -> Any:
        if timeout_of(self) == 0 or not driver.is_held_here:
            return call(self, *arguments, **options)
        with driver.lent():
            return call(self, *arguments, **options)

    return method


def _carry_options(sock: Kernel, face: SocketFace) -> None:
    """Set of `face` what has been set of `sock`."""
    alive = sock.type == socket.SOCK_STREAM and Kernel.getsockopt(sock, *_KEEP_ALIVE[-1])
    for level, name in (*_CARRIED, *(_KEEP_ALIVE if alive else ())):
        if value := Kernel.getsockopt(sock, level, name):
            face.setsockopt(level, name, value)
    linger = Kernel.getsockopt(sock, *_LINGER, 8)
    if any(linger[:4]):
        face.setsockopt(*_LINGER, linger)
