"""anyio on asyncio."""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest
from anyio.streams.tls import TLSListener, TLSStream

from tests.libraries.conftest import Certificates, Link
from tests.libraries.links import SERVER_NAME, Place

pytestmark = pytest.mark.libraries


async def echo(stream: anyio.abc.ByteStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send(data)


@asynccontextmanager
async def anyio_serves(place: Place, wrap: Any = lambda listener: listener) -> AsyncIterator[int]:
    """The value is the port: anyio makes its sockets itself, on all addresses."""
    listener = await anyio.create_tcp_listener(local_host="0.0.0.0")
    async with wrap(listener) as wrapped, anyio.create_task_group() as group:
        group.start_soon(wrapped.serve, echo)
        await anyio.wait_all_tasks_blocked()  # in accept(): before that, the stack knows nothing of it
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        group.cancel_scope.cancel()


async def receive_all(stream: anyio.abc.ByteReceiveStream) -> bytes:
    return b"".join([piece async for piece in stream])


def test_a_stream_whose_halves_close_on_their_own(link: Link) -> None:
    async def use(place: Place, port: int) -> None:
        async with await anyio.connect_tcp(SERVER_NAME, port) as stream:
            assert stream.extra(anyio.abc.SocketAttribute.remote_address) == (place.server, port)
            assert stream.extra(anyio.abc.SocketAttribute.local_address)[0] == place.client
            async with anyio.create_task_group() as group:
                group.start_soon(stream.send, b"hello" * 100_000)
                received = b""
                while len(received) < 500_000:
                    received += await stream.receive()
            assert received == b"hello" * 100_000
            await stream.send(b"the end")
            await stream.send_eof()
            assert await receive_all(stream) == b"the end"

    assert link.run(anyio_serves, use).connections == 1


def test_many_at_once(link: Link) -> None:
    async def ask(place: Place, port: int, number: int) -> None:
        async with await anyio.connect_tcp(place.server, port) as stream:
            await stream.send(b"%d" % number)
            await stream.send_eof()
            assert await receive_all(stream) == b"%d" % number

    async def use(place: Place, port: int) -> None:
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(ask, place, port, number)

    assert link.run(anyio_serves, use).connections == 50


def test_tls(link: Link, certificates: Certificates) -> None:
    async def use(place: Place, port: int) -> None:
        plain = await anyio.connect_tcp(place.server, port)
        stream = await TLSStream.wrap(plain, hostname=SERVER_NAME, ssl_context=certificates.client_context())
        async with stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"

    wrap = functools.partial(TLSListener, ssl_context=certificates.server_context())
    link.run(functools.partial(anyio_serves, wrap=wrap), use)


def test_a_scope_that_is_cancelled_while_it_waits(link: Link) -> None:
    async def use(place: Place, port: int) -> None:
        async with await anyio.connect_tcp(place.server, port) as stream:
            with anyio.move_on_after(0.1) as scope:
                await stream.receive()
            assert scope.cancelled_caught
            await stream.send(b"still there")
            assert await stream.receive() == b"still there"
            with pytest.raises(OSError, match="All connection attempts failed"):
                await anyio.connect_tcp(place.server, 77)

    link.run(anyio_serves, use)


def test_a_listener_that_is_closed_refuses(link: Link) -> None:
    @asynccontextmanager
    async def serve(place: Place) -> AsyncIterator[int]:
        async with anyio_serves(place) as port:
            pass
        yield port

    async def use(place: Place, port: int) -> None:
        with pytest.raises(OSError, match="All connection attempts failed"):
            await anyio.connect_tcp(place.server, port)

    link.run(serve, use)


def test_udp(link: Link) -> None:
    @asynccontextmanager
    async def serve(place: Place) -> AsyncIterator[None]:
        async with (
            await anyio.create_udp_socket(local_host=place.server, local_port=7) as socket,
            anyio.create_task_group() as group,
        ):

            async def answer() -> None:
                async for data, address in socket:
                    assert address[0] == place.client
                    await socket.sendto(data + b", too", *address)

            group.start_soon(answer)
            yield
            group.cancel_scope.cancel()

    async def use(place: Place, served: None) -> None:
        async with await anyio.create_connected_udp_socket(place.server, 7) as socket:
            await socket.send(b"hello")
            assert await socket.receive() == b"hello, too"

    link.run(serve, use)
