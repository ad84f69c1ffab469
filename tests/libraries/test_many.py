"""Five thousand WebSockets at once: clients of the kernel's, a server on the stack, and what they cost it."""

import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.libraries.links import KernelLink, Memory, Place

pytestmark = [pytest.mark.libraries, pytest.mark.kernel]

COUNT = 5000
AT_ONCE = 100  # that are being opened
MEMORY_LIMIT = 64 << 10  # octets for one connection: TCP's, the transport's, and most of it, the library's


@asynccontextmanager
async def echoes(place: Place) -> AsyncIterator[None]:
    memory = Memory()

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)
            if message == "memory":
                await connection.send(f"{len(server.connections)} {memory.grown()}")

    async with serve(echo, place.server, 80, compression=None, ping_interval=None) as server:
        yield


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Client:
    """As little of a client as will do: a library's takes more time for its end than there is for both."""

    def __init__(self, address: str) -> None:
        self._socket = socket.create_connection((address, 80), 60)
        self._stream = self._socket.makefile("rb")
        self._socket.sendall(UPGRADE)

    def await_upgrade(self) -> None:
        assert self._stream.readline().startswith(b"HTTP/1.1 101 ")
        while self._stream.readline().strip():
            pass

    def send(self, text: bytes, kind: int = 0x81) -> None:
        """A text of 125 octets at most (RFC 6455 5.2), masked with zeros."""
        self._socket.sendall(bytes((kind, 0x80 | len(text))) + bytes(4) + text)

    def close(self) -> None:
        self.send(b"", 0x88)
        assert self._stream.read() == b"\x88\0"
        self._stream.close()
        self._socket.close()

    def receive(self) -> bytes:
        kind, length = self._stream.read(2)
        assert kind == 0x81
        return self._stream.read(length)


async def open_all(place: Place, served: None) -> tuple[int, int]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients: list[Client] = []
    while len(clients) < COUNT:
        opened = [Client(place.server) for _ in range(AT_ONCE)]
        for client in opened:
            client.await_upgrade()
        clients += opened
    for number, client in enumerate(clients):
        client.send(b"%d" % number)
    for number, client in enumerate(clients):
        assert client.receive() == b"%d" % number
    clients[0].send(b"memory")
    clients[0].receive()
    count, octets = clients[0].receive().split()
    for client in clients:
        client.close()
    return int(count), int(octets)


def test_five_thousand_websockets(stack_serves: KernelLink) -> None:
    count, octets = stack_serves.run(echoes, open_all, seconds=180).value
    print(f"{count} connections, {octets // COUNT:,} octets each")
    assert count == COUNT and octets < COUNT * MEMORY_LIMIT
