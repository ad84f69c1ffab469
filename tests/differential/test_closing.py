"""The end of a connection: in order, in part, at once."""

from tests.differential.comparison import differential
from tests.differential.stage import LARGE, Stage


@differential
async def test_close(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(b"hello")
    client.transport.close()
    client.note("closing", client.transport.is_closing())
    client.attempt("write", b"ignored")
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_close_twice_and_abort_afterwards(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    client.attempt("close")
    client.attempt("close")
    client.attempt("abort")
    await server.until("connection_lost")
    client.attempt("close")
    client.attempt("abort")
    client.attempt("is_closing")
    client.attempt("get_protocol")


@differential
async def test_abort(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(b"hello")
    client.attempt("abort")
    client.note("closing", client.transport.is_closing())
    await server.until("connection_lost")


@differential
async def test_close_with_unwritten_data(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(connection_made=lambda actor: actor.transport.pause_reading())
    await stage.pair(server, client)
    client.transport.write(LARGE)
    client.transport.close()
    client.note("buffered", client.transport.get_write_buffer_size() > 0)
    await stage.settle()
    client.attempt("is_closing")
    server.transport.resume_reading()
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_abort_with_unwritten_data(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(connection_made=lambda actor: actor.transport.pause_reading())
    await stage.pair(server, client)
    client.transport.write(LARGE)
    client.transport.abort()
    client.attempt("get_write_buffer_size")
    await client.until("connection_lost")


@differential
async def test_unread_data_at_close_resets(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(connection_made=lambda actor: actor.transport.pause_reading())
    await stage.pair(server, client)
    client.transport.write(b"unread")
    await stage.settle()
    server.transport.close()
    await client.until("connection_lost")


@differential
async def test_data_and_fin_together_are_two_turns(stage: Stage) -> None:
    """What data_received() leads to by call_soon() happens before eof_received()."""
    server, client = stage.actor("server"), stage.actor("client")

    def answer(actor: object, data: bytes) -> None:
        stage.loop.call_soon(lambda: server.transport.write(b"answer"))

    server.on(data_received=answer)
    await stage.pair(server, client)
    client.transport.write(b"question")
    client.transport.write_eof()
    await client.until("connection_lost")
    await server.until("connection_lost")
