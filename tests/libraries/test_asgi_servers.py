"""uvicorn and hypercorn, with httpx as the client, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import hypercorn.asyncio
import hypercorn.config
import pytest
import uvicorn
import websockets

from tests.aio.conftest import CLIENT, SERVER, World

from .applications import asgi, digest_of_octets
from .conftest import SERVER_NAME, Certificates

pytestmark = pytest.mark.libraries

BODY = b"0123456789abcdef" * 20_000


@asynccontextmanager
async def uvicorn_serves(**options: object) -> AsyncIterator[uvicorn.Server]:
    config = uvicorn.Config(asgi, host=SERVER, port=80, log_config=None, **options)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def hypercorn_serves(**options: object) -> AsyncIterator[int]:
    """The port: the sockets are hypercorn's own, on all addresses."""
    config = hypercorn.config.Config()
    config.bind = ["0.0.0.0:0"]
    config.errorlog = None
    for name, value in options.items():
        setattr(config, name, value)
    sockets = config.create_sockets()
    port = (sockets.secure_sockets + sockets.insecure_sockets)[0].getsockname()[1]
    over = asyncio.Event()
    config.create_sockets = lambda: sockets  # type: ignore[method-assign]
    task = asyncio.create_task(hypercorn.asyncio.serve(asgi, config, shutdown_trigger=over.wait))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        over.set()
        await task


async def exercise(client: httpx.AsyncClient, version: str) -> None:
    for _ in range(10):
        assert (await client.get("/")).text == f"HTTP/{version} to {CLIENT}"
    response = await client.get("/octets/300000")
    assert len(response.content) == 300_000
    assert (await client.post("/", content=response.content)).text == digest_of_octets(300_000)


def connections(world: World) -> int:
    return world.client.counters["TcpActiveOpens"]


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_uvicorn_and_ten_requests_of_httpx_on_one_connection(world: World, http: str) -> None:
    async def main() -> None:
        async with uvicorn_serves(http=http), httpx.AsyncClient(base_url=f"http://{SERVER}") as client:
            await exercise(client, "1.1")

    world.run(main)
    assert connections(world) == 1


def test_uvicorn_ends_when_the_last_response_is_sent(world: World) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(base_url=f"http://{SERVER}") as client:
            async with uvicorn_serves() as server, client.stream("GET", "/octets/5000000") as response:
                server.should_exit = True
                await asyncio.sleep(1)
                assert len(await response.aread()) == 5_000_000
            with pytest.raises(httpx.ConnectError):
                await client.get("/")

    world.run(main)


@pytest.mark.parametrize("implementation", ["websockets-sansio", "wsproto"])
def test_a_websocket_of_uvicorns(world: World, implementation: str) -> None:
    async def main() -> None:
        async with uvicorn_serves(ws=implementation), websockets.connect(f"ws://{SERVER}/") as socket:
            await socket.send("a text")
            await socket.send(BODY)
            assert await socket.recv() == "a text"
            assert await socket.recv() == BODY

    world.run(main)


def test_hypercorn_on_the_sockets_that_it_makes(world: World) -> None:
    async def main() -> None:
        async with hypercorn_serves() as port, httpx.AsyncClient(base_url=f"http://{SERVER}:{port}") as client:
            await exercise(client, "1.1")

    world.run(main)
    assert connections(world) == 1


def test_http_2_over_tls_between_hypercorn_and_httpx(world: World, certificates: Certificates) -> None:
    async def main() -> None:
        context = certificates.client_context()
        async with hypercorn_serves(certfile=str(certificates.chain), keyfile=str(certificates.chain)) as port:
            url = f"https://{SERVER_NAME}:{port}"
            async with httpx.AsyncClient(base_url=url, http2=True, verify=context) as client:
                await exercise(client, "2")
                many = await asyncio.gather(*(client.get("/octets/50000") for _ in range(50)))
                assert {len(each.content) for each in many} == {50_000}

    world.run(main)
    assert connections(world) == 1
