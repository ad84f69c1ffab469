"""asyncio's streams over the stack, in virtual time."""

import asyncio
import socket
import threading

import pytest

from stack.aio import underlay
from tests.aio.conftest import SERVER, World


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


def test_clients_are_closed_and_aborted_on_every_python(world: World) -> None:
    """Server.close_clients() and abort_clients(), which asyncio has from 3.13 on; these are held for all versions."""

    async def main(end: str) -> tuple[bool, bytes]:
        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda reader, writer: writers.append(writer), SERVER, 80)
        reader, writer = await asyncio.open_connection(SERVER, 80)
        await asyncio.sleep(1)
        writers[0].write(bytes(1 << 20))  # more than TCP takes before it has heard of the peer
        server.close()
        getattr(server, end)()
        waiting = asyncio.ensure_future(server.wait_closed())
        await asyncio.sleep(0)
        buffered = writers[0].transport.get_write_buffer_size()
        received = await reader.read()
        await waiting
        writer.close()
        return buffered > 0, received

    assert world.run(lambda: main("close_clients")) == (True, bytes(1 << 20))
    buffered, received = world.run(lambda: main("abort_clients"))
    assert not buffered and 0 < len(received) < 1 << 20


def test_keep_alive_of_a_server_is_that_of_its_connections(world: World) -> None:
    """create_server(keep_alive=True), which asyncio has from 3.13 on: a client that vanishes is noticed."""

    async def main() -> int:
        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: writers.append(writer), SERVER, 80, keep_alive=True)
        server.sockets[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        _, writer = await asyncio.open_connection(SERVER, 80)
        await asyncio.sleep(200)
        server.close()
        writer.close()
        writers[0].close()
        return world.server.counters["TcpExtTCPKeepAlive"]

    assert world.run(main) == 2  # after 60 s, and the interval of probes later


def test_what_a_thread_does_takes_no_time(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(0.001):  # of the network's time
            await asyncio.to_thread(threading.Event().wait, 0.05)
        assert loop.time() == began

    world.run(main)


def test_a_thread_may_wait_for_the_network(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(underlay, "_PATIENCE", 0.01)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = asyncio.run_coroutine_threadsafe(asyncio.sleep(60, "slept"), loop)
        assert await asyncio.to_thread(future.result) == "slept"

    world.run(main)
