"""Whatever octets arrive: an answer or an end, never an exception; and the readers do not differ."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stack.application.http.config import HttpConfig
from stack.application.http.messages import Refusal
from stack.application.http.reading.body import ChunkedReader
from stack.application.http.reading.framing import framing_of
from stack.application.http.reading.with_h11 import H11Reader
from stack.application.http.reading.with_httptools import HttptoolsReader
from stack.application.http.targets import parse_target
from stack.clock import SECOND
from stack.virtual.link import LinkProfile
from tests.application.conftest import READERS, World, echo
from tests.effort import examples

PIECES = [
    b"GET", b"POST", b"HEAD", b"CONNECT", b"x:80", b" ", b"/", b"/a", b" HTTP/1.1", b" HTTP/1.0", b"HTTP/2.0",
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"Host: x", b"Content-Length: 3", b"Content-Length: ",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding:", b"chunked", b"Connection: close",
    b"Connection: Upgrade\r\nUpgrade: h2c", b"Expect: 100-continue", b"3", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n",
    b"0\r\n", b";x=y", b":", b",", b"\0", b"\xff", b"\t", b"A: b", b"GET / HTTP/1.1\r\nHost: x\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\n",
]  # fmt: skip

octets = st.binary(max_size=60) | st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=16).map(b"".join)
heads = (
    (octets | octets.map(lambda data: b"GET / HTTP/1.1\r\nHost: x\r\n" + data))
    .map(lambda data: data + b"\r\n\r\n")
    .filter(lambda data: data.find(b"\r\n\r\n") == len(data) - 4 and not data.startswith(b"\r\n"))
)


def outcome(reader: Any, data: bytes) -> Any:
    try:
        head = reader.read(data)
        return head, framing_of(head), parse_target(head.method, head.target)
    except Refusal as refusal:
        return refusal.status


@given(heads)
@example(b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: cGET /\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
@example(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n")
@settings(max_examples=examples(1000))
def test_the_readers_agree(data: bytes) -> None:
    assert outcome(H11Reader(), data) == outcome(HttptoolsReader(), data)


@given(st.lists(heads, min_size=2, max_size=4))
@settings(max_examples=examples(300))
def test_a_reader_keeps_nothing_between_two_heads(datas: list[bytes]) -> None:
    shared = HttptoolsReader()
    for data in datas:
        assert outcome(shared, data) == outcome(HttptoolsReader(), data)


@pytest.mark.parametrize("name", list(READERS))
@given(octets, st.booleans(), st.booleans())
@settings(max_examples=examples(120), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_server_answers_or_ends(
    caplog: pytest.LogCaptureFixture, name: str, data: bytes, bytewise: bool, finishes: bool
) -> None:
    caplog.clear()
    world = World(name, LinkProfile())
    world.serve(echo)
    client = world.connect().send(data, bytewise=bytewise)
    if finishes:
        client.finish()
    world.run(200 * SECOND)
    assert client.is_ended and not client.is_reset
    for answer in [] if b"HEAD" in data else client.answers():
        assert answer.status in (100, 200, 400, 408, 413, 414, 417, 431, 501, 505)
    assert not caplog.records
    assert world.http.totals.open_connections == 0
    assert world.get("/").status == 200


@pytest.mark.parametrize("name", list(READERS))
@given(octets.filter(lambda data: b"Expect" not in data and b"HEAD" not in data))
@settings(max_examples=examples(120))
def test_how_the_octets_are_cut_makes_no_difference(name: str, data: bytes) -> None:
    received = []
    for bytewise in (False, True):
        world = World(name, LinkProfile())
        world.serve(echo)
        client = world.connect().send(data, bytewise=bytewise).finish()
        world.run(SECOND)
        # Why a request is refused may be said in other words, when not all of it was there yet.
        received.append([(answer.status, answer.body if answer.status == 200 else None) for answer in client.answers()])
    assert received[0] == received[1]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_any_chunks(data: bytes, cuts: list[int]) -> None:
    def read(pieces: list[bytes]) -> Any:
        reader = ChunkedReader(HttpConfig(max_body=100))
        rest = b""
        try:
            for piece in pieces:
                if reader.is_complete:
                    rest += piece
                else:
                    rest = reader.feed(piece)
        except Refusal as refusal:
            return refusal.status
        return reader.is_complete, reader.body(), rest

    at = sorted({0, *cuts, len(data)})
    assert read([data[a:b] for a, b in pairwise(at)] or [b""]) == read([data])


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=6), st.binary(max_size=20))
def test_chunks_are_read_as_they_were_made(parts: list[bytes], rest: bytes) -> None:
    data = b"".join(b"%x;a=b\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nA: b\r\n\r\n"
    reader = ChunkedReader(HttpConfig())
    assert reader.feed(data + rest) == rest
    assert reader.is_complete and reader.body() == b"".join(parts) and reader.received == len(reader.body())


@given(st.binary(max_size=60) | st.text("/.%2eE5cfF0a?", max_size=40).map(lambda text: b"/" + text.encode()))
def test_any_target_is_a_path_below_the_root_or_refused(data: bytes) -> None:
    try:
        path = parse_target("GET", data).path
    except Refusal as refusal:
        assert refusal.status == 400
    else:
        assert path.startswith("/") and "\0" not in path and "//" not in path
        assert not {".", ".."} & set(path.split("/"))
