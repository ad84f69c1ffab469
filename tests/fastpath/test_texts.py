"""Long text that the C fastpath leaves where it is, or has read into octets of their own: nobody sees a difference."""

import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.addresses import MacAddress
from stack.fastpath import RECORD_OTHER, RECORD_TCP, reference
from stack.fastpath.ring import CHECKSUM_FULL, FrameRing
from stack.virtual.capture import FlightRecorder
from stack.wire.tcp import ACK, PSH, URG
from tests.effort import examples

native = pytest.importorskip("stack.fastpath.native", reason="only the Python fastpath is installed")

MAC = MacAddress(bytes.fromhex("020000000001"))
TEMPLATE = MAC + bytes.fromhex("020000000002 0800 4500 0000 0000 4000 4006 0000 0a000002 0a000001 0050 1f90")
TIMESTAMPS = bytes.fromhex("0101080a 00000005 00000007")
SACK_PERMITTED = bytes.fromhex("01010402")
VIRTIO = struct.Struct("=BBHHHH")
LONG = 20_000
MSS = 1000


def a_ring():
    return FrameRing.of_link(1500, offload=True)


def pattern(length, seed=0):
    return bytes((i + seed) % 251 for i in range(length))


def contents(ring):
    return [(bytes(ring[i]), ring.gso_sizes[i], ring.checksums[i]) for i in range(ring.count)]


def payload_of(ring, record):
    start, length = record[17], record[18]
    return bytes(ring.view[start : start + length] if start or not length else ring.texts[record[1]])


def comparable(ring, record):
    """A record, but for where its payload lies, and the payload."""
    return record[:17], payload_of(ring, record)


@pytest.fixture
def ends():
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        one.setblocking(False)
        two.setblocking(False)
        yield one, two


def emit(fastpath, ring, text, seq=1, flags=ACK, options=TIMESTAMPS):
    return fastpath.emit_tcp(ring, TEMPLATE, seq, 2, flags, 3, options, text, MSS)


# Out


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("length", [4095, 4096, 65_000, 150_000])
def test_what_is_written_is_what_would_be_in_the_ring(ends, length, seen):
    text = pattern(length)
    written = []
    for fastpath in (native, reference):
        ring = a_ring()
        assert emit(fastpath, ring, memoryview(text)) == length
        assert emit(fastpath, ring, b"short") == 5
        assert bool(ring.texts) == (fastpath is native and length >= 4096)
        if seen:
            contents(ring)
        assert fastpath.write_frames(ends[0].fileno(), ring) == ring.count
        written.append([ends[1].recv(70_000) for _ in range(ring.count)])
    assert written[0] == written[1]


@pytest.mark.parametrize("kind", [bytearray, lambda text: memoryview(bytearray(text))])
def test_text_that_may_change_is_copied(ends, kind):
    text = kind(pattern(LONG))
    ring = a_ring()
    emit(native, ring, text)
    text[:] = bytes(LONG)
    native.write_frames(ends[0].fileno(), ring)
    assert ends[1].recv(70_000)[10 + 66 :] == pattern(LONG)


def test_text_lives_as_long_as_the_ring_needs_it(ends):
    ring = a_ring()
    emit(native, ring, pattern(LONG))
    others = [bytes([i]) * (LONG + 33) for i in range(8)]  # where the text was, had it been freed
    native.write_frames(ends[0].fileno(), ring)
    assert ends[1].recv(70_000)[10 + 66 :] == pattern(LONG)
    assert others and len(ring.texts) == 1
    ring.clear()
    assert not ring.texts


def test_a_ring_without_offload_has_its_text_in_place():
    ring = FrameRing.of_link(1500, offload=False)
    emit(native, ring, pattern(LONG))
    assert not ring.texts and ring.count == LONG // MSS


def test_a_ring_that_is_full_leaves_what_does_not_fit():
    rings = [FrameRing.of_link(1500, offload=True, max_frames=4) for _ in range(2)]
    sent = [emit(fastpath, ring, pattern(600_000)) for fastpath, ring in zip((native, reference), rings, strict=True)]
    assert sent[0] == sent[1] < 600_000
    assert contents(rings[0]) == contents(rings[1])


def test_a_frame_that_was_made_here_can_be_received_here():
    """As between hosts in one process: the ring of one is what the other receives."""
    rings = [a_ring() for _ in range(2)]
    for fastpath, ring in zip((native, reference), rings, strict=True):
        for seq, flags, options in ((1, ACK, TIMESTAMPS), (LONG + 1, ACK | URG, b""), (5, ACK, SACK_PERMITTED)):
            emit(fastpath, ring, pattern(LONG, seq), seq, flags, options)
    found = [[comparable(ring, record) for record in native.parse_tcp(ring, MAC)] for ring in rings]
    assert found[0] == found[1]
    assert [record[0] for record, _ in found[0]] == [RECORD_TCP, RECORD_OTHER, RECORD_TCP]
    assert contents(rings[0]) == contents(rings[1]), "what goes to the layers has its text and its checksum"


def test_the_flight_recorder_remembers_the_text():
    ring, recorder = a_ring(), FlightRecorder()
    emit(native, ring, pattern(LONG))
    recorder.observe(False, 0, ring, 1)
    assert b"".join(each.octets[66:] for each in recorder.frames()) == pattern(LONG)


# In


def arriving(text, flags=ACK, options=TIMESTAMPS, seq=1):
    """A super-frame of `text`, behind its virtio header."""
    ring = a_ring()
    emit(reference, ring, text, seq, flags, options)
    headers = 54 + len(options)
    return VIRTIO.pack(1, 1, headers, MSS, 34, 16) + bytes(ring[0])


frames = st.tuples(
    st.sampled_from([LONG, LONG, LONG, LONG - 1, LONG + 1, 30_000, 16_384, 16_383, 1, 0]),
    st.sampled_from([ACK, ACK, ACK | PSH, ACK | URG]),
    st.sampled_from([TIMESTAMPS, TIMESTAMPS, TIMESTAMPS, SACK_PERMITTED, b""]),
    st.sampled_from(["whole", "whole", "summed", "padded", "another protocol"]),
)


def spoiled(octets, how):
    if how == "summed":  # the checksum, which is partial in fact, is said to be full: it does not hold
        return bytes(10) + octets[10:]
    if how == "padded":
        return octets + bytes(7)
    if how == "another protocol":
        return octets[: 10 + 23] + b"\x11" + octets[10 + 24 :]
    return octets


@settings(max_examples=examples(40))
@given(st.lists(st.lists(frames, max_size=4), max_size=5))
def test_what_is_read_is_what_would_be_in_the_ring(batches):
    """Batch after batch, with whatever those before have made it expect; no segment follows another, to be merged."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        two.setblocking(False)
        rings = {native: a_ring(), reference: a_ring()}
        for number, batch in enumerate(batches):
            found = []
            for fastpath, ring in rings.items():
                ring.clear()
                for place, (length, flags, options, how) in enumerate(batch):
                    text = pattern(length, 7 * number + place)
                    one.send(spoiled(arriving(text, flags, options, 1 + place), how))
                    assert fastpath.read_frames(two.fileno(), ring) == 1
                found.append([comparable(ring, record) for record in fastpath.parse_tcp(ring, MAC)])
                assert all(not ring.texts or ring is rings[native] for ring in rings.values())
            assert found[0] == found[1]
            assert contents(rings[native]) == contents(rings[reference])


def test_what_comes_again_and_again_is_not_copied(ends):
    ring = a_ring()
    kept = []
    for number in range(40):
        ring.clear()
        for place in range(2):
            ends[0].send(arriving(pattern(LONG, 2 * number + place), seq=1 + place * 5))
        assert native.read_frames(ends[1].fileno(), ring) == 2
        kept += [ring.texts.get(record[1]) for record in native.parse_tcp(ring, MAC)]
    assert kept[:2] == [None, None], "the first tell what to expect"
    assert [type(text) for text in kept[2:]] == [bytes] * 78
    assert kept[2:] == [pattern(LONG, seed) for seed in range(2, 80)], "and nothing is written into them afterwards"


def test_text_that_lies_apart_is_not_merged(ends):
    """Nor is what follows it: they are two records, in order."""
    ring = a_ring()
    for _ in range(2):
        ring.clear()
        ends[0].send(arriving(pattern(LONG)))
        native.read_frames(ends[1].fileno(), ring)
    for seq, length in ((LONG + 1, 10), (LONG + 11, 20)):
        ends[0].send(arriving(pattern(length), seq=seq))
    ends[0].send(arriving(pattern(LONG), seq=LONG + 31))
    native.read_frames(ends[1].fileno(), ring)
    records = native.parse_tcp(ring, MAC)
    assert [payload_of(ring, record) for record in records] == [
        pattern(LONG), pattern(10) + pattern(20), pattern(LONG),
    ]  # fmt: skip


def test_text_of_another_length_is_expected_from_then_on(ends):
    ring = a_ring()
    for length, is_kept in ((LONG, False), (LONG, True), (LONG - 5, True), (30_000, False), (30_000, True)):
        ring.clear()
        ends[0].send(arriving(pattern(length)))
        native.read_frames(ends[1].fileno(), ring)
        [record] = native.parse_tcp(ring, MAC)
        assert payload_of(ring, record) == pattern(length)
        assert bool(ring.texts) == is_kept


def test_a_frame_of_another_kind_is_whole(ends):
    ring = a_ring()
    for flags in (ACK, ACK | URG):
        ring.clear()
        ends[0].send(arriving(pattern(LONG), flags))
        native.read_frames(ends[1].fileno(), ring)
    assert ring.texts
    [record] = native.parse_tcp(ring, MAC)
    plain = a_ring()
    plain.append(arriving(pattern(LONG), ACK | URG)[10:], MSS, 1)
    reference.parse_tcp(plain, MAC)
    assert record[0] == RECORD_OTHER and ring[0] == plain[0] and ring.checksums[0] == CHECKSUM_FULL
