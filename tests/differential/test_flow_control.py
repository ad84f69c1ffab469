"""Flow control in both directions, and what may be written."""

import sys

from tests.differential.comparison import differential
from tests.differential.stage import LARGE, Actor, Stage


def pauses(actor: Actor) -> None:
    actor.transport.pause_reading()


@differential
async def test_pause_and_resume_reading(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    server.attempt("resume_reading")
    server.attempt("pause_reading")
    server.attempt("pause_reading")
    server.attempt("is_reading")
    client.transport.write(b"later")
    await stage.settle()
    server.note("resumes")
    server.attempt("resume_reading")
    server.attempt("resume_reading")
    server.attempt("is_reading")
    await server.until("data_received")
    server.transport.close()
    server.attempt("is_reading")
    server.attempt("pause_reading")
    server.attempt("resume_reading")
    await server.until("connection_lost")
    server.attempt("pause_reading")
    server.attempt("resume_reading")


@differential
async def test_resume_and_pause_in_one_turn(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(b"later")
    await stage.settle()
    server.transport.resume_reading()
    server.transport.pause_reading()
    await stage.settle()
    server.note("still nothing")
    server.transport.resume_reading()
    await server.until("data_received")


@differential
async def test_pause_in_data_received(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(data_received=lambda actor, data: actor.transport.pause_reading())
    await stage.pair(server, client)
    client.transport.write(b"one")
    await server.until("data_received")
    client.transport.write(b"two")
    await stage.settle()
    server.note("still one")
    server.transport.resume_reading()
    await stage.settle()
    server.note("two")


@differential
async def test_pause_writing_and_resume_writing(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    client.attempt("get_write_buffer_limits")
    client.transport.write(LARGE)
    client.note("paused", client.transport.get_write_buffer_size() > 0)
    client.transport.write(b"x")
    server.transport.resume_reading()
    await client.until("resume_writing")
    client.transport.write_eof()
    await server.until("eof_received")


@differential(differs={"Exception in callback(AttributeError['NoneType' object has no attribute 'close'])": None})
async def test_resume_writing_that_writes_and_closes(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")

    def more(actor: Actor) -> None:
        actor.on(resume_writing=lambda actor: actor.transport.close())
        actor.transport.write(LARGE)

    client.on(resume_writing=more)
    await stage.pair(server, client)
    client.transport.set_write_buffer_limits(high=1000, low=500)
    client.transport.write(LARGE)
    server.transport.resume_reading()
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_write_buffer_limits(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    for limits in ({}, {"high": 1000}, {"low": 500}, {"high": 0}, {"low": 0}, {"high": 20, "low": 10}):
        client.transport.set_write_buffer_limits(**limits)
        client.attempt("get_write_buffer_limits")
    for high, low in ((1, 2), (-1, None), (None, -1)):
        client.attempt("set_write_buffer_limits", high, low)
    client.transport.write(LARGE)
    client.transport.set_write_buffer_limits(high=64 << 20)
    client.note("a limit that was raised tells nobody")
    client.transport.set_write_buffer_limits(high=0)
    client.transport.write(b"x")


@differential
async def test_a_limit_of_nothing(stage: Stage) -> None:
    server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
    await stage.pair(server, client)
    client.transport.set_write_buffer_limits(0)
    client.transport.write(b"taken at once")
    client.note("nothing waits", client.transport.get_write_buffer_size())
    client.transport.write(LARGE)
    server.transport.resume_reading()
    await client.until("resume_writing")
    client.attempt("get_write_buffer_size")
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_many_writes_in_one_turn(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    for number in range(3000):
        client.transport.write(number.to_bytes(2) * (number % 7))
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_large_writes_in_both_directions_at_once(stage: Stage) -> None:
    server = stage.actor("server", eof_received=lambda actor: True)
    client = stage.actor("client", eof_received=lambda actor: True)
    await stage.pair(server, client)
    for actor in (server, client):
        actor.transport.set_write_buffer_limits(high=64 << 20)
        actor.transport.write(LARGE)
        actor.transport.write_eof()
    await server.until("eof_received")
    await client.until("eof_received")


@differential
async def test_what_may_be_written(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    for data in (b"", "text", None, 7, [b"list"], memoryview(b"_view_")[1:-1]):
        client.attempt("write", data)
    changed = bytearray(b"array")
    client.transport.write(changed)
    changed[:] = b"changed afterwards"
    client.attempt("writelines", [b"one", bytearray(b"two"), memoryview(b"three"), b""])
    client.attempt("writelines", [])
    try:
        client.transport.writelines(["text"])
    except TypeError:
        client.note("nor lines of text")
    client.attempt("writelines", (bytes([each]) for each in b"generated"))
    client.transport.close()
    await server.until("connection_lost")


if sys.version_info < (3, 12):  # later ones keep what they are given, and send it as it is then

    @differential
    async def test_what_is_buffered_is_a_copy(stage: Stage) -> None:
        server, client = stage.actor("server", connection_made=pauses), stage.actor("client")
        await stage.pair(server, client)
        data = bytearray(LARGE)
        client.transport.write(data)
        data[:] = bytes(len(data))
        client.transport.write(memoryview(data)[:3])
        client.transport.close()
        server.transport.resume_reading()
        await server.until("connection_lost")


@differential
async def test_writes_of_numbers_wider_than_an_octet(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    client.transport.write(memoryview(LARGE).cast("I")[:1000])
    client.transport.close()
    await server.until("connection_lost")
