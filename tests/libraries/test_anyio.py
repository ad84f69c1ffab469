"""anyio on asyncio, in virtual time."""

import asyncio

import anyio
import anyio.abc
import pytest
from anyio.streams.tls import TLSStream

from tests.aio.conftest import CLIENT, SERVER, World

from .conftest import Certificates
from .links import SERVER_NAME

pytestmark = pytest.mark.libraries


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.close()


async def receive_all(stream: anyio.abc.ByteReceiveStream) -> bytes:
    return b"".join([piece async for piece in stream])


def test_a_stream_whose_halves_close_on_their_own(world: World) -> None:
    async def main() -> None:
        async with await asyncio.start_server(echo, SERVER, 7), await anyio.connect_tcp(SERVER_NAME, 7) as stream:
            assert stream.extra(anyio.abc.SocketAttribute.remote_address) == (SERVER, 7)
            assert stream.extra(anyio.abc.SocketAttribute.local_address)[0] == CLIENT
            async with anyio.create_task_group() as group:
                group.start_soon(stream.send, b"hello" * 100_000)
                received = b""
                while len(received) < 500_000:
                    received += await stream.receive()
            assert received == b"hello" * 100_000
            await stream.send(b"the end")
            await stream.send_eof()
            assert await receive_all(stream) == b"the end"

    world.run(main)


def test_tls(world: World, certificates: Certificates) -> None:
    async def main() -> None:
        context = certificates.server_context()
        async with await asyncio.start_server(echo, SERVER, 7, ssl=context):
            plain = await anyio.connect_tcp(SERVER, 7)
            stream = await TLSStream.wrap(plain, hostname=SERVER_NAME, ssl_context=certificates.client_context())
            async with stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"

    world.run(main)


def test_a_scope_that_is_cancelled_while_it_waits(world: World) -> None:
    async def main() -> None:
        async with await asyncio.start_server(echo, SERVER, 7), await anyio.connect_tcp(SERVER, 7) as stream:
            with anyio.move_on_after(60) as scope:
                await stream.receive()
            assert scope.cancelled_caught
            await stream.send(b"still there")
            assert await stream.receive() == b"still there"
            with pytest.raises(OSError, match="All connection attempts failed"):
                await anyio.connect_tcp("10.0.0.77", 7)

    world.run(main)


def test_udp(world: World) -> None:
    async def main() -> None:
        async with (
            await anyio.create_udp_socket(local_host=SERVER, local_port=7) as server,
            await anyio.create_connected_udp_socket(SERVER, 7) as client,
        ):
            await client.send(b"hello")
            data, address = await server.receive()
            assert (data, address[0]) == (b"hello", CLIENT)
            await server.sendto(b"hello, too", *address)
            assert await client.receive() == b"hello, too"

    world.run(main)
