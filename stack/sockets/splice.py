"""A file descriptor of a program's, spliced to the stack: one end of a pair of AF_UNIX sockets, whose other is ours.

Theory. The program's end is a real file descriptor: it blocks, times out, is selected on, inherited and read by C code
as any other, and all that the kernel does without us. What has to be carried from one side to the other is

    back-pressure   what the one side does not take is not read from the other, whose buffer then fills
    the end         of one direction (shutdown, FIN), and of both (a hang-up: the program has closed its last copy)
    a reset         AF_UNIX tells of one when an end is closed that has octets unread: so that is seen to, where the
                    stack's side is reset; and where the program leaves octets unread, the connection is reset

The program's end bears a name in AF_UNIX's abstract space, which says which splice it belongs to and which addresses
it is between. So nothing has to be remembered about file descriptors, which come and go, and are copied.
"""

import _socket
import errno
import itertools
import logging
import os
import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from stack.sockets.calls import Bell
from stack.sockets.datagrams import Datagrams
from stack.sockets.stream import Stream

if TYPE_CHECKING:
    from stack.sockets.net import Net

PREFIX: Final = b"\0tap:"
_DIGITS: Final = 9  # with PREFIX the 14 octets that getsockname() has room for, of what it takes for AF_INET
_REMEMBERED: Final = 1024  # failures that nobody has asked for
_numbers = itertools.count(1)
_family_of = _socket.socket.family.__get__  # of the class in C, which nobody changes
_token = os.urandom(6).hex()  # the abstract space is that of all programs in the network namespace

Address = tuple[str, int]

logger = logging.getLogger(__name__)


class Splice:
    """Our end `sock` of a pair; `app` is the program's, which is closed once it has been handed over.

    `number` is what the name of the program's end begins with. A subclass does the work in _go(): in the hosts' thread,
    whenever the bell has rung or the program's side is ready.
    """

    def __init__(self, net: "Net", kind: int) -> None:
        self.net = net
        self.number = next(_numbers)
        self.sock, self.app = _socket.socketpair(socket.AF_UNIX, kind)  # whose methods nobody replaces
        self.sock.setblocking(False)
        self.bell: Bell = net.driver.bell(self._go_on)
        self.failure: OSError | None = None
        self.has_hung_up = False
        self.kernel: _socket.socket | None = None
        """The kernel's socket in whose place the program's end is, if that may be needed again."""
        self._place = -1, os.fstat(self.app.fileno()).st_ino  # where the program has its end, if that is known
        self._interest: int | None = None

    def name(self, sockname: Address, peername: Address | None) -> None:
        """Give the program's end its name."""
        ends = "/".join("-" if each is None else f"{each[0]}:{each[1]}" for each in (sockname, peername))
        self.app.bind(PREFIX + f"{self.number:0{_DIGITS}x}/{_token}/{ends}".encode())

    def hand_over(self, fileno: int) -> None:
        """Put the program's end in the place of its file descriptor `fileno`; any thread."""
        os.dup2(self.app.fileno(), fileno, inheritable=os.get_inheritable(fileno))
        self._place = fileno, self._place[1]
        self.app.close()

    def is_now_at(self, fileno: int) -> None:
        """The program has received its end there."""
        self._place = fileno, self._place[1]

    def start(self) -> None:
        """Begin to work."""
        self.net.splices[self.number] = self
        self.want(0)

    def want(self, events: int) -> None:
        """Be told when our end is ready for `events`, and when the program has closed its own."""
        if self._interest != events and not self.has_hung_up:
            self._interest = events
            self.net.driver.watch(self.sock.fileno(), events, self._on_ready)

    def _on_ready(self, events: int) -> None:
        if events & select.EPOLLHUP:
            self.hang_up()
        self.bell.ring()

    def hang_up(self) -> None:
        """The program has closed its end, and what is still to be read there is all."""
        if not self.has_hung_up:
            self.has_hung_up = True
            self.net.driver.unwatch(self.sock.fileno())  # which would report it for ever

    def check(self) -> bool:
        """Whether the program has closed its end, as of now."""
        if not self.has_hung_up:
            watch = select.poll()
            watch.register(self.sock, 0)
            if watch.poll(0):
                self.hang_up()
        return self.has_hung_up

    def look(self) -> None:
        """Do at once what is to be done if the program has closed its end."""
        if self.number in self.net.splices and self.check():
            self.bell.ring()

    def finish(self) -> None:
        """The stack comes to its end: what the program does from now on does not count."""
        self.hang_up()
        self.bell.ring()

    def end(self, failure: OSError | None = None) -> None:
        """Close our end; with `failure`, the program is told of a reset."""
        if self.net.splices.pop(self.number, None) is None:
            return
        self.failure = failure
        if failure is not None:
            while len(self.net.failures) >= _REMEMBERED:
                del self.net.failures[next(iter(self.net.failures))]
            self.net.failures[self.number] = failure.errno or errno.EIO
            self._leave_unread()
        self.hang_up()
        self.sock.close()
        self.forget_kernel()
        self._close()
        while self.net.starved:  # there are two file descriptors again
            self.net.starved.pop().bell.ring()

    def forget_kernel(self) -> None:
        """It will not be needed again."""
        if self.kernel is not None:
            self.kernel.close()
            self.kernel = None

    def abandon(self) -> None:
        """In a child that was forked: close the copies of what is the parent's."""
        self.sock.close()
        self.app.close()
        self.forget_kernel()

    def _leave_unread(self) -> None:
        """See to it that an octet is unread at our end, by writing one at the program's."""
        fileno, inode = self._place
        if fileno < 0:
            return
        with suppress(OSError):
            copy = _socket.socket(socket.AF_UNIX, self.sock.type, 0, os.dup(fileno))
            try:
                if os.fstat(copy.fileno()).st_ino == inode:  # the program may have closed it, and opened another there
                    copy.send(b"\0", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            finally:
                copy.close()

    def _go_on(self) -> None:
        if self.number in self.net.splices:
            try:
                self._go()
            except Exception:
                logger.exception("splice %d has failed", self.number)
                self.end(OSError(errno.EIO, os.strerror(errno.EIO)))

    # What the program asks

    def sockname(self) -> Address:
        """Our end."""
        return self._core().sockname()

    def peername(self) -> Address:
        """The other end. Raises OSError(ENOTCONN)."""
        return self._core().peername()

    def set_option(self, level: int, name: int, value: int | bytes) -> None:
        """Set an option. Raises OSError."""
        self._core().set_option(level, name, value)

    def option(self, level: int, name: int, length: int = 0) -> int | bytes:
        """The value of an option, as octets when `length` is given."""
        return self._core().face.getsockopt(level, name, length)

    # What a subclass does

    def _core(self) -> Stream | Datagrams:
        """The stack's side."""
        raise NotImplementedError

    def _go(self) -> None:
        """Do what can be done now."""
        raise NotImplementedError

    def _close(self) -> None:
        """Let go of the stack's side."""
        raise NotImplementedError


def number_of(sock: _socket.socket) -> int | None:
    """The number of the splice that `sock` belongs to, in whichever process; None: it is the kernel's."""
    if _family_of(sock) != socket.AF_INET:
        return None
    try:
        name: Any = _socket.socket.getsockname(sock)
    except OSError:
        return None
    return (
        int(name[len(PREFIX) : len(PREFIX) + _DIGITS], 16)
        if isinstance(name, bytes) and name.startswith(PREFIX)
        else None
    )


def ends_of(sock: _socket.socket) -> tuple[Address, Address | None]:
    """Our end and the other one, by the name of what number_of() has found."""
    copy = _socket.socket(socket.AF_UNIX, sock.type, 0, sock.fileno())
    try:
        parts = copy.getsockname().decode().split("/")
    finally:
        copy.detach()
    sockname, peername = (part.rpartition(":") for part in parts[-2:])
    return (sockname[0], int(sockname[2])), (peername[0], int(peername[2])) if peername[0] else None
