"""Arguments that contradict each other: refused before anything is done, in asyncio's own words."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.aio.conftest import CLIENT, SERVER, World

CALLS: dict[str, tuple[Callable[[Any], Awaitable[object]], str]] = {
    "a server that is nowhere": (
        lambda loop: loop.create_server(asyncio.Protocol),
        "Neither host/port nor sock were specified",
    ),
    "a server at a place and on a socket": (
        lambda loop: loop.create_server(asyncio.Protocol, SERVER, 80, sock=object()),
        "host/port and sock can not be specified at the same time",
    ),
    "a server with a timeout of TLS, and no TLS": (
        lambda loop: loop.create_server(asyncio.Protocol, "unknown.test", 80, ssl_handshake_timeout=1),
        "ssl_handshake_timeout is only meaningful with ssl",
    ),
    "a connection to a place and on a socket": (
        lambda loop: loop.create_connection(asyncio.Protocol, SERVER, 80, sock=object()),
        "host/port and sock can not be specified at the same time",
    ),
    "a connection with a server's name, and no TLS": (
        lambda loop: loop.create_connection(asyncio.Protocol, "unknown.test", 80, server_hostname="server.test"),
        "server_hostname is only meaningful with ssl",
    ),
    "a connection with TLS to nobody": (
        lambda loop: loop.create_connection(asyncio.Protocol, "", 80, ssl=ssl.create_default_context()),
        "You must set server_hostname when using ssl without a host",
    ),
    "a datagram endpoint with ends of two families": (
        lambda loop: loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("::1", 0), remote_addr=(SERVER, 53)
        ),
        "can not get address information",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_refused(world: World, name: str) -> None:
    call, message = CALLS[name]

    async def main() -> None:
        with pytest.raises(ValueError, match=message):
            await call(asyncio.get_running_loop())

    world.run(main)


def test_the_socket_of_a_connection_is_none_of_a_place(world: World) -> None:
    async def main() -> None:
        loop, client = asyncio.get_running_loop(), socket.socket()
        client.setblocking(False)
        server = await loop.create_server(asyncio.Protocol, SERVER, 80)
        await loop.sock_connect(client, (SERVER, 80))
        with pytest.raises(ValueError, match="can not be specified at the same time"):
            await loop.create_connection(asyncio.Protocol, CLIENT, 80, sock=client)
        client.close()
        server.close()

    world.run(main)


def test_a_loop_that_runs_cannot_be_closed(world: World) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
            asyncio.get_running_loop().close()
        await asyncio.sleep(1)

    world.run(main)
