"""trio, and anyio on trio: by trio's hooks, and under patch(). Both ends are on the stack, on a virtual link."""

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import anyio
import anyio.abc
import anyio.streams.tls
import pytest
import trio

import stack.sockets.trio
from stack.sockets import Net, patch
from tests.libraries.conftest import SERVER_NAME, Certificates
from tests.sockets.conftest import CLIENT, LATE, NOBODY, SERVER, SOON, net, paced

pytestmark = pytest.mark.libraries

__all__ = ["net", "paced"]
BODY = bytes(range(256)) * 4_000
Run = Callable[[Callable[[], Awaitable[None]]], None]


def run_by_hooks(net: Net, main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with stack.sockets.trio.installed(net), trio.fail_after(LATE):
            await main()

    trio.run(bounded)


def run_patched(net: Net, main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(LATE):
            await main()

    with patch(net):
        trio.run(bounded)


@pytest.fixture(params=[run_by_hooks, run_patched])
def run(request: pytest.FixtureRequest, net: Net) -> Run:
    """Runs an async function in trio, with the stack in one way or the other."""
    return partial(request.param, net)


async def echo(stream: trio.abc.HalfCloseableStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send_all(data)
        await stream.send_eof()


async def receive_all(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([data async for data in stream])


@contextmanager
def cancelled(nursery: trio.Nursery) -> Iterator[None]:
    yield
    nursery.cancel_scope.cancel()


async def serve(handler: Callable[[trio.SocketStream], Awaitable[None]], task_status: trio.TaskStatus) -> None:
    await trio.serve_tcp(handler, 7, host=SERVER, task_status=task_status)


def test_streams(run: Run) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(serve, echo)
            assert listeners[0].socket.getsockname() == (SERVER, 7)
            with cancelled(nursery):
                async with await trio.open_tcp_stream(SERVER_NAME, 7) as stream:
                    assert isinstance(stream, trio.SocketStream)
                    assert stream.socket.getpeername() == (SERVER, 7) and stream.socket.getsockname()[0] == CLIENT
                    assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
                    async with trio.open_nursery() as both:

                        async def send() -> None:
                            await stream.send_all(BODY)
                            await stream.send_eof()

                        both.start_soon(send)
                        assert await receive_all(stream) == BODY

    run(main)


def test_tls(run: Run, certificates: Certificates) -> None:
    async def main() -> None:
        async def answer(plain: trio.SocketStream) -> None:
            async with trio.SSLStream(plain, certificates.server_context(), server_side=True) as stream:
                await stream.send_all((await stream.receive_some()).upper())

        async with trio.open_nursery() as nursery:
            await nursery.start(serve, answer)
            with cancelled(nursery):
                context = certificates.client_context()
                stream = await trio.open_ssl_over_tcp_stream(SERVER_NAME, 7, ssl_context=context)
                async with stream:
                    await stream.send_all(b"hello")
                    assert await receive_all(stream) == b"HELLO"

    run(main)


def test_what_does_not_come(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream(SERVER, 81)
        with trio.socket.socket() as sock, pytest.raises(OSError, match="No route to host"):
            await sock.connect((NOBODY, 80))
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, echo)
            with cancelled(nursery):
                async with await trio.open_tcp_stream(SERVER, 7) as stream:
                    with trio.move_on_after(SOON) as scope:
                        await stream.receive_some()
                    assert scope.cancelled_caught
                    await stream.send_all(b"still there")
                    assert await stream.receive_some() == b"still there"
                with pytest.raises(trio.ClosedResourceError):
                    await stream.receive_some()

    run(main)


def test_a_connect_that_is_cancelled(run: Run, net: Net) -> None:
    with net.socket() as listener:
        listener.bind((SERVER, 7))
        listener.listen(1)  # as many as the first connection: for the second there is no room

        async def main() -> None:
            async with await trio.open_tcp_stream(SERVER, 7):
                with trio.socket.socket() as sock:
                    with trio.move_on_after(SOON) as scope:
                        await sock.connect((SERVER, 7))
                    assert scope.cancelled_caught and sock.fileno() == -1

        run(main)


def test_closed_by_another_task_while_one_waits(run: Run) -> None:
    async def main() -> None:
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
            await sock.bind((SERVER, 53))
            async with trio.open_nursery() as nursery:

                async def wait() -> None:
                    with pytest.raises(trio.ClosedResourceError):
                        await sock.recvfrom(1)

                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                sock.close()

    run(main)


def test_datagrams(net: Net) -> None:
    """trio's own sockets have the kernel's recvfrom() in their hands since trio was imported: only by the hooks."""

    async def main() -> None:
        make = trio.socket.socket
        with (
            make(type=socket.SOCK_DGRAM) as server,
            make(type=socket.SOCK_DGRAM) as local,
            make(type=socket.SOCK_DGRAM) as client,
        ):
            await server.bind((SERVER, 53))
            await local.bind(("127.0.0.1", 0))
            for receiver in (server, local):
                await client.sendto(b"hello", receiver.getsockname())
                data, who = await receiver.recvfrom(100)
                await receiver.sendto(data + b", too", who)
                assert await client.recvfrom(100) == (b"hello, too", receiver.getsockname())
            await client.sendmsg([b"by ", b"name"], [], 0, (SERVER_NAME, 53))
            buffer = bytearray(10)
            assert (await server.recvfrom_into(buffer))[0] == 7 and buffer[:7] == b"by name"

    run_by_hooks(net, main)


def test_names(run: Run) -> None:
    async def main() -> None:
        infos = await trio.socket.getaddrinfo(SERVER_NAME, 80, type=socket.SOCK_STREAM)
        assert infos[0][4] == (SERVER, 80)
        assert (await trio.socket.getnameinfo((SERVER, 80), 0))[0] == SERVER_NAME

    run(main)


def test_the_hooks_are_undone(net: Net) -> None:
    async def main() -> None:
        with stack.sockets.trio.installed(net):
            pass
        assert type(trio.socket.socket()).__module__.startswith("trio")

    with pytest.warns(ResourceWarning):
        trio.run(main)


# anyio


def test_anyio_streams(run: Run) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, echo)
            with cancelled(nursery):
                async with await anyio.connect_tcp(SERVER_NAME, 7) as stream, anyio.create_task_group() as group:
                    assert stream.extra(anyio.abc.SocketAttribute.remote_address) == (SERVER, 7)
                    assert stream.extra(anyio.abc.SocketAttribute.local_address)[0] == CLIENT

                    async def send() -> None:
                        await stream.send(BODY)
                        await stream.send_eof()

                    group.start_soon(send)
                    assert b"".join([data async for data in stream]) == BODY
        with pytest.raises(OSError, match="All connection attempts failed"):
            await anyio.connect_tcp(SERVER, 81)

    run(main)


def test_anyio_udp(net: Net) -> None:
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

    run_by_hooks(net, main)


def test_a_connected_udp_socket(run: Run, net: Net) -> None:
    with net.socket(type=socket.SOCK_DGRAM) as server:
        server.bind((SERVER, 7))
        server.settimeout(LATE)

        async def main() -> None:
            async with await anyio.create_connected_udp_socket(SERVER, 7) as client:
                await client.send(b"hello")
                data, address = server.recvfrom(100)
                server.sendto(data + b", too", address)
                assert await client.receive() == b"hello, too"

        run(main)


def test_anyio_listeners_and_tls_under_patch(net: Net, certificates: Certificates) -> None:
    async def answer(plain: anyio.abc.SocketStream) -> None:
        context = certificates.server_context()
        async with await anyio.streams.tls.TLSStream.wrap(plain, server_side=True, ssl_context=context) as stream:
            await stream.send((await stream.receive()).upper())

    async def main() -> None:
        with anyio.fail_after(LATE):
            listener = await anyio.create_tcp_listener(local_host=SERVER, local_port=443)
            async with listener, anyio.create_task_group() as group:
                group.start_soon(listener.serve, answer)
                context = certificates.client_context()
                stream = await anyio.connect_tcp(SERVER, 443, ssl_context=context, tls_hostname=SERVER_NAME)
                async with stream:
                    await stream.send(b"hello")
                    assert await stream.receive() == b"HELLO"
                group.cancel_scope.cancel()

    with patch(net):
        anyio.run(main, backend="trio")
