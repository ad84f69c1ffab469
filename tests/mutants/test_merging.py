"""What the fastpath may merge into one segment and what it must leave alone, case by case, in C and in Python."""

from array import array

import pytest

from stack.addresses import MacAddress
from stack.fastpath import RECORD_OTHER, RECORD_TCP, reference
from stack.fastpath.ring import FrameRing
from stack.wire import ethernet, ipv4, tcp
from stack.wire.ethernet import ETHERTYPE_IPV4, EthernetHeader
from stack.wire.ipv4 import PROTOCOL_TCP, Ipv4Header
from stack.wire.tcp import ACK, FIN, PSH, SYN, Segment
from stack.wire.tcp_options import TcpOptions

MAC = MacAddress(bytes.fromhex("020000000001"))
PEER = MacAddress(bytes.fromhex("020000000002"))
SRC, DST = 0x0A000001, 0x0A000002
SEQ = 0xFFFFFFF0  # the second segment of a run lies beyond the wrap


@pytest.fixture(params=["native", "reference"])
def fastpath(request):
    if request.param == "reference":
        return reference
    return pytest.importorskip("stack.fastpath.native", reason="only the Python fastpath is installed")


def frame(payload=b"0123456789abcdef", *, src=SRC, **changes):
    header = {"dont_fragment": True, **{key: changes.pop(key) for key in list(changes) if key in ("tos", "ttl")}}
    header |= {key: changes.pop(key) for key in list(changes) if key in ("more_fragments", "fragment_offset")}
    fields = {"src_port": 1000, "dst_port": 80, "seq": SEQ, "ack": 7, "flags": ACK, "window": 500} | changes
    segment = tcp.build(Segment(payload=payload, **fields), src, DST)
    datagram = ipv4.build(Ipv4Header(src, DST, PROTOCOL_TCP, **header), segment)
    return ethernet.build(EthernetHeader(MAC, PEER, ETHERTYPE_IPV4), datagram)


def parse(fastpath, *frames):
    ring = FrameRing(2000)
    for each in frames:
        ring.append(each)
    records = fastpath.parse_tcp(ring, MAC)
    return records, [bytes(ring.buffer[record[17] : record[17] + record[18]]) for record in records]


NEXT = (SEQ + 16) & 0xFFFFFFFF


@pytest.mark.parametrize("flags", [ACK, ACK | PSH])
def test_consecutive_text_becomes_one_segment(fastpath, flags):
    records, texts = parse(fastpath, frame(), frame(b"second", seq=NEXT), frame(b"third", seq=NEXT + 6, flags=flags))
    [record] = records
    assert record[:3] == (RECORD_TCP, 0, 3) and record[7] == SEQ and record[9] == flags
    assert texts == [b"0123456789abcdefsecondthird"]


@pytest.mark.parametrize(
    "change",
    [
        {"ack": 8},
        {"window": 501},
        {"tos": 3},
        {"seq": NEXT + 1},
        {"seq": 0xFFFFFFFF},
        {"seq": SEQ},
        {"flags": ACK | FIN},
        {"flags": ACK | SYN},
        {"src_port": 1001},
        {"dst_port": 81},
        {"src": SRC + 1},
        {"payload": b""},
        {"options": TcpOptions(ts_val=1)},
        {"options": TcpOptions(sack_blocks=((1, 2),))},
    ],
    ids=str,
)
def test_whatever_differs_is_left_alone(fastpath, change):
    second = {"payload": b"second", "seq": NEXT, **change}
    records, texts = parse(fastpath, frame(), frame(**second))
    assert [record[2] for record in records] == [1, 1]
    assert texts == [b"0123456789abcdef", second["payload"]]


@pytest.mark.parametrize("change", [{"ts_val": 2}, {"ts_ecr": 9}])
def test_time_stamps_that_differ_are_left_alone(fastpath, change):
    stamps = {"ts_val": 1, "ts_ecr": 8}
    one = frame(options=TcpOptions(**stamps))
    assert len(parse(fastpath, one, frame(b"x", seq=NEXT, options=TcpOptions(**stamps)))[0]) == 1
    assert len(parse(fastpath, one, frame(b"x", seq=NEXT, options=TcpOptions(**(stamps | change))))[0]) == 2


def test_a_pushed_segment_ends_the_run(fastpath):
    records, _ = parse(fastpath, frame(flags=ACK | PSH), frame(b"x", seq=NEXT))
    assert [record[2] for record in records] == [1, 1]


@pytest.mark.req("3128-1")
@pytest.mark.parametrize("change", [{"more_fragments": True}, {"fragment_offset": 8}, {"fragment_offset": 65528}])
def test_fragments_take_the_long_way(fastpath, change):
    [record], _ = parse(fastpath, frame(**change))
    assert record[0] == RECORD_OTHER


def test_a_damaged_frame_takes_the_long_way(fastpath):
    damaged = bytearray(frame())
    damaged[-1] ^= 1
    records, _ = parse(fastpath, bytes(damaged), frame())
    assert [record[:2] for record in records] == [(RECORD_OTHER, 0), (RECORD_TCP, 1)]


def test_an_octet_that_is_held_is_kept(fastpath):
    store, ranges = bytearray(16), array("Q", bytes(64))
    count = fastpath.reassemble(store, ranges, 0, 4, b"true")
    count = fastpath.reassemble(store, ranges, count, 2, b"FORGED!")
    assert (count, list(ranges[:2]), bytes(store[2:9])) == (1, [2, 9], b"FOtrue!")
