"""aiohttp on both sides, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.aio.conftest import CLIENT, SERVER, World

from . import applications
from .applications import CHUNK, aiohttp_application, digest_of_octets
from .conftest import SERVER_NAME, Certificates

pytestmark = pytest.mark.libraries


@asynccontextmanager
async def served(**options: object) -> AsyncIterator[None]:
    runner = web.AppRunner(aiohttp_application())
    await runner.setup()
    site = web.TCPSite(runner, SERVER, 80, **options)  # type: ignore[arg-type]
    await site.start()
    try:
        yield
    finally:
        await runner.cleanup()


def test_ten_requests_on_one_connection(world: World) -> None:
    async def main() -> None:
        async with served(), aiohttp.ClientSession(f"http://{SERVER_NAME}") as client:
            for _ in range(10):
                async with client.get("/") as response:
                    assert await response.text() == f"HTTP/1.1 to {CLIENT}"

    world.run(main)
    assert world.client.counters["TcpActiveOpens"] == 1


def test_large_bodies_in_both_directions(world: World) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield CHUNK

    async def main() -> None:
        async with served(), aiohttp.ClientSession(f"http://{SERVER}") as client:
            async with client.get("/octets/3000000") as response:
                assert len(await response.read()) == 3_000_000
            async with client.post("/", data=pieces()) as response:
                assert await response.text() == digest_of_octets(50 * len(CHUNK))

    world.run(main)


def test_a_file(world: World) -> None:
    async def main() -> None:
        async with served(), aiohttp.ClientSession(f"http://{SERVER}") as client:
            async with client.get("/file") as response:
                whole = await response.read()
            async with client.get("/file", headers={"Range": "bytes=100-199"}) as response:
                assert response.status == 206
                assert await response.read() == whole[100:200]
        with open(applications.__file__, "rb") as file:
            assert whole == file.read()

    world.run(main)


def test_a_websocket(world: World) -> None:
    async def main() -> None:
        async with (
            served(),
            aiohttp.ClientSession(f"http://{SERVER}") as client,
            client.ws_connect("/websocket", heartbeat=30) as socket,
        ):
            for text in ("one", "two" * 100_000):
                await socket.send_str(text)
                assert await socket.receive_str() == text
            await asyncio.sleep(1000)
            await socket.send_str("still there")
            assert await socket.receive_str() == "still there"

    world.run(main)


def test_tls(world: World, certificates: Certificates) -> None:
    async def main() -> None:
        async with (
            served(ssl_context=certificates.server_context()),
            aiohttp.ClientSession(f"https://{SERVER_NAME}:80") as client,
            client.get("/octets/300000", ssl=certificates.client_context()) as response,
        ):
            assert len(await response.read()) == 300_000

    world.run(main)


def test_a_server_that_is_not_there(world: World) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as client:
            with pytest.raises(aiohttp.ClientConnectorError, match="Connect call failed"):
                await client.get(f"http://{SERVER}/")

    world.run(main)
