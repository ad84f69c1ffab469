"""UDP for programs that need a file descriptor: a splice whose messages are datagrams, each behind its other end."""

import errno
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

HEADER: Final = struct.Struct("!IH")  # address and port; to the peer: zeros; an error: its errno and port 0
TO_PEER: Final = HEADER.pack(0, 0)
LARGEST: Final = 65507  # octets of a datagram (RFC 768, RFC 791)
_SIZE: Final = HEADER.size + LARGEST
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

    def _go(self, events: int) -> None:
        if self.number not in self.net.splices:
            return
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
            address, port = HEADER.unpack_from(message)
            try:
                self._send(message[HEADER.size :], (Ipv4Address(address), port) if port else None)
            except OSError as error:
                if not port:  # as with the kernel: one who sends to many is not told
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
        return HEADER.pack(ipv4(name), port) + data

    def _tell(self, error: OSError) -> None:
        with suppress(OSError):  # there is room for what is told first
            self.sock.send(HEADER.pack(error.errno or errno.EIO, 0), socket.MSG_NOSIGNAL)

    def forget_kernel(self) -> None:
        """See Splice."""
        if self.kernel is not None:
            self.net.driver.unwatch(self.kernel.fileno())
        super().forget_kernel()

    def _close(self) -> None:
        self.datagrams.close()


def received(message: bytes) -> tuple[bytes, Address]:
    """The datagram that `message` is, and who sent it. Raises OSError, if it tells of one."""
    if not message:
        raise error_of(errno.ENETDOWN)
    address, port = HEADER.unpack_from(message)
    if not port:
        raise error_of(address)
    return message[HEADER.size :], (show_ipv4(Ipv4Address(address)), port)
