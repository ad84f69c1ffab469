"""asyncio's streams over the stack, in virtual time."""

import asyncio
import socket

import pytest

from .conftest import SERVER, World


def test_an_echo_by_streams_and_a_sleep_that_takes_no_time(world: World) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main() -> bytes:
        async with await asyncio.start_server(echo, SERVER, 80):
            reader, writer = await asyncio.open_connection("server.test", 80)
            writer.write(b"hello" * 100_000)
            writer.write_eof()
            echoed = await reader.read()
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(1000)
        return echoed

    assert world.run(main) == b"hello" * 100_000
    assert 1000 < world.loop.time() < 1003


def test_a_server_on_a_socket_for_all_addresses_is_the_stacks(world: World) -> None:
    async def main() -> None:
        bound = socket.socket()
        bound.bind(("0.0.0.0", 0))
        _, port = bound.getsockname()
        server = await asyncio.start_server(lambda reader, writer: writer.close(), sock=bound)
        reader, writer = await asyncio.open_connection(SERVER, port)
        assert await reader.read() == b""
        writer.close()
        assert bound.getsockname() == ("0.0.0.0", port)
        server.close()
        await server.wait_closed()
        assert bound.fileno() == -1

    world.run(main)


def test_a_server_on_any_other_socket_is_the_kernels(world: World) -> None:
    async def main() -> None:
        async with await asyncio.start_server(lambda *_: None, sock=socket.create_server(("127.0.0.1", 0))) as server:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(SERVER, server.sockets[0].getsockname()[1])

    world.run(main)
