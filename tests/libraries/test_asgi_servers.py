"""uvicorn and hypercorn, with httpx as the client."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import websockets

from tests.libraries import applications
from tests.libraries.applications import digest_of_octets
from tests.libraries.conftest import Certificates, Link
from tests.libraries.links import SERVER_NAME, KernelLink, Place
from tests.libraries.servers import hypercorn_serves, running_uvicorn, uvicorn_serves

pytestmark = pytest.mark.libraries

BODY = b"0123456789abcdef" * 20_000


async def exercise(client: httpx.AsyncClient, version: str, place: Place) -> None:
    for _ in range(10):
        assert (await client.get("/")).text == f"HTTP/{version} to {place.client}"
    response = await client.get("/octets/300000")
    assert len(response.content) == 300_000
    assert (await client.post("/", content=response.content)).text == digest_of_octets(300_000)


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_uvicorn_and_ten_requests_of_httpx_on_one_connection(link: Link, http: str) -> None:
    async def use(place: Place, served: None) -> None:
        async with httpx.AsyncClient(base_url=f"http://{SERVER_NAME}") as client:
            await exercise(client, "1.1", place)

    assert link.run(functools.partial(uvicorn_serves, http=http), use).connections == 1


def test_uvicorn_ends_when_the_last_response_is_sent(link: Link) -> None:
    @asynccontextmanager
    async def serve(place: Place) -> AsyncIterator[None]:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            server.should_exit = True
            await applications.asgi(scope, receive, send)

        async with running_uvicorn(place, application, lifespan="off") as server:
            yield

    async def use(place: Place, served: None) -> None:
        async with httpx.AsyncClient(base_url=f"http://{place.server}") as client:
            async with client.stream("GET", "/octets/5000000") as response:
                await asyncio.sleep(0.5)
                assert len(await response.aread()) == 5_000_000
            with pytest.raises(httpx.ConnectError):
                await client.get("/")

    link.run(serve, use)


@pytest.mark.parametrize("implementation", ["websockets-sansio", "wsproto"])
def test_a_websocket_of_uvicorns(link: Link, implementation: str) -> None:
    async def use(place: Place, served: None) -> None:
        async with websockets.connect(f"ws://{place.server}/") as socket:
            await socket.send("a text")
            await socket.send(BODY)
            assert await socket.recv() == "a text"
            assert await socket.recv() == BODY

    link.run(functools.partial(uvicorn_serves, ws=implementation), use)


def test_hypercorn_on_the_sockets_that_it_makes(link: Link) -> None:
    async def use(place: Place, port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://{place.server}:{port}") as client:
            await exercise(client, "1.1", place)

    assert link.run(hypercorn_serves, use).connections == 1


def test_http_2_over_tls_between_hypercorn_and_httpx(link: Link, certificates: Certificates) -> None:
    async def use(place: Place, port: int) -> None:
        url, context = f"https://{SERVER_NAME}:{port}", certificates.client_context()
        async with httpx.AsyncClient(base_url=url, http2=True, verify=context) as client:
            await exercise(client, "2", place)
            many = await asyncio.gather(*(client.get("/octets/50000") for _ in range(50)))
            assert {len(each.content) for each in many} == {50_000}

    serve = functools.partial(hypercorn_serves, **certificates.as_files())
    assert link.run(serve, use).connections == 1


def test_hypercorn_bound_to_the_stacks_address(
    stack_serves: KernelLink, any_address_can_be_bound: None, certificates: Certificates
) -> None:
    async def use(place: Place, port: int) -> None:
        url, context = f"https://{SERVER_NAME}", certificates.client_context()
        async with httpx.AsyncClient(base_url=url, http2=True, verify=context) as client:
            await exercise(client, "2", place)

    bind = [f"{stack_serves.place.server}:443"]
    serve = functools.partial(hypercorn_serves, bind=bind, quic_bind=bind, **certificates.as_files())
    assert stack_serves.run(serve, use).connections == 1
