"""Connections of the server: order, persistence, limits, time-outs, and how they end (RFC 9112 sections 6 and 9)."""

import gc
import logging
import re
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from stack.application.http.bodies import IteratorBody, PatternBody
from stack.application.http.config import HttpConfig
from stack.application.http.messages import BodyError, Refusal, Request, Response
from stack.application.http.reading.body import ChunkedReader
from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from stack.transport.tcp.states import State
from tests.application.conftest import START, World, echo

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


def page(request: Request) -> Response:
    return Response(200, [("Content-Type", "text/plain")], b"a page")


class Endless:
    """A body that never ends, and knows whether it was closed."""

    length = None

    def __init__(self) -> None:
        self.read_octets = 0
        self.closed = 0

    def read(self, limit: int) -> bytes:
        self.read_octets += limit
        return bytes(limit)

    def close(self) -> None:
        self.closed += 1


# Persistence and order


@pytest.mark.req("9112-26")
def test_connections_persist_in_1_1(world: World) -> None:
    world.serve(echo)
    client = world.connect().send(GET).send(GET)
    assert len(client.answers()) == 2 and not client.is_ended
    assert "Connection" not in client.answers()[0].headers


@pytest.mark.req("9112-26", "9110-20")
def test_connections_end_in_1_0(world: World) -> None:
    world.serve(echo)
    client = world.connect().send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert client.answer().headers["Connection"] == "close" and client.is_ended


def test_connections_persist_in_1_0_when_that_is_asked_for(world: World) -> None:
    world.serve(echo)
    client = world.connect().send(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" * 2)
    assert [answer.headers["Connection"] for answer in client.answers()] == ["keep-alive"] * 2
    assert not client.is_ended


@pytest.mark.req("9112-29", "9112-30", "9110-26")
@pytest.mark.parametrize("field", [b"close", b"Close", b", ,close,", b"keep-alive, close", b"x\r\nConnection: close"])
def test_close_means_close(world: World, field: bytes) -> None:
    world.serve(echo)
    client = world.connect().send(b"GET /1 HTTP/1.1\r\nHost: x\r\nConnection: " + field + b"\r\n\r\n" + GET)
    assert client.answer().headers["Connection"] == "close" and client.answer().body == b"GET /1  1.1 "
    assert client.connection.at_end_of_stream


@pytest.mark.req("9112-28")
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
def test_pipelined_requests_are_answered_in_order(world: World, bytewise: bool) -> None:
    world.serve(echo)
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(5))
    client = world.connect().send(requests, bytewise=bytewise)
    assert [answer.body for answer in client.answers()] == [b"GET /%d  1.1 " % number for number in range(5)]


def test_pipelined_requests_behind_a_large_response(world: World) -> None:
    def handler(request: Request) -> Response:
        return Response(200, (), PatternBody(5_000_000)) if request.path == "/large" else echo(request)

    world.serve(handler)
    client = world.connect().send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" + GET + CLOSE)
    world.run(10 * SECOND)
    large, small, last = client.answers()
    assert len(large.body) == 5_000_000
    assert (small.body, last.body) == (b"GET /  1.1 ", b"GET /last  1.1 ")


@pytest.mark.req("9112-27")
def test_a_body_nobody_wants_is_read_all_the_same(world: World) -> None:
    world.serve(page)
    client = world.connect().send(POST + b"Content-Length: 30\r\n\r\n" + b"GET /hidden HTTP/1.1\r\n\r\n123456" + GET)
    assert [answer.body for answer in client.answers()] == [b"a page"] * 2


def test_a_half_closed_client_is_answered(world: World) -> None:
    world.serve(echo)
    client = world.connect()
    world.client.write(client.connection, GET, world.now)
    client.finish()
    world.run(100 * MILLISECOND)
    assert client.answer().status == 200 and client.is_ended
    assert world.open_connections() == 0


@pytest.mark.req("9112-23")
@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\nHo", POST + b"Content-Length: 5\r\n\r\nabc"])
def test_an_incomplete_request_is_not_served(world: World, octets: bytes) -> None:
    served = []
    world.serve(lambda request: served.append(request) or echo(request))  # type: ignore[func-returns-value]
    client = world.connect().send(octets).finish()
    world.run(100 * MILLISECOND)
    assert client.answer().status == 400 and client.is_ended and not served
    assert world.open_connections() == 0


# What every response has


@pytest.mark.req("9110-1", "9110-3", "9112-22", "9110-6")
@pytest.mark.parametrize("known", [True, False], ids=["length", "chunked"])
def test_head_is_get_without_the_content(world: World, known: bool) -> None:
    def handler(request: Request) -> Response:
        return Response(200, [("A", "b")], PatternBody(1000) if known else IteratorBody(iter([b"x"])))

    world.serve(handler)
    head = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
    client = world.connect().send(head).send(GET)
    first, second = client.answers("HEAD")
    assert first.headers.items() == second.headers.items()
    assert first.body == b"" and second.body


@pytest.mark.req("9110-3")
def test_head_is_refused_without_content(world: World) -> None:
    world.serve(echo)
    client = world.connect().send(b"HEAD / HTTP/1.1\r\n\r\n")
    assert client.answer("HEAD").status == 400 and client.received.endswith(b"\r\n\r\n") and client.is_ended


@pytest.mark.req("9110-4", "9110-5")
def test_date(world: World) -> None:
    world.serve(echo)
    assert world.get("/").headers["Date"] == START
    world.run(100 * SECOND - world.now)
    assert world.get("/").headers["Date"] == "Mon, 21 Sep 2026 14:15:00 GMT"
    assert world.ask(b"BREW\r\n\r\n").headers["Date"] == "Mon, 21 Sep 2026 14:15:00 GMT"


@pytest.mark.req("9110-6", "9112-22")
@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_content_has_no_length(world: World, status: int) -> None:
    world.serve(lambda request: Response(status, (), b"is not sent"))
    client = world.connect().send(GET).send(GET)
    assert len(client.answers()) == 2
    for answer in client.answers():
        assert answer.status == status and answer.body == b""
        assert "Content-Length" not in answer.headers and "Transfer-Encoding" not in answer.headers


@pytest.mark.req("9110-28")
def test_reset_content_has_none(world: World) -> None:
    world.serve(lambda request: Response(205, (), b"is not sent"))
    client = world.connect().send(GET).send(GET)
    assert [(answer.status, answer.headers["Content-Length"]) for answer in client.answers()] == [(205, "0")] * 2
    assert b"is not sent" not in client.received


@pytest.mark.req("9112-15", "9112-19")
def test_a_body_of_unknown_length(world: World) -> None:
    world.serve(lambda request: Response(200, (), IteratorBody(iter([b"abc", b"", b"d" * 300_000, b"e"]))))
    content = b"abc" + b"d" * 300_000 + b"e"
    client = world.connect().send(GET).send(CLOSE)
    world.run(SECOND)
    for answer in client.answers():
        assert answer.body == content and answer.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in answer.headers
    old = world.connect().send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    world.run(SECOND)
    assert old.answer().body == content and old.is_ended
    assert "Transfer-Encoding" not in old.answer().headers


@pytest.mark.req("9112-11")
def test_a_status_without_a_reason(world: World) -> None:
    world.serve(lambda request: Response(299))
    client = world.connect().send(GET)
    assert client.received.startswith(b"HTTP/1.1 299 \r\n")


@pytest.mark.req("9110-9")
@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"])
def test_a_handler_cannot_be_made_to_add_fields(world: World, caplog: pytest.LogCaptureFixture, value: str) -> None:
    world.serve(lambda request: Response(200, [("A", value)]))
    answer = world.get("/")
    assert answer.status == 500 and "Set-Cookie" not in answer.headers
    assert "has CR, LF or NUL" in caplog.text


def test_a_handler_that_fails(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def handler(request: Request) -> Response:
        if request.path == "/fail":
            raise RuntimeError("a secret")
        return echo(request)

    world.serve(handler)
    client = world.connect().send(b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\n").send(GET)
    assert [answer.status for answer in client.answers()] == [500, 200]
    assert (
        "the handler failed on GET /fail" in caplog.text
        and "a secret" in caplog.text
        and b"a secret" not in client.received
    )


def test_a_handler_that_refuses(world: World) -> None:
    def handler(request: Request) -> Response:
        raise Refusal(403, "Not <you>.", [("X", "y")])

    world.serve(handler)
    client = world.connect().send(GET).send(GET)
    assert [(answer.status, answer.headers["X"]) for answer in client.answers()] == [(403, "y")] * 2
    assert b"Not &lt;you&gt;." in client.received


def test_requests_are_logged_when_that_is_wanted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "stack")
    world.serve(echo)
    answer = world.get("/x?y")
    [record] = [record for record in caplog.records if record.getMessage() == "request"]
    fields = vars(record)["fields"]
    assert fields.pop("client").startswith("10.77.0.1:")
    assert fields == {"method": "GET", "target": "/x?y", "status": 200, "length": len(answer.body)}


# Expect


@pytest.mark.req("9110-10")
def test_continue_comes_before_the_body(world: World) -> None:
    world.serve(echo)
    client = world.connect().send(POST + b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
    assert client.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc")
    assert client.received.endswith(b"POST /  1.1 abc") and client.received.count(b"HTTP/1.1 ") == 2


def test_continue_is_not_needed_when_the_body_comes_along(world: World) -> None:
    world.serve(echo)
    client = world.connect().send(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
    assert client.answer().status == 200


@pytest.mark.req("9110-23", "9110-10")
def test_no_continue_to_1_0(world: World) -> None:
    world.serve(echo)
    client = world.connect().send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert client.received == b""
    assert client.send(b"abc").answer().status == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(world: World) -> None:
    world.serve(echo, max_body=10)
    client = world.connect().send(POST + b"Expect: 100-continue\r\nContent-Length: 11\r\n\r\n")
    assert client.answer().status == 413 and client.is_ended


# Limits


@pytest.mark.req("9112-7")
@pytest.mark.parametrize(("length", "status"), [(8000, 200), (8170, 200), (8192, 414), (30000, 414), (200_000, 414)])
@pytest.mark.parametrize("is_whole", [True, False])
def test_request_lines(world: World, length: int, status: int, is_whole: bool) -> None:
    world.serve(page)
    client = world.connect().send(b"GET /" + b"a" * (length - 1) + b" HTTP/1.1" + b"\r\nHost: x\r\n\r\n" * is_whole)
    if is_whole or status == 414:
        assert client.answer().status == status


@pytest.mark.req("9110-8")
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"A: " + b"b" * 32000 + b"\r\n", 200),
        (b"A: " + b"b" * 32768 + b"\r\n", 431),
        (b"A: " + b"b" * 100_000, 431),
        (b"A: b\r\n" * 99, 200),
        (b"A: b\r\n" * 100, 431),
    ],
)
def test_header_sections(world: World, fields: bytes, status: int) -> None:
    world.serve(page)
    client = world.connect().send(b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n\r\n" * (status == 200))
    if status == 431 and fields.endswith(b"\r\n"):
        client.send(b"\r\n")
    assert client.answers()[0].status == status


@pytest.mark.req("9110-7")
@pytest.mark.parametrize("length", [11, 1 << 31, 1 << 32, 1 << 63, (1 << 64) + 5, 10**30])
def test_lengths_of_bodies(world: World, length: int) -> None:
    world.serve(echo, max_body=10)
    client = world.connect().send(
        POST + b"Content-Length: %d\r\n\r\nabcdeGET /hidden HTTP/1.1\r\nHost: x\r\n\r\n" % length
    )
    assert client.answer().status in ((413,) if length < 1 << 64 else (400, 413))
    assert client.is_ended


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"a\r\n0123456789\r\n0\r\n\r\n", 200),
        (b"b\r\n", 413),
        (b"1\r\na\r\n" * 10 + b"0\r\n\r\n", 200),
        (b"1\r\na\r\n" * 10 + b"1\r\n", 413),
        (b"1;" + b"x" * 254 + b"\r\na\r\n0\r\n\r\n", 200),
        (b"1;" + b"x" * 255 + b"\r\n", 400),
        (b"1" * 300, 400),
        (b"1;0123456789\r\na\r\n" * 10, 400),
        (b"0\r\n" + b"A: b\r\n" * 15 + b"\r\n", 200),
        (b"0\r\n" + b"A: b\r\n" * 20, 431),
        (b"0\r\n" + b"A: b\r\n" * 20 + b"\r\n", 431),
    ],
)
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
def test_limits_of_chunks(world: World, body: bytes, status: int, bytewise: bool) -> None:
    limits = {"max_body": 10, "max_chunk_line": 256, "max_chunk_extensions": 260, "max_trailers": 100}
    if body.startswith(b"1;01"):
        limits["max_chunk_extensions"] = 100
    world.serve(echo, **limits)
    client = world.connect().send(POST + b"Transfer-Encoding: chunked\r\n\r\n").send(body, bytewise=bytewise)
    world.run(20 * MILLISECOND)
    assert client.answer().status == status


def test_too_many_connections(world: World) -> None:
    world.serve(echo, max_connections=2, max_refusals=1, retry_after=7)
    first, second = world.connect(), world.connect()
    third = world.connect()
    world.run(10 * MILLISECOND)
    assert third.answer().status == 503 and third.answer().headers["Retry-After"] == "7"
    assert third.is_ended
    fourth = world.connect()
    world.run(10 * MILLISECOND)
    assert fourth.is_reset and not fourth.received
    assert first.send(GET).answer().status == second.send(GET).answer().status == 200
    assert world.http.totals.refused_connections == 2
    third.finish()
    first.finish()
    world.run(SECOND)
    assert world.connect().send(GET).answer().status == 200


# Time-outs


@pytest.mark.req("9112-32")
def test_the_idle_time_out_is_an_orderly_end(world: World) -> None:
    world.serve(echo, keep_alive_timeout=10 * SECOND)
    client = world.connect().send(GET)
    world.run(9 * SECOND)
    client.send(GET)
    world.run(9 * SECOND)
    assert not client.is_ended
    world.run(2 * SECOND)
    assert client.connection.at_end_of_stream and len(client.answers()) == 2
    client.finish()
    assert world.open_connections() == 0


def test_a_connection_that_asks_nothing_ends(world: World) -> None:
    world.serve(echo, keep_alive_timeout=10 * SECOND, linger_timeout=SECOND)
    client = world.connect()
    world.run(11 * SECOND)
    assert client.received == b"" and client.connection.at_end_of_stream
    world.run(2 * SECOND)
    assert world.http.totals.open_connections == world.http.held == 0


def test_a_header_section_that_takes_too_long(world: World) -> None:
    """However slowly it comes: octets do not buy time (slowloris)."""
    world.serve(echo, header_timeout=10 * SECOND)
    client = world.connect()
    for _ in range(9):
        client.send(b"A")
        world.run(SECOND)
        assert not client.received
    world.run(2 * SECOND)
    assert client.answer().status == 408 and client.is_ended


def test_a_body_has_to_come_at_a_certain_rate(world: World) -> None:
    world.serve(echo, body_timeout=10 * SECOND, minimum_body_rate=100)
    slow = world.connect().send(POST + b"Content-Length: 10000\r\n\r\n")
    good = world.connect().send(POST + b"Content-Length: 10000\r\n\r\n")
    for _ in range(40):
        slow.send(b"a" * 50)
        good.send(b"a" * 110)
        world.run(SECOND)
    assert slow.answer().status == 408 and slow.is_ended
    assert not good.received and not good.is_ended
    assert good.send(b"a" * 5600).answer().status == 200


def test_a_client_that_reads_nothing_is_reset(world: World) -> None:
    body = Endless()
    world.serve(lambda request: Response(200, (), body), send_timeout=30 * SECOND)
    client = world.connect()
    client.reads = False
    client.send(GET)
    world.run(20 * SECOND)
    client.send(b"x")  # that it sends something is no excuse
    world.run(45 * SECOND)  # what was acknowledged since the timer was armed buys one more period
    assert client.is_reset and body.closed == 1
    assert world.http.totals.open_connections == world.http.held == 0
    assert body.read_octets < 5 << 20, "more was produced than TCP's buffers hold"


def test_a_client_that_reads_slowly_is_served(world: World) -> None:
    world.serve(lambda request: Response(200, (), PatternBody(3 << 20)), send_timeout=30 * SECOND)
    client = world.connect()
    client.reads = False
    client.send(CLOSE)
    for _ in range(200):
        client.received += world.client.read(client.connection, 25_000, world.now)
        world.run(10 * SECOND)
    assert not client.is_reset
    assert len(client.answer().body) == 3 << 20


# Memory


def test_unfinished_requests_hold_what_the_server_allows(world: World) -> None:
    """Whoever comes too late is told so; whoever holds little is served all the same."""
    world.serve(echo, max_held=150_000, held_unasked=1000)
    post = POST + b"Content-Length: 100001\r\n\r\n"
    first = world.connect().send(post + b"a" * 100_000)
    late = world.connect().send(post + b"a" * 60_000)
    assert world.http.held == 100_000
    assert late.answer().status == 503 and late.answer().headers["Retry-After"] == "5"
    second = world.connect().send(post + b"a" * 50_000)
    assert world.http.held == 150_000
    small = world.connect().send(POST + b"Content-Length: 900\r\n\r\n" + b"a" * 899)
    assert not small.received and small.send(b"a").answer().status == 200
    fields = world.connect().send(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 1000)
    assert fields.answer().status == 503
    assert first.send(b"a").answer().status == 200
    world.client.abort(second.connection, world.now)
    world.run(SECOND)
    assert world.http.held == 0


def test_responses_that_nobody_takes_hold_what_the_server_allows(world: World) -> None:
    world.serve(lambda request: Response(200, (), bytes(3 << 20)), max_held=1 << 20)
    client = world.connect()
    client.reads = False
    client.send(GET)
    world.run(SECOND)
    assert client.is_reset and world.http.held == 0


def test_chunks_of_an_octet_take_no_more_room_than_one_chunk(world: World) -> None:
    reader = ChunkedReader(HttpConfig())
    text = b"2\r\nab\r\n" * 50_000
    tracemalloc.start()
    try:
        reader.feed(text)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert not reader.is_complete and reader.received == 100_000
    assert held < 2 * len(text)


# Back-pressure


def test_nothing_is_read_while_a_response_waits(world: World) -> None:
    """A client that asks and never reads: its requests stay in TCP, and TCP's window closes."""
    served = []

    def handler(request: Request) -> Response:
        served.append(request.path)
        return Response(200, (), PatternBody(1 << 20))

    world.serve(handler, send_timeout=10_000 * SECOND)
    client = world.connect()
    client.reads = False
    sent = 0
    request = GET * 1000
    for _ in range(200):
        taken = world.client.write(client.connection, request, world.now)
        sent += taken
        world.run(SECOND)
        if taken < len(request):
            break
    else:
        pytest.fail("the client could send without end")
    assert len(served) < 10
    assert sent < 4 << 20
    assert client.connection.info().send_window == 0


# Ends


@pytest.mark.req("9112-31")
def test_a_rejected_upload_does_not_lose_the_answer(world: World) -> None:
    """The client goes on sending; it gets the whole answer, and then no reset."""
    world.serve(echo, max_body=100)
    client = world.connect().send(POST + b"Content-Length: 3000000\r\n\r\n" + b"a" * 500_000)
    world.run(SECOND)
    assert client.answer().status == 413 and client.connection.at_end_of_stream and not client.is_reset
    client.finish()
    world.run(SECOND)
    assert not client.is_reset and world.open_connections() == 0


def test_lingering_is_bounded_in_octets(world: World) -> None:
    world.serve(echo, max_body=100, linger_octets=100_000)
    client = world.connect().send(POST + b"Content-Length: 3000000\r\n\r\n" + b"a" * 300_000)
    world.run(SECOND)
    assert client.is_reset and world.http.totals.open_connections == world.http.held == 0


def test_lingering_is_bounded_in_time(world: World) -> None:
    world.serve(echo, linger_timeout=5 * SECOND)
    client = world.connect().send(CLOSE)
    world.run(4 * SECOND)
    assert world.http.totals.open_connections == 1
    world.run(2 * SECOND)
    assert world.http.totals.open_connections == world.http.held == 0
    assert client.answer().status == 200 and not client.is_reset


@pytest.mark.parametrize("after", [0, 1, 30])
def test_a_client_that_resets_leaves_nothing_behind(world: World, after: int) -> None:
    body = Endless()
    world.serve(lambda request: Response(200, (), body))
    client = world.connect().send(GET)
    world.run(after * MILLISECOND)
    world.client.abort(client.connection, world.now)
    world.run(10 * MILLISECOND)
    assert (
        body.closed == 1
        and world.http.totals.open_connections == world.http.held == 0
        and world.open_connections() == 0
    )


def test_a_body_that_cannot_be_finished_resets(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterator[bytes]:
        yield b"abc"
        raise BodyError("the disk is on fire")

    world.serve(lambda request: Response(200, (), IteratorBody(broken())))
    client = world.connect().send(GET)
    assert client.is_reset and not client.received.endswith(b"0\r\n\r\n")
    assert "the disk is on fire" in caplog.text and world.http.totals.open_connections == world.http.held == 0


@pytest.mark.req("9112-33")
def test_stopping(world: World) -> None:
    """Idle connections end at once; one that is being answered gets all of it; one that asks gets a last answer."""
    world.serve(lambda request: Response(200, (), PatternBody(3 << 20)) if request.path == "/large" else echo(request))
    idle, busy, asking = world.connect(), world.connect(), world.connect()
    idle.send(GET)
    busy.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    asking.send(GET[:-1])
    world.http.stop(world.now)
    world.run(5 * MILLISECOND)
    assert idle.connection.at_end_of_stream
    asking.send(GET[-1:])
    world.run(5 * SECOND)
    assert len(busy.answer().body) == 3 << 20
    assert asking.answer().headers["Connection"] == "close" and asking.is_ended
    refused = world.client.connect(world.server.interfaces[0].address, 80, world.now)
    world.run(SECOND)
    assert refused.state is State.CLOSED and isinstance(refused.error, ConnectionRefusedError)


def test_a_mistake_in_the_server_costs_one_connection(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Endless):
        def read(self, limit: int) -> bytes:
            raise RuntimeError("a mistake")

    body = Broken()
    world.serve(lambda request: Response(200, (), body) if request.path == "/last" else echo(request))
    client = world.connect().send(CLOSE)
    assert client.is_reset and body.closed == 1
    assert "a mistake of the server's" in caplog.text
    assert world.get("/").status == 200
    assert world.http.totals.open_connections == 1


def test_the_answer_acknowledges_the_request(make_world: Callable[..., World]) -> None:
    """Handlers run before frames are taken: a request and its answer are two segments, with no ACK between."""
    world = make_world()
    world.serve(echo)
    client = world.connect()
    world.run(SECOND)
    before = world.server.counters["EthOutFrames"]
    client.send(GET)
    assert client.answer().status == 200
    assert world.server.counters["EthOutFrames"] == before + 1


def test_over_a_bad_link(make_world: Callable[..., World]) -> None:
    world = make_world(delay=5 * MILLISECOND, jitter=3 * MILLISECOND, loss=0.03, duplication=0.02, reordering=0.05,
                       reordering_delay=4 * MILLISECOND, corruption=0.02)  # fmt: skip
    world.serve(lambda request: Response(200, (), PatternBody(400_000)))
    clients = [world.connect(config=TcpConfig()) for _ in range(3)]
    for client in clients:
        client.send(GET + CLOSE)
    assert world.network.run_until(lambda: all(client.is_ended for client in clients), world.now + 600 * SECOND)
    for client in clients:
        assert [len(answer.body) for answer in client.answers()] == [400_000] * 2
    assert len({re.sub(rb"Date: [^\r]*", b"", client.received) for client in clients}) == 1


def test_what_is_over_needs_no_garbage_collector(world: World) -> None:
    """A ring of references for each connection costs a server that closes them a third of its time."""
    world.serve(page)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        world.connect().send(CLOSE).finish()
        world.run(200 * SECOND)
        gc.collect()
        left = {type(each).__name__ for each in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not world.open_connections() and "HttpConnection" not in left
