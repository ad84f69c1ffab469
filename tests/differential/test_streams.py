"""StreamReader and StreamWriter, which most programs have of asyncio."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from tests.differential.comparison import differential
from tests.differential.stage import LARGE, Stage
from tests.differential.test_tls import CLIENT, SERVER

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Client = Callable[[Reader, Writer], Awaitable[None]]


async def play(stage: Stage, serve: Client, use: Client, *, limit: int = 1 << 16) -> None:
    """A client, and a server that serves it: each to its end."""
    served = asyncio.Event()

    async def handle(reader: Reader, writer: Writer) -> None:
        try:
            await serve(reader, writer)
        finally:
            served.set()

    server = await asyncio.start_server(handle, stage.server_address, 0, limit=limit)
    stage.servers.append(server)
    stage.call_port(server.sockets[0].getsockname()[1], "server")
    reader, writer = await asyncio.open_connection(*stage.at, limit=limit)
    writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 << 10)
    await use(reader, writer)
    await served.wait()
    writer.close()


@differential
async def test_an_echo(stage: Stage) -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        stage.note("server", "at the end", reader.at_eof())
        writer.close()
        await stage.attempt_to("server", "wait_closed", writer.wait_closed())

    async def use(reader: Reader, writer: Writer) -> None:
        writer.write(b"octets" * 10_000)
        writer.writelines([b"and", b"more"])
        writer.write_eof()
        stage.note_octets("client", "read", await reader.read())
        stage.note("client", "at the end", reader.at_eof(), writer.is_closing(), writer.can_write_eof())
        writer.close()
        await stage.attempt_to("client", "wait_closed", writer.wait_closed())
        stage.note("client", "closing", writer.is_closing())

    await play(stage, serve, use)


@differential
async def test_lines_and_their_limit(stage: Stage) -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        writer.write(b"one\r\ntwo\nno end of this line" + b"." * 300 + b"\n0123456789rest")
        writer.close()

    async def use(reader: Reader, writer: Writer) -> None:
        for _ in range(3):
            stage.note("client", "line", await stage.attempt_to("client", "readline", reader.readline()))
        await stage.attempt_to("client", "readuntil", reader.readuntil(b"9"))
        await stage.attempt_to("client", "readexactly", reader.readexactly(1000))
        try:
            await reader.readuntil(b"x")
        except asyncio.IncompleteReadError as error:
            stage.note("client", "incomplete", error.partial, error.expected)
        stage.note("client", "read", await reader.read(), reader.at_eof())

    await play(stage, serve, use, limit=100)


@differential
async def test_drain_waits_for_a_slow_reader(stage: Stage) -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        stage.note_octets("server", "read", await reader.readexactly(1))
        await stage.settle()
        while data := await reader.read(1 << 20):
            stage.note_octets("server", "read", data)
        writer.close()

    async def use(reader: Reader, writer: Writer) -> None:
        await stage.attempt_to("client", "drain with nothing to wait for", writer.drain())
        writer.write(LARGE)
        draining = asyncio.ensure_future(writer.drain())
        await asyncio.sleep(0)
        stage.note("client", "drained", draining.done())
        await draining
        writer.write_eof()

    await play(stage, serve, use, limit=1000)


@differential
async def test_a_reset_while_reading(stage: Stage) -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readexactly(1)
        face = writer.get_extra_info("socket")
        face.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def use(reader: Reader, writer: Writer) -> None:
        writer.write(b"x")
        await stage.attempt_to("client", "read", reader.read())
        stage.note("client", "exception", reader.exception(), reader.at_eof())
        writer.write(b"ignored")
        await stage.attempt_to("client", "drain", writer.drain())
        await stage.attempt_to("client", "wait_closed", writer.wait_closed())

    await play(stage, serve, use)


@differential
async def test_a_peer_that_is_gone_while_draining(stage: Stage) -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readexactly(1)
        await stage.settle()
        face = writer.get_extra_info("socket")
        face.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def use(reader: Reader, writer: Writer) -> None:
        writer.transport.pause_reading()
        writer.write(LARGE)
        await stage.attempt_to("client", "drain", writer.drain())
        await stage.attempt_to("client", "wait_closed", writer.wait_closed())

    await play(stage, serve, use, limit=1000)


@differential
async def test_writes_after_the_peer_has_closed(stage: Stage) -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        writer.close()
        await writer.wait_closed()

    async def use(reader: Reader, writer: Writer) -> None:
        stage.note("client", "read", await reader.read())
        await stage.settle()
        for number in range(3):
            writer.write(b"too late")
            await stage.attempt_to("client", f"drain {number}", writer.drain())
            await stage.settle()
        await stage.attempt_to("client", "wait_closed", writer.wait_closed())

    await play(stage, serve, use)


@differential
async def test_a_handler_that_fails(stage: Stage) -> None:
    """The connection is closed, and the loop is told."""

    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readexactly(6)
        raise ValueError("oh")

    async def use(reader: Reader, writer: Writer) -> None:
        writer.write(b"octets")
        if await stage.attempt_to("client", "read", asyncio.wait_for(reader.read(), 0.05)) is not None:
            stage.note("client", "at the end", reader.at_eof())

    await play(stage, serve, use)


@differential
async def test_a_reader_that_is_cancelled_loses_nothing(stage: Stage) -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readexactly(1)
        writer.write(b"octets")
        writer.close()

    async def use(reader: Reader, writer: Writer) -> None:
        await stage.attempt_to("client", "read", asyncio.wait_for(reader.read(100), 0.02))
        writer.write(b"x")
        stage.note("client", "read", await reader.read(100))

    await play(stage, serve, use)


@differential
async def test_start_tls_of_a_writer(stage: Stage) -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        stage.note("server", "line", await reader.readline())
        writer.write(b"go on\n")
        await writer.drain()
        await writer.start_tls(SERVER)
        stage.note("server", "line", await reader.readline())
        writer.write(b"in secret\n")
        writer.close()

    async def use(reader: Reader, writer: Writer) -> None:
        writer.write(b"STARTTLS\n")
        stage.note("client", "line", await reader.readline())
        await writer.start_tls(CLIENT, server_hostname="server.test")
        writer.write(b"secret\n")
        stage.note("client", "read", await reader.read())
        stage.note("client", "TLS", writer.get_extra_info("sslcontext") is CLIENT)

    await play(stage, serve, use)
