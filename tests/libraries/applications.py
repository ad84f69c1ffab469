"""What the servers serve, as they would anywhere else: an ASGI application, and the same for aiohttp."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

CHUNK = bytes(range(256)) * 256

_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]
Asgi = Callable[[dict[str, Any], _Receive, _Send], Awaitable[None]]


def digest_of_octets(count: int) -> str:
    """The SHA-256 of what /octets/`count` answers with."""
    digest = hashlib.sha256()
    for at in range(0, count, len(CHUNK)):
        digest.update(CHUNK[: count - at])
    return digest.hexdigest()


async def asgi(scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
    """GET /: the version of HTTP. GET /octets/N: N octets. POST: the body's SHA-256. WebSocket: an echo."""
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
    elif scope["type"] == "websocket":
        await _echo(receive, send)
    elif scope["method"] == "POST":
        digest, more = hashlib.sha256(), True
        while more:
            event = await receive()
            digest.update(event.get("body", b""))
            more = event.get("more_body", False)
        await _answer(send, digest.hexdigest().encode())
    elif scope["path"].startswith("/octets/"):
        await _send_octets(send, int(scope["path"].removeprefix("/octets/")))
    else:
        await _answer(send, f"HTTP/{scope['http_version']} to {scope['client'][0]}".encode())


async def _answer(send: _Send, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def _send_octets(send: _Send, count: int) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % count)]})
    for at in range(0, count, len(CHUNK)):
        await send({"type": "http.response.body", "body": CHUNK[: count - at], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _echo(receive: _Receive, send: _Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        kind = "text" if event.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: event[kind]})


async def _digest(request: web.Request) -> web.Response:
    digest = hashlib.sha256()
    async for chunk in request.content.iter_chunked(1 << 20):
        digest.update(chunk)
    return web.Response(text=digest.hexdigest())


async def _octets(request: web.Request) -> web.StreamResponse:
    count = int(request.match_info["count"])
    response = web.StreamResponse(headers={"Content-Length": str(count)})
    await response.prepare(request)
    for at in range(0, count, len(CHUNK)):
        await response.write(CHUNK[: count - at])
    return response


async def _websocket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def _hello(request: web.Request) -> web.Response:
    return web.Response(text=f"HTTP/1.1 to {request.remote}")


async def _file(request: web.Request) -> web.FileResponse:
    return web.FileResponse(Path(__file__))


def aiohttp_application(arguments: object = None) -> web.Application:
    """As asgi(), and GET /file: this file."""
    application = web.Application(client_max_size=1 << 40)
    application.add_routes(
        [
            web.get("/", _hello),
            web.get("/file", _file),
            web.get("/octets/{count}", _octets),
            web.get("/websocket", _websocket),
            web.post("/", _digest),
        ]
    )
    return application
