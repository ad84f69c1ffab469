"""Resets, in each state: who is told, when, and with which error."""

import socket
import struct

from tests.differential.comparison import differential
from tests.differential.stage import LARGE, Actor, Stage


def reset(actor: Actor) -> None:
    """End the connection with a RST."""
    face = actor.transport.get_extra_info("socket")
    face.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    actor.transport.abort()


def pauses(actor: Actor) -> None:
    actor.transport.pause_reading()


@differential
async def test_while_waiting_for_data(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    reset(client)
    await server.until("connection_lost")
    server.attempt("is_closing")
    server.attempt("write", b"ignored")


@differential
async def test_after_data_that_was_read(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(b"data")
    await server.until("data_received")
    reset(client)
    await server.until("connection_lost")


@differential
async def test_after_data_that_was_not_read(stage: Stage) -> None:
    """What has arrived before the RST is still to be read."""
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(b"data")
    await stage.settle()
    reset(client)
    await stage.settle()
    server.note("not yet", server.transport.is_closing())
    server.transport.resume_reading()
    await server.until("connection_lost")


@differential
async def test_together_with_data(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(b"data")
    reset(client)
    await server.until("connection_lost")


@differential
async def test_while_paused_and_then_close(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    reset(client)
    await stage.settle()
    server.note("not yet", server.transport.is_closing())
    server.transport.close()
    await server.until("connection_lost")


@differential
async def test_while_paused_and_then_write(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    reset(client)
    await stage.settle()
    server.attempt("write", b"too late")
    server.attempt("is_closing")
    server.attempt("write", b"ignored")
    await server.until("connection_lost")


@differential
async def test_while_paused_and_then_write_eof(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    reset(client)
    await stage.settle()
    server.attempt("write_eof")
    server.attempt("is_closing")
    server.transport.resume_reading()
    await server.until("connection_lost")


@differential
async def test_while_data_waits_to_be_written(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client", connection_made=pauses)
    await stage.pair(server, client)
    client.transport.write(LARGE)
    await stage.settle()
    reset(server)
    await client.until("connection_lost")
    client.attempt("get_write_buffer_size")


@differential
async def test_while_data_waits_behind_close(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(LARGE)
    client.transport.close()
    await stage.settle()
    reset(server)
    await client.until("connection_lost")


@differential
async def test_of_one_that_is_half_closed_by_the_peer_who_writes(stage: Stage) -> None:
    """CLOSE-WAIT: the peer has closed, and answers what we write with a RST."""
    server, client = stage.actor("server", eof_received=lambda actor: True), stage.actor("client")
    await stage.pair(server, client)
    client.transport.close()
    await server.until("eof_received")
    server.attempt("write", b"first")
    await stage.settle()
    server.note("not yet", server.transport.is_closing())
    server.attempt("write", b"second")
    await server.until("connection_lost")


@differential
async def test_of_one_that_is_half_closed_and_has_data_to_write(stage: Stage) -> None:
    server, client = (
        stage.actor("server", eof_received=lambda actor: True),
        stage.actor("client", connection_made=pauses),
    )
    await stage.pair(server, client)
    client.transport.write_eof()
    await server.until("eof_received")
    server.transport.write(LARGE)
    await stage.settle()
    reset(client)
    await server.until("connection_lost")


@differential
async def test_of_one_that_is_half_closed_and_says_nothing(stage: Stage) -> None:
    server, client = stage.actor("server", eof_received=lambda actor: True), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write_eof()
    await server.until("eof_received")
    reset(client)
    await stage.settle()
    server.note("not yet", server.transport.is_closing())
    server.transport.close()
    await server.until("connection_lost")


@differential
async def test_after_our_fin(stage: Stage) -> None:
    """FIN-WAIT-2."""
    server, client = stage.actor("server", eof_received=lambda actor: True), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write_eof()
    await server.until("eof_received")
    reset(server)
    await client.until("connection_lost")


@differential
async def test_of_unread_data_and_a_fin(stage: Stage) -> None:
    """A FIN, and then a RST because what we write comes too late; both wait to be read."""
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(b"data")
    client.transport.close()
    await stage.settle()
    server.attempt("write", b"too late")
    await stage.settle()
    server.transport.resume_reading()
    await server.until("connection_lost")


@differential
async def test_before_the_connection_is_accepted(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server)
    made = await stage.connect(client)
    made.transport.write(b"data")
    reset(made)
    await server.until("connection_lost")
