"""Protocols: of both kinds, changed in mid-stream, failing, and in which context they are called."""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

from tests.differential.comparison import differential
from tests.differential.stage import LARGE, Actor, BufferedActor, Stage

VARIABLE = contextvars.ContextVar("VARIABLE", default="not set")


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(actor: object, *arguments: object) -> None:
        raise error

    return fail


def pauses(actor: Actor) -> None:
    actor.transport.pause_reading()


@differential
async def test_order_of_connection_made_and_the_awaiting_call(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")

    def made(actor: Actor) -> None:
        actor.transport.write(b"greeting")
        stage.loop.call_soon(actor.note, "soon after connection_made")

    server.on(connection_made=made)
    client.on(connection_made=made)
    await stage.listen(server)
    transport, protocol = await stage.loop.create_connection(lambda: client, *stage.at)
    client.note("create_connection returns", transport is client.transport, protocol is client)
    client.note("reading", transport.is_reading(), transport.get_protocol() is client)


@differential
async def test_set_protocol_in_mid_stream(stage: Stage) -> None:
    server, client, other = stage.actor("server"), stage.actor("client"), stage.actor("other")

    def change(actor: Actor, data: bytes) -> None:
        actor.transport.set_protocol(other)
        other.transport = actor.transport

    server.on(data_received=change)
    await stage.pair(server, client)
    client.transport.write(b"one")
    await server.until("data_received")
    client.transport.write(b"two")
    await other.until("data_received")
    other.note("protocol", server.transport.get_protocol() is other)
    client.transport.close()
    await other.until("connection_lost")


@differential
async def test_to_a_buffered_protocol_and_back(stage: Stage) -> None:
    server, client, buffered = stage.actor("server"), stage.actor("client"), stage.buffered("buffered", 3)
    server.on(data_received=lambda actor, data: actor.transport.set_protocol(buffered))
    await stage.pair(server, client)
    client.transport.write(b"one")
    await server.until("data_received")
    client.transport.write(b"two and three")
    await buffered.until("buffer_updated")
    await stage.settle()
    server.transport.set_protocol(server)
    client.transport.write(b"four")
    await stage.settle()
    client.transport.write_eof()
    await client.until("connection_lost")


@differential
async def test_change_while_paused_with_data_waiting(stage: Stage) -> None:
    server, client, buffered = stage.actor("server", connection_made=pauses), stage.actor("client"), stage.buffered("b")
    await stage.pair(server, client)
    client.transport.write(b"waiting")
    client.transport.close()
    await stage.settle()
    server.transport.set_protocol(buffered)
    server.transport.resume_reading()
    await buffered.until("connection_lost")


@differential
async def test_a_buffered_protocol(stage: Stage) -> None:
    server, client = stage.buffered("server", 5), stage.actor("client")
    server.on(get_buffer=lambda actor, hint: actor.note("get_buffer", hint))
    server.on(eof_received=lambda actor: True)
    await stage.pair(server, client)
    for piece in (b"one", b"four", b"seven"):
        client.transport.write(piece)
        await stage.settle()
    client.transport.write_eof()
    await server.until("eof_received")
    server.transport.close()
    await client.until("connection_lost")


@differential
async def test_a_buffered_protocol_and_more_than_its_buffer(stage: Stage) -> None:
    server, client = stage.buffered("server", 1000), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(bytes(range(256)) * 100)
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_a_buffered_protocol_that_pauses(stage: Stage) -> None:
    server, client = stage.buffered("server", 4), stage.actor("client")
    server.on(buffer_updated=lambda actor, count: actor.transport.pause_reading())
    await stage.pair(server, client)
    client.transport.write(b"12345678")
    await server.until("buffer_updated")
    await stage.settle()
    server.note("resumes")
    server.transport.resume_reading()
    await stage.settle()


@differential
async def test_buffers_of_all_kinds(stage: Stage) -> None:
    server, client = stage.buffered("server"), stage.actor("client")
    wide = memoryview(bytearray(16)).cast("I")
    wide_octets = wide.cast("B")
    server.on(get_buffer=lambda actor, hint: wide)
    server.on(buffer_updated=lambda actor, count: actor.note("holds", wide_octets[:count]))
    await stage.pair(server, client)
    client.transport.write(b"sixteen octets..")
    await server.until("buffer_updated")


async def fails_at(stage: Stage, server: Actor | BufferedActor) -> None:
    """The server fails with the first octets, or with what comes behind them."""
    client = stage.actor("client", eof_received=lambda actor: True)
    await stage.pair(server, client)
    client.transport.write(b"octets")
    client.transport.write_eof()
    await server.until("connection_lost")
    server.attempt("is_closing")
    await client.until("connection_lost", "eof_received")


@differential
async def test_an_empty_buffer(stage: Stage) -> None:
    await fails_at(stage, stage.buffered("server", 0))


@differential
async def test_get_buffer_fails(stage: Stage) -> None:
    await fails_at(stage, stage.buffered("server", get_buffer=failing(ValueError("oh"))))


@differential
async def test_buffer_updated_fails(stage: Stage) -> None:
    await fails_at(stage, stage.buffered("server", buffer_updated=failing(ValueError("oh"))))


@differential
async def test_data_received_fails(stage: Stage) -> None:
    await fails_at(stage, stage.actor("server", data_received=failing(ValueError("oh"))))


@differential
async def test_data_received_fails_with_an_os_error(stage: Stage) -> None:
    await fails_at(stage, stage.actor("server", data_received=failing(FileNotFoundError(2, "oh"))))


@differential
async def test_data_received_is_cancelled(stage: Stage) -> None:
    await fails_at(stage, stage.actor("server", data_received=failing(asyncio.CancelledError("oh"))))


@differential
async def test_eof_received_fails(stage: Stage) -> None:
    await fails_at(stage, stage.actor("server", eof_received=failing(ValueError("oh"))))


@differential
async def test_connection_made_fails(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=failing(ValueError("oh"))), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(b"octets all the same")
    await server.until("data_received")
    client.on(connection_made=failing(ValueError("client, oh")))
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_connection_lost_fails(stage: Stage) -> None:
    server, client = stage.actor("server", connection_lost=failing(ValueError("oh"))), stage.actor("client")
    await stage.pair(server, client)
    server.transport.close()
    await client.until("connection_lost")


@differential
async def test_pause_writing_and_resume_writing_fail(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    client.on(pause_writing=failing(ValueError("pause")), resume_writing=failing(ValueError("resume")))
    await stage.pair(server, client)
    client.transport.write(LARGE)
    server.transport.resume_reading()
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_what_ends_the_loop_ends_it(stage: Stage) -> None:
    """SystemExit out of a callback comes out of run_forever(), and the loop can go on afterwards."""
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    await stage.settle()
    server.on(data_received=failing(SystemExit(3)))
    client.transport.write(b"octets")
    await stage.settle()
    server.on(data_received=lambda actor, data: None)
    client.transport.write(b"more")
    await stage.settle()


@differential
async def test_the_context_of_callbacks(stage: Stage) -> None:
    """They see the variables as they were when the connection was made; of a server's, when it began to serve."""

    def look(actor: Actor, *arguments: object) -> None:
        actor.note("sees", VARIABLE.get())

    callbacks = dict.fromkeys(("connection_made", "data_received", "eof_received", "connection_lost"), look)
    server, client = stage.actor("server", **callbacks), stage.actor("client", **callbacks)
    VARIABLE.set("serving")
    await stage.listen(server)
    VARIABLE.set("connecting")
    await stage.connect(client)
    await server.until("connection_made")
    VARIABLE.set("writing")
    client.transport.write(b"octets")
    await server.until("data_received")
    server.transport.write(b"octets")
    await client.until("data_received")
    VARIABLE.set("ending")
    client.transport.write_eof()
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_connections_of_a_server_have_contexts_of_their_own(stage: Stage) -> None:
    def count(actor: Actor, *arguments: object) -> None:
        VARIABLE.set(VARIABLE.get() + "+")
        actor.note("sees", VARIABLE.get())

    first, second = (stage.actor(f"server {number}", data_received=count) for number in (1, 2))
    await stage.listen(first, second)
    for server in (first, second):
        client = await stage.connect(stage.actor("client"))
        client.transport.write(b"octets")
        await server.until("data_received")
        client.transport.write(b"more")
        await stage.settle()
