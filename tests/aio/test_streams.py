"""asyncio's streams over the stack, in virtual time."""

import asyncio

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
