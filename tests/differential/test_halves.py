"""Half-close: the end of one direction, and what eof_received() answers to it."""

from tests.differential.comparison import differential
from tests.differential.stage import LARGE, Stage


@differential
async def test_write_eof_on_one_side_and_then_the_other(stage: Stage) -> None:
    server = stage.actor("server", eof_received=lambda actor: True)
    client = stage.actor("client", eof_received=lambda actor: True)
    await stage.pair(server, client)
    client.transport.write(b"question")
    client.attempt("can_write_eof")
    client.attempt("write_eof")
    await server.until("eof_received")
    server.note("closing", server.transport.is_closing(), server.transport.is_reading())
    server.transport.write(b"answer")
    server.attempt("write_eof")
    await client.until("eof_received")
    await stage.settle()
    client.attempt("is_closing")
    client.transport.close()
    server.transport.close()
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_write_eof_on_both_sides_at_once(stage: Stage) -> None:
    server = stage.actor("server", eof_received=lambda actor: True)
    client = stage.actor("client", eof_received=lambda actor: True)
    await stage.pair(server, client)
    client.transport.write_eof()
    server.transport.write_eof()
    await client.until("eof_received")
    await server.until("eof_received")
    await stage.settle()
    client.transport.close()
    server.transport.abort()
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_eof_received_that_returns_false_closes(stage: Stage) -> None:
    server = stage.actor("server", eof_received=lambda actor: False)
    client = stage.actor("client")
    await stage.pair(server, client)
    client.transport.write_eof()
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_eof_received_that_returns_none_sends_what_was_written_first(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(data_received=lambda actor, data: actor.transport.write(LARGE) if data.endswith(b"?") else None)
    server.on(eof_received=lambda actor: actor.note("buffered", actor.transport.get_write_buffer_size() > 0))
    await stage.pair(server, client)
    client.transport.write(b"?")
    client.transport.write_eof()
    await client.until("connection_lost")
    await server.until("connection_lost")


@differential
async def test_writes_after_write_eof(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    client.attempt("write_eof")
    client.attempt("write_eof")
    client.attempt("write", b"")
    client.attempt("write", b"more")
    try:
        client.transport.writelines([b"more"])
    except RuntimeError:
        client.note("nor writelines")
    await client.until("connection_lost")
    client.attempt("write_eof")


@differential
async def test_write_eof_after_close(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    client.attempt("close")
    client.attempt("write_eof")
    client.attempt("write", b"ignored")
    await server.until("connection_lost")


@differential
async def test_write_eof_behind_what_is_buffered(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(connection_made=lambda actor: actor.transport.pause_reading())
    await stage.pair(server, client)
    client.transport.write(LARGE)
    client.attempt("write_eof")
    client.attempt("write", b"more")
    await stage.settle()
    server.transport.resume_reading()
    await client.until("connection_lost")
    await server.until("connection_lost")


@differential
async def test_a_half_open_connection_that_is_closed_from_the_other_end(stage: Stage) -> None:
    """The side that has sent its FIN is told of the other's, and so is the one that keeps the connection open."""
    server = stage.actor("server", eof_received=lambda actor: True)
    client = stage.actor("client")
    await stage.pair(server, client)
    client.transport.write_eof()
    await server.until("eof_received")
    server.transport.write(b"last words")
    server.transport.close()
    await client.until("connection_lost")
    await server.until("connection_lost")


@differential
async def test_pause_and_resume_around_the_end(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(connection_made=lambda actor: actor.transport.pause_reading())
    await stage.pair(server, client)
    client.transport.write(b"the end")
    client.transport.close()
    await client.until("connection_lost")
    await stage.settle()
    server.note("not yet", server.transport.is_reading(), server.transport.is_closing())
    server.transport.resume_reading()
    await server.until("connection_lost")


@differential
async def test_pause_in_data_received_holds_back_the_end(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(data_received=lambda actor, data: actor.transport.pause_reading())
    await stage.pair(server, client)
    client.transport.write(b"the end")
    client.transport.close()
    await client.until("connection_lost")
    await stage.settle()
    server.note("not yet")
    server.transport.resume_reading()
    await server.until("connection_lost")


@differential
async def test_resume_after_the_end_tells_it_again(stage: Stage) -> None:
    server = stage.actor("server", eof_received=lambda actor: True)
    client = stage.actor("client", eof_received=lambda actor: True)
    await stage.pair(server, client)
    client.transport.write_eof()
    await server.until("eof_received")
    server.attempt("pause_reading")
    server.attempt("resume_reading")
    await stage.settle()
    other = stage.actor("other")
    server.attempt("pause_reading")
    server.transport.set_protocol(other)
    server.attempt("resume_reading")
    await other.until("connection_lost")
