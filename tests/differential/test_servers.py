"""Servers: what begins, what ends, and what is left to those who are connected."""

import asyncio
import gc
import sys
import warnings
from typing import Any

from tests.differential.comparison import differential
from tests.differential.stage import LARGE, Actor, Stage

CAN_END_CLIENTS = sys.version_info >= (3, 13)


@differential
async def test_close_leaves_connections_alone(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    listening = stage.servers[0]
    stage.note("server", "serving", listening.is_serving(), len(listening.sockets))
    listening.close()
    stage.note("server", "serving", listening.is_serving(), listening.sockets)
    listening.close()
    client.transport.write(b"still here")
    await server.until("data_received")
    late = stage.loop.create_connection(lambda: stage.actor("late"), *stage.at)
    await stage.attempt_to("late", "connect", late)


# Until 3.12 wait_closed() waited for nothing.
@differential(differs={} if sys.version_info >= (3, 12, 1) else {"wait_closed": "wait_closed(TimeoutError[])"})
async def test_wait_closed_waits_for_connections(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    stage.servers[0].close()
    await stage.attempt_to("loop", "wait_closed", asyncio.wait_for(stage.servers[0].wait_closed(), 0.05))
    client.transport.close()
    await server.until("connection_lost")
    await asyncio.wait_for(stage.servers[0].wait_closed(), 1)
    stage.note("loop", "closed")


@differential
async def test_wait_closed_without_connections(stage: Stage) -> None:
    server = await stage.listen()
    server.close()
    await stage.attempt_to("loop", "wait_closed", asyncio.wait_for(server.wait_closed(), 1))
    await stage.attempt_to("loop", "wait_closed again", asyncio.wait_for(server.wait_closed(), 1))


@differential
async def test_not_yet_serving(stage: Stage) -> None:
    """Nobody is let in, but the port is taken."""
    server = await stage.listen(stage.actor("server"), start_serving=False)
    stage.note("loop", "serving", server.is_serving(), len(server.sockets))
    early = stage.loop.create_connection(lambda: stage.actor("early"), *stage.at)
    await stage.attempt_to("early", "connect", early)
    await server.start_serving()
    await server.start_serving()
    stage.note("loop", "serving", server.is_serving())
    client = await stage.connect(stage.actor("client"))
    client.transport.write(b"octets")


CLOSED = "RuntimeError[server <Server sockets=()> is closed]"


# asyncio fails in start_serving(), and believes to serve.
@differential(
    differs={
        "start_serving(TypeError['NoneType' object is not iterable])": f"start_serving({CLOSED})",
        "serving(True, ())": "serving(False, ())",
    }
)
async def test_a_server_that_is_closed_before_it_serves(stage: Stage) -> None:
    server = await stage.listen(start_serving=False)
    server.close()
    await stage.attempt_to("loop", "start_serving", server.start_serving())
    await stage.attempt_to("loop", "serve_forever", server.serve_forever())
    stage.note("loop", "serving", server.is_serving(), server.sockets)


@differential
async def test_serve_forever(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    listening = await stage.listen(server, start_serving=False)
    serving = asyncio.ensure_future(listening.serve_forever())
    await asyncio.sleep(0)
    await stage.attempt_to("loop", "a second serve_forever", listening.serve_forever())
    await stage.connect(client)
    client.transport.close()
    await server.until("connection_lost")
    serving.cancel()
    await stage.attempt_to("loop", "serve_forever", serving)
    stage.note("loop", "serving", listening.is_serving(), listening.sockets)


@differential
async def test_serve_forever_ends_with_close(stage: Stage) -> None:
    listening = await stage.listen()
    serving = asyncio.ensure_future(listening.serve_forever())
    await asyncio.sleep(0)
    listening.close()
    await stage.attempt_to("loop", "serve_forever", serving)


@differential
async def test_a_server_as_a_context(stage: Stage) -> None:
    async with await stage.listen() as server:
        stage.note("loop", "serving", server.is_serving(), server.get_loop() is stage.loop)
    stage.note("loop", "serving", server.is_serving(), server.sockets)


@differential
async def test_a_port_that_is_in_use(stage: Stage) -> None:
    await stage.listen()
    again = stage.loop.create_server(lambda: stage.actor("again"), *stage.at)
    await stage.attempt_to("loop", "a second server", again)
    stage.servers[0].close()
    second = await stage.loop.create_server(lambda: stage.actor("again"), *stage.at)
    stage.note("loop", "after close", second.is_serving())
    second.close()


@differential
async def test_a_port_whose_connections_live_on(stage: Stage) -> None:
    """A server can begin again where the last one has left connections."""
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    stage.servers[0].close()
    await stage.settle()
    second = await stage.loop.create_server(lambda: stage.actor("second"), *stage.at)
    stage.note("loop", "serving", second.is_serving())
    client.transport.write(b"to the first")
    await server.until("data_received")
    second.close()


# From 3.13 on asyncio tries the others of a name's addresses, and has no number for its error when there are none.
NOWHERE = "create_server(OSError[could not bind on any address out of [('nobody', 80)]])"


@differential(differs={} if sys.version_info < (3, 13) else {NOWHERE: "create_server(OSError[EADDRNOTAVAIL])"})
async def test_an_address_that_is_not_ours(stage: Stage) -> None:
    make = stage.loop.create_server(lambda: stage.actor("server"), stage.nobodys_address, 80)
    await stage.attempt_to("loop", "create_server", make)


@differential
async def test_what_cannot_be_asked(stage: Stage) -> None:
    async def make(*arguments: Any, **options: Any) -> None:
        await stage.loop.create_server(lambda: stage.actor("server"), *arguments, **options)

    at = stage.server_address
    await stage.attempt_to("loop", "TLS that is no context", make(at, 0, ssl=True))
    await stage.attempt_to("loop", "a timeout for TLS without TLS", make(at, 0, ssl_handshake_timeout=1))
    await stage.attempt_to("loop", "a timeout for the end of TLS without TLS", make(at, 0, ssl_shutdown_timeout=1))
    await stage.attempt_to("loop", "an argument that there is not", make(at, 0, nonsense=1))
    await stage.attempt_to("loop", "a client's argument", make(at, 0, server_hostname="x"))


# asyncio says nothing of it, unless it is in debug mode.
@differential(adds={"loop": ["Error on transport creation for incoming connection(ValueError[oh])"]})
async def test_the_factory_fails(stage: Stage) -> None:
    def make() -> Actor:
        raise ValueError("oh")

    second = stage.actor("second")
    await stage.listen(make, second)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        first = await stage.connect(stage.actor("client"))
        await first.until("connection_lost")
        gc.collect()  # asyncio leaves the socket to the collector
    await stage.connect(stage.actor("second client"))
    await second.until("connection_made")


@differential
async def test_many_clients_at_once(stage: Stage) -> None:
    count = 50
    servers = [stage.actor(f"server {number}", eof_received=lambda actor: False) for number in range(count)]
    await stage.listen(*servers, backlog=count)
    clients = await asyncio.gather(*(stage.connect(stage.actor(f"client {number}")) for number in range(count)))
    for client in clients:
        client.transport.write(b"octets")
        client.transport.write_eof()
    for actor in (*servers, *clients):
        await actor.until("connection_lost")


if CAN_END_CLIENTS:

    @differential
    async def test_close_clients(stage: Stage) -> None:
        server, client = stage.actor("server"), stage.actor("client")
        await stage.pair(server, client)
        server.transport.write(b"last words")
        stage.servers[0].close()
        stage.servers[0].close_clients()
        await client.until("connection_lost")
        await asyncio.wait_for(stage.servers[0].wait_closed(), 1)

    @differential
    async def test_abort_clients(stage: Stage) -> None:
        server, client = stage.actor("server"), stage.actor("client")
        client.on(connection_made=lambda actor: actor.transport.pause_reading())
        await stage.pair(server, client)
        server.transport.write(LARGE)
        stage.servers[0].close()
        stage.servers[0].abort_clients()
        await server.until("connection_lost")
