"""websockets on both sides."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

from stack.virtual.link import LinkProfile
from tests.aio.conftest import SERVER, World
from tests.libraries.conftest import Certificates, Link
from tests.libraries.links import SERVER_NAME, Place

pytestmark = pytest.mark.libraries


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def echoes(place: Place, port: int = 80, **options: Any) -> AsyncIterator[None]:
    async with serve(echo, place.server, port, **options):
        yield


def test_compressed_over_tls(link: Link, certificates: Certificates) -> None:
    async def use(place: Place, served: None) -> None:
        async with connect(f"wss://{SERVER_NAME}/", ssl=certificates.client_context()) as socket:
            assert "permessage-deflate" in socket.response.headers["Sec-WebSocket-Extensions"]
            for message in ("text", b"binary" * 50_000):
                await socket.send(message)
                assert await socket.recv() == message

    link.run(functools.partial(echoes, port=443, ssl=certificates.server_context()), use)


def test_fifty_at_once(link: Link) -> None:
    async def use(place: Place, served: None) -> None:
        sockets = await asyncio.gather(*(connect(f"ws://{place.server}/", compression=None) for _ in range(50)))
        for number, socket in enumerate(sockets):
            await socket.send(str(number))
        assert [await socket.recv() for socket in sockets] == [str(number) for number in range(50)]
        await asyncio.gather(*(socket.close() for socket in sockets))

    assert link.run(functools.partial(echoes, compression=None), use).connections == 50


def test_fifty_at_once_for_ten_minutes(world: World) -> None:
    async def main() -> None:
        async with serve(echo, SERVER, 80, compression=None) as server:
            sockets = await asyncio.gather(*(connect(f"ws://{SERVER}/", compression=None) for _ in range(50)))
            await asyncio.sleep(600)
            assert len(server.connections) == 50
            for number, socket in enumerate(sockets):
                await socket.send(str(number))
            assert [await socket.recv() for socket in sockets] == [str(number) for number in range(50)]
            await asyncio.gather(*(socket.close() for socket in sockets))

    world.run(main)


def test_a_cable_that_is_cut_is_noticed_by_the_pings(world: World) -> None:
    async def main() -> None:
        async with serve(echo, SERVER, 80), connect(f"ws://{SERVER}/") as socket:
            world.link.forward.profile = LinkProfile(corruption=1.0)
            began = world.loop.time()
            with pytest.raises(ConnectionClosedError, match="keepalive ping timeout"):
                await socket.recv()
            assert 20 < world.loop.time() - began < 60

    world.run(main)
