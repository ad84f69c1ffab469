"""aioquic on both sides, and HTTP/3 of hypercorn's: UDP on sockets that they make, with timers in the loop's time."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent

from tests.aio.conftest import CLIENT, SERVER, World
from tests.libraries.conftest import Certificates, Link
from tests.libraries.links import SERVER_NAME, KernelLink, Place
from tests.libraries.servers import hypercorn_serves

pytestmark = pytest.mark.libraries


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.read()).upper())
    writer.write_eof()


@asynccontextmanager
async def capitals(place: Place, certificates: Certificates) -> AsyncIterator[None]:
    """A server that answers in capitals."""
    there = QuicConfiguration(is_client=False, alpn_protocols=["capitals"])
    there.load_cert_chain(str(certificates.chain), str(certificates.chain))
    tasks: set[asyncio.Task[None]] = set()

    def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(_answer(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await serve(place.server, 443, configuration=there, stream_handler=on_stream)
    try:
        yield
    finally:
        server.close()
        await asyncio.sleep(0)


def configuration(certificates: Certificates, *protocols: str) -> QuicConfiguration:
    """A client's."""
    return QuicConfiguration(is_client=True, alpn_protocols=list(protocols), cafile=str(certificates.authority))


async def ask(connection: QuicConnectionProtocol, data: bytes) -> bytes:
    reader, writer = await connection.create_stream()
    writer.write(data)
    writer.write_eof()
    return await reader.read()


def test_streams_side_by_side(link: Link, certificates: Certificates) -> None:
    async def use(place: Place, served: None) -> list[bytes]:
        async with connect(SERVER_NAME, 443, configuration=configuration(certificates, "capitals")) as connection:
            await connection.ping()
            return await asyncio.gather(*(ask(connection, b"%d hello" % number) for number in range(20)))

    outcome = link.run(functools.partial(capitals, certificates=certificates), use)
    assert outcome.value == [b"%d HELLO" % number for number in range(20)]
    assert outcome.datagrams > 2


def test_a_link_that_loses_every_tenth_datagram(lossy_world: World, certificates: Certificates) -> None:
    async def main() -> None:
        here = configuration(certificates, "capitals")
        async with (
            capitals(Place(SERVER, CLIENT), certificates),
            connect(SERVER_NAME, 443, configuration=here) as connection,
        ):
            assert await ask(connection, b"abc" * 30_000) == b"ABC" * 30_000

    lossy_world.run(main)


class Http3(QuicConnectionProtocol):
    """A client that can GET."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http = H3Connection(self._quic)
        self._answers: dict[int, tuple[asyncio.Future[bytes], bytearray]] = {}

    async def get(self, path: str) -> bytes:
        """The content at `path`."""
        stream = self._quic.get_next_available_stream_id()
        fields = {":method": "GET", ":scheme": "https", ":authority": SERVER_NAME, ":path": path}
        self._http.send_headers(stream, [(name.encode(), value.encode()) for name, value in fields.items()], True)
        self._answers[stream] = answer, _ = asyncio.get_running_loop().create_future(), bytearray()
        self.transmit()
        return await answer

    def quic_event_received(self, event: QuicEvent) -> None:
        for each in self._http.handle_event(event):
            if isinstance(each, HeadersReceived | DataReceived):
                answer, content = self._answers[each.stream_id]
                content += each.data if isinstance(each, DataReceived) else b""
                if each.stream_ended:
                    answer.set_result(bytes(content))


async def exercise(place: Place, port: int, certificates: Certificates) -> None:
    here = configuration(certificates, *H3_ALPN)
    async with connect(SERVER_NAME, port, configuration=here, create_protocol=Http3) as connection:
        assert isinstance(connection, Http3)
        assert await connection.get("/") == f"HTTP/3 to {place.client}".encode()
        many = await asyncio.gather(*(connection.get("/octets/100000") for _ in range(10)))
        assert {len(each) for each in many} == {100_000}


def test_http_3_of_hypercorns(link: Link, certificates: Certificates) -> None:
    use = functools.partial(exercise, certificates=certificates)
    serve = functools.partial(hypercorn_serves, quic_bind=["0.0.0.0:0"], **certificates.as_files())
    assert link.run(serve, use).datagrams > 10


def test_http_3_bound_to_the_stacks_address(
    stack_serves: KernelLink, any_address_can_be_bound: None, certificates: Certificates
) -> None:
    use = functools.partial(exercise, certificates=certificates)
    bind = [f"{stack_serves.place.server}:443"]
    serve = functools.partial(hypercorn_serves, bind=bind, quic_bind=bind, **certificates.as_files())
    assert stack_serves.run(serve, use).datagrams > 10
