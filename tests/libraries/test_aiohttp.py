"""aiohttp on both sides."""

import asyncio
import functools
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.aio.conftest import SERVER, World
from tests.libraries import applications
from tests.libraries.applications import CHUNK, digest_of_octets
from tests.libraries.conftest import Certificates, Link
from tests.libraries.links import SERVER_NAME, Place
from tests.libraries.servers import aiohttp_serves

pytestmark = pytest.mark.libraries


def test_ten_requests_on_one_connection(link: Link) -> None:
    async def use(place: Place, served: None) -> None:
        async with aiohttp.ClientSession(f"http://{SERVER_NAME}") as client:
            for _ in range(10):
                async with client.get("/") as response:
                    assert await response.text() == f"HTTP/1.1 to {place.client}"

    assert link.run(aiohttp_serves, use).connections == 1


def test_large_bodies_in_both_directions(link: Link) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield CHUNK

    async def use(place: Place, served: None) -> None:
        async with aiohttp.ClientSession(f"http://{place.server}") as client:
            async with client.get("/octets/3000000") as response:
                assert len(await response.read()) == 3_000_000
            async with client.post("/", data=pieces()) as response:
                assert await response.text() == digest_of_octets(50 * len(CHUNK))

    link.run(aiohttp_serves, use)


def test_a_file(link: Link) -> None:
    async def use(place: Place, served: None) -> None:
        async with aiohttp.ClientSession(f"http://{place.server}") as client:
            async with client.get("/file") as response:
                whole = await response.read()
            async with client.get("/file", headers={"Range": "bytes=100-199"}) as response:
                assert response.status == 206
                assert await response.read() == whole[100:200]
        with open(applications.__file__, "rb") as file:
            assert whole == file.read()

    link.run(aiohttp_serves, use)


def test_a_websocket(link: Link) -> None:
    async def use(place: Place, served: None) -> None:
        async with (
            aiohttp.ClientSession(f"http://{place.server}") as client,
            client.ws_connect("/websocket", heartbeat=30) as socket,
        ):
            for text in ("one", "two" * 100_000):
                await socket.send_str(text)
                assert await socket.receive_str() == text

    link.run(aiohttp_serves, use)


def test_a_websocket_that_heartbeats_keep_alive(world: World) -> None:
    async def main() -> None:
        async with (
            aiohttp_serves(Place(SERVER, "")),
            aiohttp.ClientSession(f"http://{SERVER}") as client,
            client.ws_connect("/websocket", heartbeat=30) as socket,
        ):
            await asyncio.sleep(1000)
            await socket.send_str("still there")
            assert await socket.receive_str() == "still there"

    world.run(main)


def test_tls(link: Link, certificates: Certificates) -> None:
    async def use(place: Place, served: None) -> None:
        url, context = f"https://{SERVER_NAME}", certificates.client_context()
        async with aiohttp.ClientSession(url) as client, client.get("/octets/300000", ssl=context) as response:
            assert len(await response.read()) == 300_000

    link.run(functools.partial(aiohttp_serves, port=443, ssl_context=certificates.server_context()), use)


def test_a_server_that_is_not_there(link: Link) -> None:
    async def use(place: Place, served: None) -> None:
        async with aiohttp.ClientSession() as client:
            with pytest.raises(aiohttp.ClientConnectorError, match="Connect call failed"):
                await client.get(f"http://{place.server}:81/")

    link.run(aiohttp_serves, use)
