"""UDP for programs that need a file descriptor: a splice whose messages are datagrams.

Before a datagram stands a header that says whose it is, or to whom it goes. One from the only peer, or to it, needs
none: so C code, and Python code that has the methods in C in its hands, can use a connected socket. (An empty one
does: a message without octets is the end.) A header is known by a mark that no datagram can be expected to begin with.
"""

import errno
import os
import select
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from stack.addresses import UNSPECIFIED, Ipv4Address, ipv4, show_ipv4
from stack.sockets.datagrams import Datagrams
from stack.sockets.splice import Address, Splice
from stack.sockets.stream import error_of

if TYPE_CHECKING:
    from stack.sockets.net import Net

_MARK: Final = os.urandom(8)
_HEADER: Final = struct.Struct(
    "!8sIH"
)  # mark, address and port; of the only peer: zeros; an error: its errno and port 0
TO_PEER: Final = _HEADER.pack(_MARK, 0, 0)
HEADER_SIZE: Final = _HEADER.size
LARGEST: Final = 65507  # octets of a datagram (RFC 768, RFC 791)
_SIZE: Final = _HEADER.size + LARGEST
_BURST: Final = 64  # datagrams that are carried at once


class DatagramSplice(Splice):
    """All of it is the hosts' thread's. What is not for the stack is sent by `kernel`, and what comes there heard."""

    def __init__(self, net: "Net") -> None:
        super().__init__(net, socket.SOCK_SEQPACKET)  # unlike SOCK_DGRAM, it tells when the program has closed its end
        self.datagrams = Datagrams(net, self.bell)
        self._up: bytes | None = None

    # What the program calls

    def bind(self, address: Ipv4Address, port: int) -> None:
        """Raises OSError."""
        self.datagrams.bind(address, port)
        self.name(self.sockname(), None)
        self.start()

    def connect(self, remote: Ipv4Address, port: int, bound: int = 0) -> None:
        """From the port `bound`, where it is not bound already. Raises OSError."""
        if bound:
            self.datagrams.bind(UNSPECIFIED, bound)
        self.datagrams.connect(remote, port)
        if self.number not in self.net.splices:
            self.name(self.sockname(), (show_ipv4(remote), port))
            self.start()

    def route(self, port: int) -> None:
        """Send each datagram by whomever it has to go by; from `port`, if it is free on the stack. Raises OSError."""
        try:
            self.datagrams.bind(UNSPECIFIED, port)
        except OSError:
            self.datagrams.bind(UNSPECIFIED, 0)
        self.name(self.sockname(), None)
        self.start()
        if self.kernel is not None:
            self.kernel.setblocking(False)
            self.net.driver.watch(self.kernel.fileno(), select.EPOLLIN, lambda events: self.bell.ring())

    def _core(self) -> Datagrams:
        return self.datagrams

    # The work

    def start(self) -> None:
        """See Splice."""
        super().start()
        self.want(select.EPOLLIN)

    def _go(self) -> None:
        self._carry_down()
        self._carry_up()
        if self.has_hung_up:
            self.end()
        elif self.number in self.net.splices:
            self.want(select.EPOLLIN | (0 if self._up is None else select.EPOLLOUT))

    def _carry_down(self) -> None:
        left = _BURST  # then others have their turn; but what it sent before it closed its end is sent
        while left > 0 or self.has_hung_up:
            left -= 1
            try:
                message = self.sock.recv(_SIZE)
            except OSError:
                return
            if not message:
                return
            data, to = unpacked(message)
            try:
                self._send(data, to)
            except OSError as error:
                if to is None:  # as with the kernel: one who sends to many is not told
                    self._tell(error)

    def _send(self, data: bytes, to: tuple[Ipv4Address, int] | None) -> None:
        if to is None or self.kernel is None or self.net.territory.holds(to[0]):
            self.datagrams.send(data, to)
        else:
            self.kernel.sendto(data, (show_ipv4(to[0]), to[1]))

    def _carry_up(self) -> None:
        while self.number in self.net.splices:
            if self._up is None:
                try:
                    self._up = self._next()
                except BlockingIOError:
                    return
                except OSError as error:
                    self._tell(error)
                    continue
            try:
                self.sock.send(self._up, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:
                self.hang_up()
                return
            self._up = None

    def _next(self) -> bytes:
        """The next datagram, as a message. Raises OSError."""
        try:
            data, (name, port) = self.datagrams.receive()
        except BlockingIOError:
            if self.kernel is None:
                raise
            data, (name, port) = self.kernel.recvfrom(LARGEST)
        return data if data and self.datagrams.is_connected else header(ipv4(name), port) + data

    def _tell(self, error: OSError) -> None:
        with suppress(OSError):  # there is room for what is told first
            self.sock.send(header(error.errno or errno.EIO, 0), socket.MSG_NOSIGNAL)

    def forget_kernel(self) -> None:
        """See Splice."""
        if self.kernel is not None:
            self.net.driver.unwatch(self.kernel.fileno())
        super().forget_kernel()

    def _close(self) -> None:
        self.datagrams.close()


def header(address: int, port: int) -> bytes:
    """What stands before a datagram to or from there."""
    return _HEADER.pack(_MARK, address, port)


def unpacked(message: bytes) -> tuple[bytes, tuple[Ipv4Address, int] | None]:
    """The datagram that `message` is, and its other end; None: the only peer."""
    if not message.startswith(_MARK) or len(message) < _HEADER.size:
        return message, None
    _, address, port = _HEADER.unpack_from(message)
    return message[_HEADER.size :], (Ipv4Address(address), port) if address else None


def received(message: bytes, limit: int) -> tuple[bytes, Address | None]:
    """The first `limit` octets of a datagram, and who sent it (None: the only peer). Raises OSError for an error."""
    data, sender = unpacked(message)
    if sender is None:
        return data[:limit], None
    address, port = sender
    if not port:
        raise error_of(address)
    return data[:limit], (show_ipv4(address), port)
