"""The servers that scenarios start: asynchronous context managers, whose value is what the client has to know."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn
from aiohttp import web
from hypercorn.asyncio.udp_server import UDPServer

from tests.libraries.applications import Asgi, aiohttp_application, asgi
from tests.libraries.links import Place


@asynccontextmanager
async def running_uvicorn(place: Place, application: Asgi = asgi, **options: Any) -> AsyncIterator[uvicorn.Server]:
    """On port 80; it begins to end at the latest when the context does."""
    config = uvicorn.Config(application, host=place.server, port=80, log_config=None, **options)
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
async def uvicorn_serves(place: Place, **options: Any) -> AsyncIterator[None]:
    async with running_uvicorn(place, **options):
        yield


@asynccontextmanager
async def hypercorn_serves(place: Place, **options: Any) -> AsyncIterator[int]:
    """The value is a port of its sockets, QUIC's if it has one. They are its own, on all addresses if not told so."""
    config = hypercorn.config.Config()
    config.bind = ["0.0.0.0:0"]
    config.errorlog = None
    for name, value in options.items():
        setattr(config, name, value)
    sockets = config.create_sockets()
    of_interest = sockets.quic_sockets or sockets.secure_sockets or sockets.insecure_sockets
    port = of_interest[0].getsockname()[1]
    over = asyncio.Event()
    config.create_sockets = lambda: sockets  # type: ignore[method-assign]
    task = asyncio.create_task(hypercorn.asyncio.serve(asgi, config, shutdown_trigger=over.wait))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        over.set()
        await task
        for each in gc.get_objects():
            if type(each) is UDPServer:  # for QUIC: its transport hypercorn leaves open
                each.transport.close()


@asynccontextmanager
async def aiohttp_serves(place: Place, port: int = 80, **options: Any) -> AsyncIterator[None]:
    runner = web.AppRunner(aiohttp_application())
    await runner.setup()
    await web.TCPSite(runner, place.server, port, **options).start()
    try:
        yield
    finally:
        await runner.cleanup()
