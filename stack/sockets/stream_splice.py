"""TCP for programs that need a file descriptor: a splice that is bound, and then listens or is a connection."""

import _socket
import array
import errno
import select
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from stack.addresses import Ipv4Address, ipv4, show_ipv4
from stack.aio.faces import SocketFace
from stack.host import Host
from stack.octets import Octets
from stack.sockets.splice import Address, Splice, logger
from stack.sockets.stream import Stream, error_of
from stack.transport.tcp.connection import Connection

if TYPE_CHECKING:
    from stack.sockets.net import Net

PARCEL: Final = struct.Struct("!QIHIH")  # a splice's number, its other end and its own; with it comes the descriptor
_PIECE: Final = 64 << 10
_FEW: Final = 4096  # of a buffer: accepted connections are to wait in the listener's queue, which has a bound


class StreamSplice(Splice):
    """All of it is the hosts' thread's; the calls are Stream's."""

    def __init__(self, net: "Net") -> None:
        super().__init__(net, socket.SOCK_STREAM)
        self.stream = Stream(net, self.bell)
        self.is_listening = False
        self._is_open = False
        self._filler = 0  # octets that the program's end was filled with, so that it is not writable
        self._down: Octets = b""  # from the program, and not yet taken by TCP
        self._up: Octets = b""  # to the program, which has not yet taken it
        self._program_has_ended = False
        self._peer_has_ended = False
        self._parcel: tuple[StreamSplice, bytes] | None = None

    # What the program calls

    def bind(self, address: Ipv4Address, port: int) -> None:
        """Raises OSError."""
        self.stream.bind(address, port)
        self.net.unconnected.add(self.number)
        self.name(self.stream.sockname(), None)
        self.start()

    def listen(self, backlog: int) -> None:
        """Raises OSError."""
        self.stream.listen(backlog)
        self.forget_kernel()
        self.is_listening = True
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _FEW)
        self.bell.ring()

    def connect(self, remote: Ipv4Address, port: int, program: _socket.socket | None) -> None:
        """Begin to connect; see opened(). Raises OSError.

        `program` is the program's socket, where it is not to be writable before the connection is open.
        """
        self.stream.connect(remote, port)
        self.net.unconnected.discard(self.number)
        self.forget_kernel()
        if program is not None:
            self._fill(program)
        if self.number not in self.net.splices:
            self.name(self.stream.sockname(), (show_ipv4(remote), port))
            self.start()

    def opened(self) -> None:
        """Returns once the connection is open. Raises OSError."""
        if self.failure is not None:
            raise OSError(self.failure.errno, self.failure.strerror)
        if not self._is_open:
            raise error_of(errno.EINPROGRESS)

    def adopt(self, host: Host, connection: Connection, like: SocketFace) -> None:
        """Be `connection`, which a listener has accepted."""
        self.stream.adopt(host, connection, like)
        self.name(self.stream.sockname(), self.stream.peername())
        self._is_open = True

    def option(self, level: int, name: int, length: int = 0) -> int | bytes:
        """See Splice."""
        if (level, name) == (socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return int(self.is_listening)
        return super().option(level, name, length)

    def _core(self) -> Stream:
        return self.stream

    # The work

    def _go(self) -> None:
        if self.is_listening:
            self._pass_on()
        elif self.stream.is_connection:
            try:
                if self._open():
                    self._carry()
            except OSError as error:
                self.end(error)
        elif self.has_hung_up:
            self.end()

    def _open(self) -> bool:
        """Whether the connection is open. Raises OSError."""
        if not self._is_open:
            if self.has_hung_up:
                self.end()
                return False
            try:
                self.stream.opened()
            except BlockingIOError:
                self.want(0)
                return False
            self._is_open = True
            while self._filler:
                self._filler -= len(self.sock.recv(self._filler))
        return True

    def _carry(self) -> None:
        """Carry what can be carried, both ways. Raises OSError, the connection's."""
        self._carry_down()
        self._carry_up()
        if self.number not in self.net.splices:
            return
        if self.has_hung_up and not self._down and self._program_has_ended:
            if self._up:
                self.stream.abort()  # as for all that is not received
            self.end()
            return
        wants_down = 0 if self._down or self._program_has_ended else select.EPOLLIN
        self.want(wants_down | (select.EPOLLOUT if self._up else 0))

    def _carry_down(self) -> None:
        while True:
            if self._down:
                try:
                    self._down = memoryview(self._down)[self.stream.send(self._down) :]
                except BlockingIOError:
                    return
            elif self._program_has_ended:
                return
            else:
                try:
                    self._down = self.sock.recv(_PIECE)
                except BlockingIOError:
                    self._program_has_ended = self.has_hung_up
                    return
                except OSError:  # the program has closed its end, and there was something to be read
                    self.stream.abort()
                    self.end()
                    return
                if not self._down:
                    self._program_has_ended = True
                    if not self.check():  # otherwise it is close()'s to say how the connection ends
                        self.stream.shutdown(socket.SHUT_WR)
                    return

    def _carry_up(self) -> None:
        while self.number in self.net.splices and not self._peer_has_ended:
            if self._up:
                try:
                    self._up = memoryview(self._up)[self.sock.send(self._up, socket.MSG_NOSIGNAL) :]
                except BlockingIOError:
                    return
                except OSError:
                    if self.has_hung_up:
                        return
                    self._up = b""  # it has shut down reading: what comes is for nobody
            else:
                try:
                    self._up = self.stream.receive(_PIECE)
                except BlockingIOError:
                    return
                if not self._up:
                    self._peer_has_ended = True
                    with suppress(OSError):  # it is gone
                        self.sock.shutdown(socket.SHUT_WR)

    def _pass_on(self) -> None:
        """Hand the program what the listener has accepted."""
        while not self.has_hung_up:
            try:
                splice, message = self._parcel = self._parcel or self._next_parcel()
            except BlockingIOError:
                self.want(0)
                return
            except OSError as error:
                logger.error("a connection waits to be accepted: no file descriptor for it: %s", error.strerror)
                self.net.starved.append(self)
                return
            rights = array.array("i", [splice.app.fileno()])
            try:
                self.sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self.want(select.EPOLLOUT)
                return
            except OSError:
                break
            self._parcel = None
            splice.app.close()
            splice.bell.ring()
        self.end()

    def _next_parcel(self) -> "tuple[StreamSplice, bytes]":
        """The next connection, on a splice of its own. Raises OSError, and then takes none."""
        if not self.stream.is_readable():
            raise error_of(errno.EAGAIN)
        splice = StreamSplice(self.net)
        host, connection = self.stream.accept()
        splice.adopt(host, connection, self.stream.face)
        splice.start()
        (own, own_port), (peer, port) = splice.stream.sockname(), splice.stream.peername()
        return splice, PARCEL.pack(splice.number, ipv4(peer), port, ipv4(own), own_port)

    def _fill(self, program: _socket.socket) -> None:
        """Until it is open, a connection that somebody waits for with select() must not be writable."""
        with suppress(BlockingIOError):
            while True:
                self._filler += program.send(bytes(_PIECE), socket.MSG_DONTWAIT)

    def _close(self) -> None:
        self.net.unconnected.discard(self.number)
        if self._parcel is not None:
            self._parcel[0].app.close()
            self._parcel[0].bell.ring()
        self.stream.close()


def accepted(parcel: bytes) -> tuple[int, Address]:
    """The number of the splice that a parcel brought, and the connection's other end."""
    number, peer, port, _, _ = PARCEL.unpack(parcel)
    return number, (show_ipv4(Ipv4Address(peer)), port)
