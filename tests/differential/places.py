"""Where scenarios are played: the kernel's loopback with asyncio's own loop, and the stack in each of its loops."""

import asyncio
import functools
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from stack.addresses import ipv4, mac
from stack.aio.loop import StackLoop, VirtualLoop
from stack.aio.underlay import Devices
from stack.aio.uv import UvLoop, WatchedDevices
from stack.clock import MILLISECOND
from stack.config import HostConfig, InterfaceConfig
from stack.host import Host
from stack.io.engine import Engine
from stack.virtual.link import LinkProfile
from stack.virtual.network import Network
from tests.aio.conftest import Inline
from tests.differential.stage import Stage

CLIENT, SERVER, BROADCAST, NOBODYS = "10.0.0.1", "10.0.0.2", "10.0.0.255", "10.0.0.77"
_REAL, _VIRTUAL = 10.0, 3600.0  # s that a scenario waits for something to happen


def _host(address: str, number: int, now: int = 0) -> Host:
    interface = InterfaceConfig(mac(f"02:00:00:00:00:0{number}"), ipv4(address), 24)
    return Host(HostConfig((interface,)), secret=bytes(32), random=random.Random(number), now=now)


class _End:
    """An end of a socket pair, as a device."""

    def __init__(self, end: socket.socket) -> None:
        self.name = "pair"
        self.fileno = end.fileno


@contextmanager
def _kernel() -> Iterator[Stage]:
    loop = asyncio.SelectorEventLoop()
    with ExitStack() as resources:

        def silence() -> int:
            listener = resources.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            resources.enter_context(socket.create_connection(listener.getsockname()))
            port: int = listener.getsockname()[1]
            return port

        resources.callback(loop.close)
        yield Stage(loop, "127.0.0.1", "127.0.0.1", "127.255.255.255", "198.51.100.1", _REAL, silence)


def _silent_port(server: Host, client: Host, loop: StackLoop | UvLoop) -> int:
    """As with the kernel's: one connection that waits to be accepted is all that there can be."""
    port = 8888
    server.listen(port, loop._now(), backlog=1)
    client.connect(ipv4(SERVER), port, loop._now())
    return port


@contextmanager
def _virtual() -> Iterator[Stage]:
    network = Network(seed=1)
    client, server = network.add(_host(CLIENT, 1)), network.add(_host(SERVER, 2))
    network.connect(client, server, LinkProfile(delay=MILLISECOND))
    loop = VirtualLoop(network)
    loop.set_default_executor(Inline())
    try:
        yield Stage(loop, SERVER, CLIENT, BROADCAST, NOBODYS, _VIRTUAL, lambda: _silent_port(server, client, loop))
    finally:
        loop.close()


@contextmanager
def _real(
    make_devices: Callable[[list[Engine]], Devices], make_loop: Callable[..., StackLoop | UvLoop]
) -> Iterator[Stage]:
    """Two hosts in real time, whose devices are the two ends of a socket pair."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ends[0], ends[1]:
        for end in ends:
            end.setblocking(False)
        now = time.monotonic_ns()
        hosts = _host(CLIENT, 1, now), _host(SERVER, 2, now)
        engines = [Engine(host, _End(end)) for host, end in zip(hosts, ends, strict=True)]
        loop = make_loop(make_devices(engines), {})
        try:
            yield Stage(loop, SERVER, CLIENT, BROADCAST, NOBODYS, _REAL, lambda: _silent_port(hosts[1], hosts[0], loop))
        finally:
            loop.close()


KERNEL = "kernel"
PLACES: dict[str, Callable[[], AbstractContextManager[Stage]]] = {
    KERNEL: _kernel,
    "virtual": _virtual,
    "real time": functools.partial(_real, Devices, StackLoop),
    "uvloop": functools.partial(_real, WatchedDevices, UvLoop),
}
