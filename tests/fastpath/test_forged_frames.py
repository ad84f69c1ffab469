"""Frames whose fields lie, but whose checksums are right: what a spoilt octet alone hardly ever gets to."""

from array import array
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.addresses import MacAddress
from stack.fastpath import reference
from stack.fastpath.ring import FrameRing
from stack.wire.checksum import internet_checksum, pseudo_header
from tests.effort import examples

native = pytest.importorskip("stack.fastpath.native", reason="only the Python fastpath is installed")

MAC = MacAddress(bytes.fromhex("020000000001"))
PEER = bytes.fromhex("020000000002")
TIMESTAMPS = bytes.fromhex("0101080a 00000005 00000007")


def usually(value, *others):
    return st.sampled_from([value] * (3 * len(others)) + list(others))


OPTIONS = [b"", TIMESTAMPS, bytes.fromhex("020405b4"), bytes.fromhex("01010402"), bytes(4), TIMESTAMPS + b"\1\1\1\0"]

forged = st.fixed_dictionaries(
    {
        "mac": usually(MAC, PEER, b"\xff" * 6),
        "ethertype": usually(0x0800, 0x0806, 0x8100, 0x86DD),
        "first": usually(0x45, 0x46, 0x44, 0x55, 0x4F),
        "tos": usually(0, 2, 255),
        "longer": usually(0, -60, -21, -1, 1, 1000),  # what the total length says, against what is there
        "fragment": usually(0x4000, 0, 0x2000, 1, 0x1FFF, 0x8000),
        "protocol": usually(6, 17, 1, 0),
        "src": usually(0x0A000001, 0, 0x7F000001, 0xE0000001, 0xF0000001, 0xFFFFFFFF, 0xDFFFFFFF, 0x80000000),
        "advance": usually(0, 1, -1, 1 << 31),  # of the sequence number, beyond where the last frame ended
        "ack": usually(7, 8),
        "flags": usually(0x10, 0x18, 0x30, 0x11, 0x12, 0x90, 0),
        "offset": usually(None, 0, 4, 5, 6, 15),  # None: the right one
        "options": st.sampled_from(OPTIONS),
        "payload": st.binary(max_size=40),
        "padding": usually(0, 1, 6),
        "cut": usually(0, 1, 20, 40),
        "damage": usually(0, 1),
    }
)


def build(fields, seq):
    """The frame; its checksums are right for what its fields say, unless it is damaged."""
    offset = fields["offset"]
    words = 5 + len(fields["options"]) // 4 if offset is None else offset
    tcp = bytearray(b"\x04\0\0\x50" + seq.to_bytes(4, "big") + fields["ack"].to_bytes(4, "big"))
    tcp += bytes((words << 4, fields["flags"])) + b"\x01\0\0\0\0\0" + fields["options"] + fields["payload"]
    total = max(0, 20 + len(tcp) + fields["longer"])
    pseudo = pseudo_header(fields["src"], 0x0A000002, 6, max(0, total - 20))
    tcp[16:18] = internet_checksum(tcp[: max(0, total - 20)], pseudo).to_bytes(2, "big")
    ip = bytearray((fields["first"], fields["tos"])) + total.to_bytes(2, "big") + b"\0\0"
    ip += fields["fragment"].to_bytes(2, "big") + bytes((64, fields["protocol"], 0, 0))
    ip += fields["src"].to_bytes(4, "big") + b"\x0a\0\0\x02"
    ip[10:12] = internet_checksum(ip).to_bytes(2, "big")
    tcp[-1] ^= fields["damage"]
    frame = fields["mac"] + PEER + fields["ethertype"].to_bytes(2, "big") + ip + tcp + bytes(fields["padding"])
    return frame[: len(frame) - fields["cut"]]


@settings(max_examples=examples(400))
@given(st.lists(forged, max_size=10))
def test_both_make_the_same_of_them(script):
    one, two = FrameRing(200, 16), FrameRing(200, 16)
    seq = 0xFFFFFFE0
    for fields in script:
        seq = (seq + fields["advance"]) & 0xFFFFFFFF
        frame = build(fields, seq)
        seq = (seq + len(fields["payload"])) & 0xFFFFFFFF
        assert one.append(frame) and two.append(frame)
    records = native.parse_tcp(one, MAC)
    assert records == reference.parse_tcp(two, MAC)
    assert one.buffer == two.buffer
    assert sum(record[2] or 1 for record in records) == len(script)


def plain(**changes):
    return {
        "mac": MAC, "ethertype": 0x0800, "first": 0x45, "tos": 0, "longer": 0, "fragment": 0x4000, "protocol": 6,
        "src": 0x0A000001, "advance": 0, "ack": 7, "flags": 0x10, "offset": None, "options": TIMESTAMPS,
        "payload": b"text", "padding": 0, "cut": 0, "damage": 0,
    } | changes  # fmt: skip


@pytest.mark.parametrize("padding", [0, 6])
def test_a_frame_cut_anywhere_is_plain_only_when_whole(fastpath, padding):
    whole = build(plain(padding=padding), 1)
    for size in range(len(whole) + 1):
        ring = FrameRing(200, 2)
        ring.append(whole[:size])
        [record] = fastpath.parse_tcp(ring, MAC)
        assert record[0] == (1 if size >= len(whole) - padding else 0), size


@pytest.mark.req("9293-MUST-3")
def test_no_single_bit_can_change_unnoticed(fastpath):
    whole = build(plain(), 1)
    for bit in range(14 * 8, len(whole) * 8):
        octet, mask = bit // 8, 1 << bit % 8
        ring = FrameRing(200, 2)
        ring.append(whole[:octet] + bytes((whole[octet] ^ mask,)) + whole[octet + 1 :])
        assert fastpath.parse_tcp(ring, MAC)[0][0] == 0, bit


def test_a_run_ends_where_a_datagram_could_not_be_longer(fastpath):
    ring = FrameRing(1600, 60)
    for number in range(50):
        frame = build(plain(payload=bytes([number]) * 1440), 1 + 1440 * number)
        assert ring.append(frame)
    first, second = fastpath.parse_tcp(ring, MAC)
    assert (first[2], first[18], second[2], second[1]) == (45, 45 * 1440, 5, 45)
    text = b"".join(bytes([number]) * 1440 for number in range(50))
    assert ring.buffer[first[17] : first[17] + first[18]] == text[: first[18]]
    assert ring.buffer[second[17] : second[17] + second[18]] == text[first[18] :]


def test_two_flows_in_turn_are_not_merged(fastpath):
    ring = FrameRing(200, 8)
    for number in range(3):
        for src in (0x0A000001, 0x0A000003):
            ring.append(build(plain(src=src), 1 + 4 * number))
    assert [record[2] for record in fastpath.parse_tcp(ring, MAC)] == [1] * 6


@pytest.mark.req("1624-1")
def test_an_updated_checksum_is_the_recomputed_one_for_every_word(fastpath):
    old = 0x1234
    before = internet_checksum(b"\x45\0" + old.to_bytes(2, "big"))
    for new in range(0x10000):
        after = internet_checksum(b"\x45\0" + new.to_bytes(2, "big"))
        assert fastpath.update_checksum(before, old, new) == after


@settings(max_examples=examples(200))
@given(
    st.integers(0, (1 << 63) - 1),
    st.integers(1, 70),
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 69), st.integers(1, 70)), max_size=25),
)
def test_a_window_that_slides_is_reassembled(base, size, capacity, steps):
    """Against octets in a dict: inserted within a window as large as the storage, which moves on round and round."""
    for path in (native, reference):
        storage, ranges, count, held, edge = bytearray(size), array("Q", bytes(16 * capacity)), 0, {}, base
        for number, (advance, offset, length) in enumerate(steps):
            if not count:
                edge += advance
            start = edge + offset % size
            payload = bytes([number + 1]) * min(length, edge + size - start)
            before = (bytes(storage), list(ranges), count)
            result = path.reassemble(storage, ranges, count, start, payload)
            if result < 0:
                assert (bytes(storage), list(ranges), count) == before
                assert count == capacity
                continue
            count = result
            for position in range(start, start + len(payload)):
                held.setdefault(position, number + 1)
            pairs = [(ranges[2 * i], ranges[2 * i + 1]) for i in range(count)]
            assert {p for first, last in pairs for p in range(first, last)} == held.keys()
            assert all(one[1] < two[0] for one, two in pairwise(pairs))
            assert all(storage[position % size] == octet for position, octet in held.items())
            if number % 5 == 4:  # the application reads it all
                edge, count, held = edge + size, 0, {}
