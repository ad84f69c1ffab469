"""The sites: the journey of a request, the statistics, octets for load generators."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.application.dissect import dissect
from stack.application.site import MAX_BENCH, built_in_site, directory_site
from stack.clock import MILLISECOND, SECOND
from stack.wire import ethernet, ipv4, tcp, tcp_options
from stack.wire.ipv4 import Ipv4Header
from stack.wire.tcp import Segment
from tests.application.conftest import Answer, World

REQUEST = b"GET %b HTTP/1.1\r\nHost: 10.77.0.2\r\nUser-Agent: a <b> & c\r\n\r\n"


@pytest.fixture
def site(world: World) -> World:
    world.serve(built_in_site(world.server, world.recorder))
    return world


def journey(world: World) -> Any:
    return json.loads(world.ask(REQUEST % b"/journey.json").body)


# The journey


def test_the_journey_begins_with_the_handshake(site: World) -> None:
    told = journey(site)
    assert told["complete"] and told["omitted"] == 0
    notes = [(each["direction"], each["note"]) for each in told["segments"]]
    assert notes == [("in", "SYN"), ("out", "SYN-ACK"), ("in", "ACK"), ("in", "request")]
    assert told["segments"][told["carrier"]]["note"] == "request"
    assert [each["time_us"] for each in told["segments"]][:3] == [0, 0, 2000]
    assert told["connection"]["round_trip_us"] == 2000, "there and back, a millisecond each"
    assert told["request"]["headers"] == [["host", "10.77.0.2"], ["user-agent", "a <b> & c"]]
    assert told["request"]["target"] == "/journey.json" and told["request"]["version"] == "HTTP/1.1"
    assert told["connection"]["server"] == "10.77.0.2:80" and told["connection"]["state"] == "ESTABLISHED"


def test_the_numbers_fit_together(site: World) -> None:
    told = journey(site)
    syn, syn_ack, ack, request = told["segments"]
    assert syn["tcp"]["flags"] == ["SYN"] and syn_ack["tcp"]["flags"] == ["SYN", "ACK"]
    assert syn["tcp"]["relative_seq"] == 0 and syn_ack["tcp"]["relative_ack"] == 1
    assert ack["tcp"]["relative_seq"] == ack["tcp"]["relative_ack"] == request["tcp"]["relative_seq"] == 1
    assert syn["tcp"]["options"]["mss"] == 1460 and "timestamp" in syn["tcp"]["options"]
    shift = syn["tcp"]["options"]["window_scale"]
    assert syn["tcp"]["window_scaled"] == syn["tcp"]["window"]
    assert ack["tcp"]["window_scaled"] == ack["tcp"]["window"] << shift
    assert request["tcp"]["payload_length"] == len(REQUEST % b"/journey.json")
    for segment in told["segments"]:
        octets = bytes.fromhex(segment["octets"])
        assert len(octets) == segment["length"]
        edges = [(layer["start"], layer["start"] + layer["length"]) for layer in segment["layers"]]
        assert edges[0][0] == 0 and edges[-1][1] == len(octets)
        assert all(before[1] == after[0] for before, after in pairwise(edges))
        for field in segment["fields"]:
            [layer] = [each for each in segment["layers"] if each["name"] == field["layer"]]
            assert layer["start"] <= field["start"]
            assert field["start"] + field["length"] <= layer["start"] + layer["length"]
    seq = next(field for field in request["fields"] if field["name"] == "Sequence number")
    octets = bytes.fromhex(request["octets"])[seq["start"] : seq["start"] + seq["length"]]
    assert int.from_bytes(octets, "big") == request["tcp"]["seq"] == int(seq["value"])


def test_a_long_connection_is_told_in_part(site: World) -> None:
    client = site.connect()
    for _ in range(20):
        client.send(REQUEST % b"/bench/10")
    client.received = b""
    client.send(REQUEST % b"/journey.json")
    site.run(100 * MILLISECOND)  # more than the initial window
    told = json.loads(client.answer().body)
    assert told["complete"] and told["omitted"] > 0 and len(told["segments"]) == 24
    assert told["segments"][0]["note"] == "SYN" and told["carrier"] == 23
    client.received = b""
    client.send(REQUEST % b"/")
    assert f"{told['omitted'] + 2} more segments".encode() in client.received or b"more segments" in client.received


def test_a_handshake_that_is_forgotten(site: World) -> None:
    client = site.connect()
    site.run(10 * MILLISECOND)
    site.recorder._count = 0
    client.send(REQUEST % b"/journey.json")
    told = json.loads(client.answer().body)
    assert not told["complete"] and told["carrier"] == 0 and told["connection"]["round_trip_us"] is None
    client.received = b""
    client.send(REQUEST % b"/")
    site.run(SECOND)
    assert b"its beginning is missing" in client.answer().body


def test_nothing_is_remembered_at_all(site: World) -> None:
    site.server._observers = ()
    client = site.connect()
    site.recorder._count = 0
    client.send(REQUEST % b"/journey.json")
    told = json.loads(client.answer().body)
    assert told["segments"] == [] and told["carrier"] is None and not told["complete"]
    client.received = b""
    client.send(REQUEST % b"/")
    assert client.answer().status == 200


def test_an_earlier_connection_of_the_same_ports_is_another(site: World) -> None:
    first = site.connect()
    first.send(REQUEST % b"/bench/1")
    key = first.connection.key
    site.client.abort(first.connection, site.now)
    site.run(SECOND)
    second = site.client.connect(key.remote_addr, key.remote_port, site.now, local_port=key.local_port)
    site.run(SECOND)
    site.client.write(second, REQUEST % b"/journey.json", site.now)
    site.run(100 * MILLISECOND)
    told = json.loads(Answer(site.client.read(second, 1 << 20, site.now)).body)
    assert [each["note"] for each in told["segments"]] == ["SYN", "SYN-ACK", "ACK", "request"]


def test_a_repeated_syn_is_part_of_the_journey(make_world: Callable[..., World]) -> None:
    world = make_world(delay=700 * MILLISECOND)
    world.serve(built_in_site(world.server, world.recorder))
    client = world.client.connect(world.server.interfaces[0].address, 80, world.now)
    world.run(6 * SECOND)
    world.client.write(client, REQUEST % b"/journey.json", world.now)
    world.run(60 * SECOND)
    told = json.loads(Answer(world.client.read(client, 1 << 20, world.now)).body)
    notes = [each["note"] for each in told["segments"]]
    assert notes.count("SYN") >= 2 and told["complete"] and notes[0] == "SYN"
    assert told["segments"][0]["time_us"] == 0


# The page


class Checker(HTMLParser):
    VOID = frozenset({"meta", "link", "br", "rect", "line"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.external: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href") and value and not value.startswith(("#", "data:")):
                self.external.append(value)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else(site: World) -> None:
    answer = site.ask(REQUEST % b"/?<script>alert(1)</script>")
    assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
    text = answer.body.decode()
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    assert set(checker.external) == {"journey.json", "stats.json"}
    assert "<b>a " not in text and "<script>alert" not in text and "$" not in re.sub(r"\$\{", "", text)
    for said in ("SYN-ACK", "10.77.0.2:80", "Maximum segment size", "a <b> & c", "0x0800 IPv4", "not sent yet"):
        assert said in checker.text
    assert text.count("<script") == 1, "all of it is there without the script"


def test_every_octet_is_shown_and_belongs_to_a_field(site: World) -> None:
    text = site.ask(REQUEST % b"/").body.decode()
    frame = text[text.index('id="frame-carrier"') :]
    shown = re.findall(r"<i class=(\w)(?: data-f=(\d+))?>([0-9a-f]{2})</i>", frame)
    octets = bytes(int(octet, 16) for _, _, octet in shown)
    assert octets.endswith(REQUEST % b"/")
    kinds = "".join(kind for kind, _, _ in shown)
    assert re.fullmatch("e{14}i{20}t{32}h+", kinds)
    assert {number for _, number, _ in shown if number} <= set(re.findall(r'data-f="(\d+)"', frame))


# Taking frames apart


options = st.builds(
    tcp_options.TcpOptions,
    mss=st.none() | st.integers(0, 65535),
    window_scale=st.none() | st.integers(0, 14),
    sack_permitted=st.booleans(),
    sack_blocks=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=2).map(tuple),
)


@given(
    options,
    st.integers(0, 255),
    st.binary(max_size=100) | st.just(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody"),
    st.sampled_from([b"", b"\1\1\1\1"]),
    st.none() | st.integers(0, 65535),
)
def test_a_frame_is_taken_apart_without_gaps(
    options: Any, flags: int, payload: bytes, ip_options: bytes, vlan: int | None
) -> None:
    segment = tcp.build(Segment(1, 2, 3, 4, flags, 5, payload, options), 6, 7)
    packet = ipv4.build(Ipv4Header(6, 7, 6, options=ip_options), segment)
    link = ethernet.EthernetHeader(bytes(6), bytes(6), 0x0800, vlan)
    frame = ethernet.build(link, packet)
    found = dissect(frame + b"padding")
    assert found is not None
    assert found.layers[0].start == 0
    for before, after in pairwise(found.layers):
        assert before.start + before.length == after.start
    assert found.layers[-1].start + found.layers[-1].length == len(frame)
    covered = [at for field in found.fields for at in range(field.start, field.start + field.length)]
    assert len(covered) == len(set(covered))
    left = set(range(len(frame))) - set(covered)
    assert all(frame[at] == tcp_options.NOP for at in left), "only padding belongs to no field"


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda data: bytes(12) + b"\x08\x00\x45" + data))
def test_any_octets_are_taken_apart_or_not(octets: bytes) -> None:
    dissect(octets)


# Statistics and octets


def test_statistics(site: World) -> None:
    site.connect()
    told = json.loads(site.get("/stats.json").body)
    assert told["connections"] == {"total": 2, "ESTABLISHED": 2}
    assert told["http"]["open_connections"] == 2 and told["http"]["requests"] == 1
    assert told["counters"]["TcpPassiveOpens"] == 2 and "TcpRetransSegs" in told["counters"]


@pytest.mark.parametrize("size", [0, 1, 1000, 16384, 16385, 300_000])
def test_octets(site: World, size: int) -> None:
    answer = site.get(f"/bench/{size}")
    assert answer.status == 200 and len(answer.body) == size
    head = site.get(f"/bench/{size}", "HEAD")
    assert head.headers["Content-Length"] == str(size) and head.body == b""


@pytest.mark.parametrize("size", ["", "-1", "x", "1x", "+1", "\u0661", str(MAX_BENCH + 1), "9" * 5000, "1/2", "0x1"])
def test_no_octets(site: World, size: str) -> None:
    target = "/bench/" + "".join(f"%{octet:02X}" for octet in size.encode()[:100]) + size.encode()[100:].decode()
    assert site.get(target).status in (400, 404)


def test_the_largest_costs_nothing(site: World) -> None:
    assert site.get(f"/bench/{MAX_BENCH}", "HEAD").headers["Content-Length"] == str(MAX_BENCH)
    client = site.connect()
    client.reads = False
    client.send(REQUEST % b"/bench/%d" % MAX_BENCH)
    site.run(SECOND)
    assert site.http.totals.octets_sent < 5 << 20


def test_other_names_and_methods(site: World) -> None:
    assert site.get("/nothing").status == 404
    assert site.get("/", "POST").status == 405
    assert site.get("*", "OPTIONS").status == 204


def test_a_directory_owns_its_names(world: World, tmp_path: Path) -> None:
    (tmp_path / "stats.json").write_text("mine")
    (tmp_path / ".tapstack").mkdir()
    (tmp_path / ".tapstack" / "secret").write_text("secret")
    world.serve(directory_site(tmp_path, world.server, world.recorder))
    assert world.get("/stats.json").body == b"mine"
    assert world.get("/bench/10").status == 404
    assert len(world.get("/.tapstack/bench/10").body) == 10
    assert "counters" in json.loads(world.get("/.tapstack/stats.json").body)
    assert json.loads(world.get("/.tapstack/journey.json").body)["complete"]
    assert b"The journey of your request" in world.get("/.tapstack/").body
    assert world.get("/.tapstack/secret").status == 404
    assert b"tapstack/" not in world.get("/").body


def test_a_directory_that_is_not(world: World, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        directory_site(tmp_path / "nowhere", world.server, world.recorder)
