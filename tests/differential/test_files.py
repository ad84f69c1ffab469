"""loop.sendfile(): by the transport itself, and by reading and writing."""

import asyncio
import io
import socket
import struct
import tempfile
from typing import IO, Any

from tests.differential.comparison import differential
from tests.differential.stage import LARGE, Actor, Stage
from tests.differential.test_tls import CLIENT, SERVER


def pauses(actor: Actor) -> None:
    actor.transport.pause_reading()


def made(contents: bytes) -> IO[bytes]:
    """A real file with these contents, at its beginning."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(contents)
    file.seek(0)
    return file


async def send(stage: Stage, actor: Actor, file: Any, *arguments: Any, **options: Any) -> None:
    """sendfile(), and what came of it."""
    sending = stage.loop.sendfile(actor.transport, file, *arguments, **options)
    sent = await stage.attempt_to(actor.name, "sendfile", sending)
    actor.note("sent", sent, file.tell() if not file.closed else None)


@differential
async def test_a_file_between_writes(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(b"head ")
    with made(b"the file's contents") as file:
        await send(stage, client, file)
    client.transport.write(b" tail")
    client.note("protocol", client.transport.get_protocol() is client, client.transport.is_reading())
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_parts_of_a_file(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    with made(b"0123456789") as file:
        for arguments in ((3,), (3, 4), (0, 100), (10,), (50,), (0, None)):
            await send(stage, client, file, *arguments)
        for arguments in ((-1,), (0, 0), (0, -1), ("1",), (0, 1.5)):
            await send(stage, client, file, *arguments)
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_a_large_file_to_a_slow_reader(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    with made(LARGE) as file:
        sending = asyncio.ensure_future(send(stage, client, file))
        await stage.settle()
        client.note("done", sending.done())
        server.transport.resume_reading()
        await sending
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_without_a_fallback(stage: Stage) -> None:
    """What is no file of the system's cannot be sent by the system; a file can."""
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    with made(b"contents") as file:
        await send(stage, client, file, fallback=False)
    await send(stage, client, io.BytesIO(b"octets"))
    try:
        await stage.loop.sendfile(client.transport, io.BytesIO(b"octets"), fallback=False)
    except asyncio.SendfileNotAvailableError:
        client.note("not available")
    with tempfile.TemporaryFile("w+") as text:
        await send(stage, client, text)
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_what_is_buffered_goes_first(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(LARGE)
    with made(b"contents") as file:
        sending = asyncio.ensure_future(send(stage, client, file))
        await stage.settle()
        client.attempt("is_reading")
        server.transport.resume_reading()
        await sending
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_writes_while_a_file_is_sent(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    with made(LARGE) as file:
        sending = asyncio.ensure_future(send(stage, client, file))
        await stage.settle()
        client.attempt("write", b"in between")
        server.transport.resume_reading()
        await sending
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_reading_waits_meanwhile(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    with made(LARGE) as file:
        sending = asyncio.ensure_future(send(stage, client, file))
        await stage.settle()
        server.transport.write(b"to be read afterwards")
        await stage.settle()
        client.note("has read nothing")
        server.transport.resume_reading()
        await sending
    await client.until("data_received")


@differential
async def test_a_transport_that_is_closing(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    client.transport.close()
    with made(b"contents") as file:
        await send(stage, client, file)
    await server.until("connection_lost")


@differential
async def test_a_peer_that_resets(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    with made(LARGE) as file:
        sending = asyncio.ensure_future(stage.loop.sendfile(client.transport, file))
        await stage.settle()
        face = server.transport.get_extra_info("socket")
        face.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.transport.abort()
        await stage.attempt_to("client", "sendfile", sending)
    client.transport.abort()
    await client.until("connection_lost")


# asyncio's sendfile() then never ends, and does not take it well.
@differential(
    differs={
        "sendfile(TimeoutError[])": "sendfile(ConnectionError[the transport was closed])",
        "Exception in callback(InvalidStateError[invalid state])": None,
    }
)
async def test_abort_while_a_file_is_sent(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    with made(LARGE) as file:
        sending = asyncio.ensure_future(stage.loop.sendfile(client.transport, file))
        await stage.settle()
        client.transport.abort()
        await stage.attempt_to("client", "sendfile", asyncio.wait_for(sending, 0.05))
    await client.until("connection_lost")


@differential
async def test_cancelled(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    with made(LARGE) as file:
        sending = asyncio.ensure_future(stage.loop.sendfile(client.transport, file))
        await stage.settle()
        sending.cancel()
        await stage.attempt_to("client", "sendfile", sending)
    client.note("goes on", client.transport.is_closing(), client.transport.is_reading())
    client.transport.write(b"the end")
    client.transport.abort()
    await client.until("connection_lost")


@differential
async def test_over_tls(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server, ssl=SERVER)
    await stage.connect(client, ssl=CLIENT, server_hostname="server.test")
    with made(LARGE) as file:
        await send(stage, client, file, 1000, 100_000)
        try:
            await stage.loop.sendfile(client.transport, file, fallback=False)
        except RuntimeError:
            client.note("without a fallback it cannot be")
    client.transport.close()
    await server.until("connection_lost")
