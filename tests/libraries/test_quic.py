"""aioquic on both sides, in virtual time: UDP, on sockets that it makes itself, with timers in the loop's time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration

from tests.aio.conftest import SERVER, World

from .conftest import SERVER_NAME, Certificates

pytestmark = pytest.mark.libraries


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.read()).upper())
    writer.write_eof()


@asynccontextmanager
async def connected(certificates: Certificates) -> AsyncIterator[QuicConnectionProtocol]:
    """A client's connection to a server that answers in capitals."""
    there = QuicConfiguration(is_client=False, alpn_protocols=["capitals"])
    there.load_cert_chain(str(certificates.chain), str(certificates.chain))
    tasks: set[asyncio.Task[None]] = set()

    def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(_answer(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await serve(SERVER, 443, configuration=there, stream_handler=on_stream)
    here = QuicConfiguration(is_client=True, alpn_protocols=["capitals"], cafile=str(certificates.authority))
    try:
        async with connect(SERVER_NAME, 443, configuration=here) as connection:
            yield connection
    finally:
        server.close()
        await asyncio.sleep(0)


async def ask(connection: QuicConnectionProtocol, data: bytes) -> bytes:
    reader, writer = await connection.create_stream()
    writer.write(data)
    writer.write_eof()
    return await reader.read()


def test_streams_side_by_side(world: World, certificates: Certificates) -> None:
    async def main() -> list[bytes]:
        async with connected(certificates) as connection:
            await connection.ping()
            return await asyncio.gather(*(ask(connection, b"%d hello" % number) for number in range(20)))

    assert world.run(main) == [b"%d HELLO" % number for number in range(20)]
    assert world.client.counters["UdpOutDatagrams"] > 2


def test_a_link_that_loses_every_tenth_datagram(lossy_world: World, certificates: Certificates) -> None:
    async def main() -> None:
        async with connected(certificates) as connection:
            assert await ask(connection, b"abc" * 30_000) == b"ABC" * 30_000

    lossy_world.run(main)
