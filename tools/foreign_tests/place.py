"""The two ends of the device that the tests run on, and what makes them look like one machine to a test.

A socket that a test binds to the stack's address is nobody's yet: the kernel lets it have that (IP_FREEBIND). If it is
given to the loop, the stack listens in its stead. If it listens itself, it does so at the kernel's end.
"""

import asyncio
import os
import random
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, ClassVar, Final

from stack.aio.loop import StackLoop
from stack.aio.underlay import Devices
from stack.host import Host
from stack.io.attachment import host_config, open_device
from stack.io.configuration import load
from stack.io.engine import Engine

STACK: Final = "10.77.0.2"
KERNEL: Final = "10.77.0.1"
_OURS: Final = (STACK, "localhost")
_IP_FREEBIND: Final = 15  # <linux/in.h>; Python has no name for it
_TRAFFIC: Final = ("TcpInSegs", "TcpOutSegs", "UdpInDatagrams", "UdpOutDatagrams")


class Place:
    """A TAP device in the present network namespace, our host on it, and the loops that have it."""

    def __init__(self, resources: ExitStack) -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        settings = load({"address": f"{STACK}/24", "host-address": f"{KERNEL}/24"}, None, "tools/foreign")
        queues, kernel = open_device(settings, resources)
        tap = queues[0]
        config = host_config(settings, offload=tap.offload)
        self.host = Host(config, secret=os.urandom(32), random=random.SystemRandom(), now=time.monotonic_ns())
        self._engine = Engine(self.host, tap, trouble=kernel.trouble)
        self._open: list[tuple[StackLoop, Devices]] = []

    def traffic(self) -> int:
        """Segments and datagrams of the host, so far, in both directions."""
        return sum(self.host.counters[name] for name in _TRAFFIC)

    def devices(self) -> Devices:
        """For one more loop."""
        return Devices([self._engine])

    def opened(self, loop: StackLoop, devices: Devices) -> None:
        """`loop` has `devices`."""
        self._open.append((loop, devices))

    def close_loops(self) -> None:
        """Close what a test has left open: a loop that is closed later would end the next one's connections."""
        for loop, _ in self._open:
            if not loop.is_closed() and not loop.is_running():
                loop.close()
        self._open.clear()

    def turn_until(self, sock: socket.socket, events: int, timeout: float | None) -> bool:
        """Let the stack work until `sock` is ready, for `timeout` s at most; False: then it is not.

        The kernel works while a program's only thread waits for it. The stack, which is in that thread, has to be let.
        """
        poll = select.poll()
        poll.register(sock, events)
        devices = next((each for loop, each in reversed(self._open) if not loop.is_closed()), None)
        for fileno in devices.filenos() if devices else ():
            poll.register(fileno, select.POLLIN)
        end = None if timeout is None else time.monotonic() + timeout
        while end is None or time.monotonic() < end:
            if devices is not None:
                devices.turn(lambda left: poll.poll(None if left is None else left * 1000), 0.01)
            if dict(poll.poll(10 if devices is None else 0)).get(sock.fileno()):
                return True
        return False


class LoopUnderTest(StackLoop):
    """asyncio.SelectorEventLoop to the tests: the stack's loop. Its selector is always the stack's."""

    place: ClassVar[Place]

    def __new__(cls, selector: object = None) -> Any:
        """In another thread than the first, which is where the stack is, a loop of the kernel's."""
        if threading.current_thread() is threading.main_thread():
            return super().__new__(cls)
        return asyncio.unix_events._UnixSelectorEventLoop()

    def __init__(self, selector: object = None) -> None:
        devices = self.place.devices()
        super().__init__(devices, {"localhost": STACK})
        self.place.opened(self, devices)


def put_under_test(place: Place) -> None:
    """Have every loop that is made from now on be LoopUnderTest, and sockets be where they belong, in this process."""
    LoopUnderTest.place = place
    for module, name in (
        (asyncio, "SelectorEventLoop"),
        (asyncio, "new_event_loop"),
        (asyncio.events, "new_event_loop"),
    ):
        setattr(module, name, LoopUnderTest)
    policy: Any = asyncio.DefaultEventLoopPolicy
    policy._loop_factory = LoopUnderTest
    for name, call in (("bind", _bind), ("listen", _listen), ("connect", _connecting(place))):
        setattr(socket.socket, name, call)


_real_bind: Final = socket.socket.bind
_real_listen: Final = socket.socket.listen
_real_connect: Final = socket.socket.connect


def _bind(sock: socket.socket, address: Any) -> None:
    if isinstance(address, tuple) and address[0] in _OURS and sock.family == socket.AF_INET:
        if sock.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            address = (STACK, address[1])
        else:
            address = (KERNEL, address[1])
    _real_bind(sock, address)


def _listen(sock: socket.socket, *backlog: int) -> None:
    """As socket.listen(); what is bound to the stack's address is now bound to the same port of the kernel's end."""
    if sock.family == socket.AF_INET and sock.getsockname()[0] == STACK:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _real_bind(other, (KERNEL, sock.getsockname()[1]))
            os.dup2(other.fileno(), sock.fileno(), inheritable=False)
        sock.settimeout(sock.gettimeout())
    _real_listen(sock, *backlog)


def _connecting(place: Place) -> Callable[[socket.socket, Any], None]:
    def connect(sock: socket.socket, address: Any) -> None:
        """As socket.connect(), where what it waits for may have to be done by this thread."""
        timeout = sock.gettimeout()
        here = threading.current_thread() is threading.main_thread()
        if timeout == 0 or not here or sock.family != socket.AF_INET:
            _real_connect(sock, address)
            return
        with _not_blocking(sock):
            with suppress(BlockingIOError):
                _real_connect(sock, address)
            if not place.turn_until(sock, select.POLLOUT, timeout):
                raise TimeoutError("timed out")
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))

    return connect


@contextmanager
def _not_blocking(sock: socket.socket) -> Iterator[None]:
    timeout = sock.gettimeout()
    sock.setblocking(False)
    try:
        yield
    finally:
        sock.settimeout(timeout)
