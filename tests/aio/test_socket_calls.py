"""Libraries that make their sockets themselves: sock_accept(), sock_connect(), and what follows them."""

import asyncio
import io
import socket

import pytest

from stack.transport.tcp.states import State
from tests.aio.conftest import CLIENT, SERVER, World

IP_FREEBIND = 15  # <linux/in.h>; Python has no name for it


def listening() -> socket.socket:
    """As libraries make it, for all addresses."""
    made = socket.socket()
    made.setblocking(False)
    made.bind(("0.0.0.0", 0))
    made.listen()
    return made


def unconnected() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    return made


async def read_all(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    parts = []
    while data := await loop.sock_recv(sock, 1 << 16):
        parts.append(data)
    return b"".join(parts)


def test_both_ends_by_socket_calls_alone(world: World) -> None:
    message = b"0123456789" * 100_000

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server, client = listening(), unconnected()
        accepting = loop.create_task(loop.sock_accept(server))
        await asyncio.sleep(0.01)
        await loop.sock_connect(client, (SERVER, server.getsockname()[1]))
        accepted, address = await accepting
        assert address[0] == CLIENT
        reading = loop.create_task(read_all(loop, accepted))
        await loop.sock_sendall(client, memoryview(message))
        buffer = bytearray(4)
        waiting = loop.create_task(loop.sock_recv_into(client, buffer))
        await asyncio.sleep(1)
        await loop.sock_sendall(accepted, b"ok")
        assert (await waiting, bytes(buffer)) == (2, b"ok\0\0")
        client.close()
        del client
        assert await reading == message
        accepted.close()
        del accepted
        server.close()

    world.run(main)
    assert world.client.counters["TcpActiveOpens"] == 1


def test_a_server_takes_what_is_waiting_in_turn(world: World) -> None:
    async def main() -> None:
        loop, server = asyncio.get_running_loop(), listening()
        port = server.getsockname()[1]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_accept(server), 1)
        writers = [(await asyncio.open_connection(SERVER, port))[1] for _ in range(5)]
        own = [writer.get_extra_info("sockname") for writer in writers]
        taken = [await loop.sock_accept(server) for _ in range(5)]
        assert [address for _, address in taken] == own
        for writer, (sock, _) in zip(writers, taken, strict=True):
            writer.close()
            sock.close()
        server.close()

    world.run(main)


def test_an_accepted_connection_as_a_transport(world: World) -> None:
    async def main() -> None:
        loop, server = asyncio.get_running_loop(), listening()
        accepting = loop.create_task(loop.sock_accept(server))
        await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(SERVER, server.getsockname()[1])
        accepted, _ = await accepting
        there = asyncio.StreamReader()
        transport, _ = await loop.connect_accepted_socket(lambda: asyncio.StreamReaderProtocol(there), accepted)
        transport.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert transport.get_extra_info("peername") == writer.get_extra_info("sockname")
        assert accepted.fileno() == -1
        writer.close()
        assert await there.read() == b""
        server.close()

    world.run(main)


def test_whoever_is_let_go_of_is_closed(world: World) -> None:
    async def main() -> None:
        loop, server = asyncio.get_running_loop(), listening()
        port = server.getsockname()[1]
        accepting = loop.create_task(loop.sock_accept(server))
        await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(SERVER, port)
        (await accepting)[0].close()
        del accepting
        assert await reader.read() == b""
        writer.close()
        server.close()
        del server
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(SERVER, port)
        await asyncio.sleep(300)
        assert not list(world.server.connections())

    world.run(main)


def test_what_is_closed_and_still_held_is_closed(world: World) -> None:
    async def main() -> None:
        loop, server = asyncio.get_running_loop(), listening()
        port = server.getsockname()[1]
        accepting = loop.create_task(loop.sock_accept(server))
        await asyncio.sleep(0.01)
        client = unconnected()
        await loop.sock_connect(client, (SERVER, port))
        accepted, _ = await accepting
        await loop.sock_sendall(client, b"hello")
        client.close()
        assert await read_all(loop, accepted) == b"hello"
        accepted.close()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(SERVER, port)

    world.run(main)


def test_sockets_that_block_are_refused_where_asyncio_is_debugged(world: World) -> None:
    async def main() -> None:
        loop, server, client = asyncio.get_running_loop(), listening(), socket.socket()
        accepting = loop.create_task(loop.sock_accept(server))
        await asyncio.sleep(0.01)
        loop.set_debug(True)
        with pytest.raises(ValueError, match="non-blocking"):
            await loop.sock_connect(client, (SERVER, server.getsockname()[1]))
        client.setblocking(False)
        await loop.sock_connect(client, (SERVER, server.getsockname()[1]))
        client.setblocking(True)
        with pytest.raises(ValueError, match="non-blocking"):
            await loop.sock_recv(client, 1)
        with pytest.raises(ValueError, match="non-blocking"):
            await loop.sock_sendall(client, b"hello")
        (await accepting)[0].close()
        client.close()
        server.close()

    world.run(main)


def test_a_file_is_sent(world: World) -> None:
    content = b"0123456789" * 100_000

    async def main() -> None:
        loop, server, client = asyncio.get_running_loop(), listening(), unconnected()
        accepting = loop.create_task(loop.sock_accept(server))
        await asyncio.sleep(0.01)
        await loop.sock_connect(client, (SERVER, server.getsockname()[1]))
        accepted, _ = await accepting
        reading = loop.create_task(read_all(loop, accepted))
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sock_sendfile(client, io.BytesIO(content), fallback=False)
        assert await loop.sock_sendfile(client, io.BytesIO(content), 5, 500_000) == 500_000
        client.close()
        assert await reading == content[5:500_005]
        accepted.close()
        server.close()

    world.run(main)


@pytest.mark.parametrize("listens", [False, True])
def test_a_socket_that_is_bound_to_an_address_of_the_stacks(world: World, listens: bool) -> None:
    """Which the kernel allows with IP_FREEBIND."""

    async def main() -> None:
        loop, server = asyncio.get_running_loop(), unconnected()
        server.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        server.bind((SERVER, 0))
        address = server.getsockname()
        if listens:
            server.listen()
            serving = loop.create_task(loop.sock_accept(server))
            await asyncio.sleep(0)
        else:
            made = await loop.create_server(asyncio.Protocol, sock=server)
            assert made.sockets[0].getsockname() == address
        _, writer = await asyncio.open_connection(*address)
        assert world.server.counters["TcpPassiveOpens"] == 1
        writer.close()
        if listens:
            (await serving)[0].close()
            server.close()
        else:
            made.close()

    world.run(main)


@pytest.mark.parametrize("address", ["0.0.0.0", CLIENT])
def test_a_connection_comes_from_where_its_socket_is_bound(world: World, address: str) -> None:
    async def main() -> None:
        loop, server, client = asyncio.get_running_loop(), listening(), unconnected()
        accepting = loop.create_task(loop.sock_accept(server))
        await asyncio.sleep(0.01)
        client.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        client.bind((address, 0))
        bound = client.getsockname()
        await loop.sock_connect(client, (SERVER, server.getsockname()[1]))
        accepted, peer = await accepting
        assert peer == (CLIENT, bound[1])
        for each in (accepted, client, server):
            each.close()
        elsewhere = unconnected()
        elsewhere.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="it is no host's"):
            await loop.sock_connect(elsewhere, (SERVER, 80))
        elsewhere.close()

    world.run(main)


def test_a_reset_is_an_error_to_whoever_waits(world: World) -> None:
    async def main() -> None:
        loop, server = asyncio.get_running_loop(), listening()
        accepting = loop.create_task(loop.sock_accept(server))
        await asyncio.sleep(0.01)
        client = unconnected()
        await loop.sock_connect(client, (SERVER, server.getsockname()[1]))
        accepted, _ = await accepting
        waiting = loop.create_task(loop.sock_recv(client, 100))
        await asyncio.sleep(1)
        [connection] = [each for each in world.server.connections() if each.state is State.ESTABLISHED]
        world.server.abort(connection, world.network.now)
        with pytest.raises(ConnectionResetError):
            await waiting
        with pytest.raises(OSError):
            await loop.sock_sendall(client, b"hello")
        accepted.close()
        client.close()
        server.close()

    world.run(main)


def test_what_is_not_the_stacks_is_the_kernels(world: World) -> None:
    async def main() -> None:
        loop, server, client = asyncio.get_running_loop(), unconnected(), unconnected()
        server.bind(("127.0.0.1", 0))
        server.listen()
        connecting = loop.create_task(loop.sock_connect(client, server.getsockname()))
        accepted, _ = await loop.sock_accept(server)
        await connecting
        await loop.sock_sendall(client, b"hello")
        buffer = bytearray(5)
        assert await loop.sock_recv_into(accepted, buffer) == 5
        await loop.sock_sendall(accepted, buffer)
        assert await loop.sock_recv(client, 100) == b"hello"
        for each in (server, client, accepted):
            each.close()

    world.run(main)
