"""A loop on a device, which here is one end of a pair of sockets."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from stack.addresses import ipv4
from stack.aio.loop import StackLoop
from stack.aio.underlay import Devices
from stack.aio.uv import UvLoop, WatchedDevices
from stack.io.engine import Engine
from stack.wire import arp, ethernet
from tests.aio.conftest import CLIENT, SERVER, make_host


class Wire:
    """As stack.io.engine.Device has it."""

    name = "wire"

    def __init__(self, sock: socket.socket) -> None:
        self.fileno = sock.fileno


def sought(theirs: socket.socket) -> set[int]:
    """Whose link addresses were asked for on the wire so far."""
    addresses: set[int] = set()
    while True:
        try:
            frame = theirs.recv(2000)
        except BlockingIOError:
            return addresses
        if frame[12:14] == ethernet.ETHERTYPE_ARP.to_bytes(2, "big"):
            packet = arp.parse(memoryview(frame)[14:])
            addresses.add(packet.target_address)


LOOPS: dict[str, Callable[[Engine], asyncio.AbstractEventLoop]] = {
    "asyncio's": lambda engine: StackLoop(Devices([engine]), {}),
    "uvloop's": lambda engine: UvLoop(WatchedDevices([engine]), {}),
}


@pytest.mark.parametrize("of", LOOPS)
def test_what_the_last_turn_has_led_to_is_sent_before_the_loop_rests(of: str) -> None:
    """As the kernel sends at once what is written: who comes next may wait for the answer, and not run the loop."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    loop = LOOPS[of](Engine(make_host(CLIENT, 1), Wire(ours)))

    async def main() -> None:
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(SERVER, 9))
        loop.call_soon(transport.sendto, b"hello")  # behind the wait in which turns send

    loop.run_until_complete(main())
    assert ipv4(SERVER) in sought(theirs)
    loop.close()
    ours.close()
    theirs.close()
