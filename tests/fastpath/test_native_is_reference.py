"""The C fastpath against its oracle: the same arguments give the same results, and the same octets in the buffers."""

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.addresses import MacAddress
from stack.fastpath import reference
from stack.fastpath.ring import FrameRing
from tests.effort import examples

native = pytest.importorskip("stack.fastpath.native", reason="only the Python fastpath is installed")

MAC = MacAddress(bytes.fromhex("020000000001"))
TEMPLATE = MAC + bytes.fromhex("020000000002 0800 4500 0000 0000 4000 4006 0000 0a000002 0a000001 0050 1f90")
TIMESTAMPS = bytes.fromhex("0101080a 00000005 00000007")

segments = st.tuples(
    st.integers(0, 3),  # octets skipped before it
    st.sampled_from([16, 16, 16, 24, 17, 2, 18, 4, 48, 0xC2]),
    st.binary(max_size=90),
    st.sampled_from([b"", TIMESTAMPS, TIMESTAMPS, b"\x01\x01\x01\x00", TIMESTAMPS[:-1] + b"\x09"]),
    st.integers(1, 60),
)


def rings(count=2, **sizes):
    return [FrameRing(**{"max_frame": 200, "max_frames": 32, **sizes}) for _ in range(count)]


def contents(ring):
    return [bytes(frame) for frame in ring]


@given(st.binary(max_size=3000), st.integers(0, 1 << 40), st.integers(0, 7))
def test_checksum(data, initial, skip):
    view = memoryview(data)[skip:]
    assert native.checksum(view, initial) == reference.checksum(view, initial)


@pytest.mark.req("1071-1")
@given(st.binary(min_size=2, max_size=100).filter(lambda data: len(data) % 2 == 0))
def test_octets_with_their_checksum_verify(data):
    value = native.checksum(data)
    assert native.checksum(data + value.to_bytes(2, "big")) == 0


@given(st.binary(min_size=20, max_size=60), st.integers(0, 65535), st.integers(0, 9))
def test_update_checksum(data, new, word):
    data = bytearray(data[: len(data) // 2 * 2])
    before = reference.checksum(data)
    old = int.from_bytes(data[2 * word : 2 * word + 2], "big")
    data[2 * word : 2 * word + 2] = new.to_bytes(2, "big")
    updated = native.update_checksum(before, old, new)
    assert updated == reference.update_checksum(before, old, new)
    if any(data):
        assert updated == reference.checksum(data)


@given(st.binary(max_size=2000), st.integers(1, 200), st.integers(0, 0xFFFFFFFF), st.integers(0, 255))
def test_emit(payload, mss, seq, flags):
    one, two = rings(max_frames=8)
    args = (TEMPLATE, seq, 7, flags, 512, TIMESTAMPS, payload, mss)
    assert native.emit_tcp(one, *args) == reference.emit_tcp(two, *args)
    assert contents(one) == contents(two)
    assert (one.used, one.count) == (two.used, two.count)


@pytest.mark.req("9293-MUST-2")
@settings(max_examples=examples(300))
@given(st.lists(segments, max_size=12), st.lists(st.tuples(st.integers(0, 10000), st.integers(0, 255)), max_size=3))
def test_parse_and_merge(script, spoil):
    one, two = rings()
    seq = 0xFFFFFF80
    for skip, flags, payload, options, mss in script:
        seq = (seq + skip) & 0xFFFFFFFF if skip == 3 else seq
        reference.emit_tcp(one, TEMPLATE, seq, 9, flags, 100, options, payload, mss)
        seq = (seq + len(payload)) & 0xFFFFFFFF
    for position, octet in spoil:
        if one.used:
            one.buffer[position % one.used] = octet
    for frame in one:
        two.append(frame)
    records = native.parse_tcp(one, MAC)
    assert records == reference.parse_tcp(two, MAC)
    for record in records:
        start, end = record[17], record[17] + record[18]
        assert one.buffer[start:end] == two.buffer[start:end]


@given(st.lists(st.binary(max_size=120), max_size=10))
def test_parse_arbitrary_octets(frames):
    one, two = rings()
    for frame in frames:
        one.append(frame)
        two.append(frame)
    assert native.parse_tcp(one, MAC) == reference.parse_tcp(two, MAC)


@settings(max_examples=examples(300))
@given(
    st.integers(0, 1 << 40),
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 63), st.integers(1, 30)), max_size=20),
)
def test_reassemble(base, capacity, arrivals):
    stores = [bytearray(64), bytearray(64)]
    tables = [array("Q", bytes(16 * capacity)) for _ in stores]
    counts = [0, 0]
    model = {}
    for number, (offset, length) in enumerate(arrivals):
        length = min(length, 64 - offset)
        payload = bytes([number + 1]) * length
        for i, path in enumerate((native, reference)):
            result = path.reassemble(stores[i], tables[i], counts[i], base + offset, payload)
            taken = result >= 0
            counts[i] = result if taken else counts[i]
        if taken:
            for position in range(offset, offset + length):
                model.setdefault(position, number + 1)
        assert counts[0] == counts[1]
        assert tables[0][: 2 * counts[0]] == tables[1][: 2 * counts[1]]
        held = {p - base for i in range(counts[0]) for p in range(tables[0][2 * i], tables[0][2 * i + 1])}
        assert held == set(model)
        for store in stores:
            assert all(store[(base + position) % 64] == octet for position, octet in model.items())
