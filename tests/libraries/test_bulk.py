"""A gigabyte in each direction through uvicorn and aiohttp: as much memory as windows and buffers take, and no more.

The stack serves; the kernel's client does nothing for a while, then takes all. An application that is asked for a
download must not get rid of more than what waits below it; one that does not read its upload must not be sent more.
"""

import asyncio
import http.client
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.libraries.links import KernelLink, Memory, Place, Serve
from tests.libraries.servers import running_uvicorn

pytestmark = [pytest.mark.libraries, pytest.mark.kernel]

OCTETS = 1 << 30
PERIOD = 1 << 16
CHUNK = bytes(range(256)) * (PERIOD >> 8)
PATTERN = CHUNK * 20
STALL = 0.5  # s
WAITING_LIMIT = 24 << 20  # octets between two programs of which one has stopped: buffers of ours and of the kernel's
MEMORY_LIMIT = 32 << 20  # octets by which the server's process may grow


class Meter:
    """What an application has sent and received, and by how much its process has grown at the most."""

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self._memory = Memory()

    def take(self, data: bytes) -> None:
        """`data` has arrived, and has to be what follows what has arrived before."""
        at = self.received % PERIOD
        assert data == PATTERN[at : at + len(data)]
        self.received += len(data)

    def read(self) -> bytes:
        return json.dumps({"sent": self.sent, "received": self.received, "grown": self._memory.grown()}).encode()


@asynccontextmanager
async def uvicorn_serves(place: Place) -> AsyncIterator[None]:
    meter = Meter()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/meter":
            await answer(send, meter.read())
        elif scope["method"] == "POST":
            await asyncio.sleep(STALL * 2)
            more = True
            while more:
                event = await receive()
                meter.take(event["body"])
                more = event["more_body"]
            await answer(send, b"")
        else:
            await start(send, OCTETS)
            for _ in range(OCTETS // PERIOD):
                await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
                meter.sent += PERIOD
            await send({"type": "http.response.body", "body": b""})

    async def start(send: Any, length: int) -> None:
        headers = [(b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def answer(send: Any, body: bytes) -> None:
        await start(send, len(body))
        await send({"type": "http.response.body", "body": body})

    async with running_uvicorn(place, application, lifespan="off"):
        yield


@asynccontextmanager
async def aiohttp_serves(place: Place) -> AsyncIterator[None]:
    meter = Meter()

    async def upload(request: web.Request) -> web.Response:
        await asyncio.sleep(STALL * 2)
        async for data in request.content.iter_any():
            meter.take(data)
        return web.Response()

    async def download(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(OCTETS)})
        await response.prepare(request)
        for _ in range(OCTETS // PERIOD):
            await response.write(CHUNK)
            meter.sent += PERIOD
        return response

    async def read(request: web.Request) -> web.Response:
        return web.Response(body=meter.read())

    application = web.Application(client_max_size=OCTETS)
    application.add_routes([web.get("/meter", read), web.post("/", upload), web.get("/", download)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, place.server, 80).start()
    try:
        yield
    finally:
        await runner.cleanup()


# The client's process does nothing else: it may wait in blocking calls.


def read_meter(place: Place) -> dict[str, int]:
    connection = http.client.HTTPConnection(place.server, timeout=60)
    connection.request("GET", "/meter")
    meter: dict[str, int] = json.loads(connection.getresponse().read())
    connection.close()
    return meter


async def download(place: Place, served: None) -> dict[str, int]:
    connection = http.client.HTTPConnection(place.server, timeout=60)
    connection.request("GET", "/")
    response = connection.getresponse()
    time.sleep(STALL)
    waiting = read_meter(place)["sent"]
    assert waiting < WAITING_LIMIT
    taken = Meter()
    while data := response.read1(1 << 20):
        taken.take(data)
    connection.close()
    assert taken.received == OCTETS
    return read_meter(place) | {"waiting": waiting}


async def upload(place: Place, served: None) -> dict[str, int]:
    connection = http.client.HTTPConnection(place.server, timeout=STALL)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", str(OCTETS))
    connection.endheaders()
    block, sent = memoryview(PATTERN), 0
    with pytest.raises(TimeoutError):
        while sent < WAITING_LIMIT:
            sent += connection.sock.send(block[sent % PERIOD :])
    waiting = sent
    connection.sock.settimeout(60)
    while sent < OCTETS:
        sent += connection.sock.send(block[sent % PERIOD :][: OCTETS - sent])
    assert connection.getresponse().status == 200
    connection.close()
    meter = read_meter(place)
    assert meter["received"] == OCTETS
    return meter | {"waiting": waiting}


@pytest.mark.parametrize("use", [download, upload])
@pytest.mark.parametrize("serve", [uvicorn_serves, aiohttp_serves])
def test_a_slow_peer_costs_no_memory(stack_serves: KernelLink, serve: Serve, use: Callable[[Place, None], Any]) -> None:
    began = time.monotonic()
    meter = stack_serves.run(serve, use, seconds=180).value
    taken = time.monotonic() - began
    waiting, grown = f"{meter['waiting']:,}", f"{meter['grown']:,}"
    print(
        f"{serve.__name__}, {use.__name__}: {waiting} octets waited, the process grew by {grown}, {taken:.1f} s in all"
    )
    assert meter["grown"] < MEMORY_LIMIT
