"""Super-frames and checksums that are left out, in C and in Python, against what the same text is as plain frames."""

import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.addresses import MacAddress
from stack.errors import MalformedPacket
from stack.fastpath import RECORD_OTHER, RECORD_TCP, reference
from stack.fastpath.offload import wire_frames
from stack.fastpath.ring import CHECKSUM_FULL, CHECKSUM_PARTIAL, CHECKSUM_VALID, FrameRing
from stack.wire import udp
from stack.wire.checksum import internet_checksum, pseudo_header
from stack.wire.tcp import ACK, CWR, FIN, PSH, URG
from stack.wire.udp import UdpHeader
from tests.effort import examples

native = pytest.importorskip("stack.fastpath.native", reason="only the Python fastpath is installed")

MAC = MacAddress(bytes.fromhex("020000000001"))
SRC, DST = 0x0A000002, 0x0A000001
TEMPLATE = MAC + bytes.fromhex("020000000002 0800 4500 0000 0000 4000 4006 0000 0a000002 0a000001 0050 1f90")
TIMESTAMPS = bytes.fromhex("0101080a 00000005 00000007")
TCP_AT, CHECKSUM_AT = 34, 50
LONGEST = 0xFFFF + 14
VIRTIO = struct.Struct("=BBHHHH")


FLAGS = st.sampled_from([ACK, ACK, ACK, ACK | PSH, ACK | CWR, ACK | URG])


def a_ring(**sizes):
    return FrameRing(**{"max_frame": LONGEST, "max_frames": 8, "offload": True, **sizes})


def contents(ring):
    each = range(ring.count)
    return [(bytes(ring[i]), ring.gso_sizes[i], ring.checksums[i]) for i in each]


@settings(max_examples=examples(200))
@given(
    st.integers(0, 3000).map(lambda size: bytes(i % 251 for i in range(size))),
    st.integers(1, 300),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 255),
    st.sampled_from([b"", TIMESTAMPS]),
    st.integers(60, 1200),
)
def test_what_the_link_cuts_is_what_we_would_have_cut(payload, mss, seq, flags, options, longest):
    arguments = (TEMPLATE, seq, 7, flags, 512, options, payload, mss)
    one, two = a_ring(max_frame=longest), a_ring(max_frame=longest)
    sent = native.emit_tcp(one, *arguments)
    assert sent == reference.emit_tcp(two, *arguments)
    assert contents(one) == contents(two) and one.used == two.used
    if sent < 0:
        return
    plain = FrameRing(2000, 3001)
    last = payload[:sent] if sent < len(payload) else payload
    shown = flags if sent == len(payload) else flags & ~(FIN | PSH)
    assert reference.emit_tcp(plain, TEMPLATE, seq, 7, shown, 512, options, last, mss) == sent
    assert wire_frames(one) == wire_frames(plain)


def test_a_super_frame_is_as_long_as_a_datagram_can_be(fastpath):
    ring = a_ring()
    text = bytes(200_000)
    assert fastpath.emit_tcp(ring, TEMPLATE, 1, 2, ACK, 3, TIMESTAMPS, text, 1448) == len(text)
    lengths = [len(frame) for frame in ring]
    assert lengths == [14 + 52 + 45 * 1448] * 3 + [14 + 52 + 200_000 - 135 * 1448]
    assert ring.gso_sizes.tolist()[:4] == [1448] * 4
    for mss in (1, 2, 536):  # this ring could hold even longer ones, behind an 802.1Q tag
        ring = FrameRing.of_link(1500, offload=True)
        assert fastpath.emit_tcp(ring, TEMPLATE, 1, 2, ACK, 3, b"", text, mss) == len(text)
        assert int.from_bytes(ring[0][16:18], "big") == len(ring[0]) - 14 == 40 + 65_495 // mss * mss


def test_text_of_one_segment_is_no_super_frame(fastpath):
    ring = a_ring()
    assert fastpath.emit_tcp(ring, TEMPLATE, 1, 2, ACK, 3, b"", bytes(1448), 1448) == 1448
    assert contents(ring)[0][1:] == (0, CHECKSUM_PARTIAL)


@pytest.mark.req("9293-MUST-2")
@pytest.mark.parametrize("checksum", [CHECKSUM_FULL, CHECKSUM_PARTIAL, CHECKSUM_VALID])
def test_only_a_full_checksum_is_verified(fastpath, checksum):
    plain = a_ring(offload=False)
    reference.emit_tcp(plain, TEMPLATE, 1, 2, ACK, 3, b"", b"text", 100)
    damaged = bytes(plain[0][:-1]) + b"!"
    ring = a_ring()
    ring.append(damaged, 0, checksum)
    [record] = fastpath.parse_tcp(ring, MAC)
    assert record[0] == (RECORD_OTHER if checksum == CHECKSUM_FULL else RECORD_TCP)


def test_the_header_of_ipv4_is_verified_in_any_case(fastpath):
    ring = a_ring()
    fastpath.emit_tcp(ring, TEMPLATE, 1, 2, ACK, 3, b"", b"text", 100)
    ring.buffer[22] ^= 1  # its time to live
    assert fastpath.parse_tcp(ring, MAC)[0][0] == RECORD_OTHER


@pytest.mark.parametrize(
    ("length", "segments"), [(0, 1), (1, 1), (100, 1), (101, 2), (200, 2), (201, 3), (65_000, 650), (65_001, 651)]
)
def test_how_many_segments_a_super_frame_stands_for(fastpath, length, segments):
    ring = a_ring()
    plain = FrameRing(LONGEST, 1)
    reference.emit_tcp(plain, TEMPLATE, 1, 2, ACK, 3, b"", bytes(length), 65_495)
    ring.append(plain[0], 100)
    [record] = fastpath.parse_tcp(ring, MAC)
    assert (record[2], record[18]) == (segments, length)


def test_merged_super_frames_stand_for_the_sum(fastpath):
    ring = a_ring()
    seq = 0xFFFFF000
    for length in (1000, 250, 100, 1050):
        fastpath.emit_tcp(ring, TEMPLATE, seq & 0xFFFFFFFF, 2, ACK, 3, TIMESTAMPS, b"%c" % (length & 127) * length, 100)
        seq += length
    [record] = fastpath.parse_tcp(ring, MAC)
    assert (record[2], record[18]) == (10 + 3 + 1 + 11, 2400)
    text = b"".join(b"%c" % (length & 127) * length for length in (1000, 250, 100, 1050))
    assert ring.buffer[record[17] : record[17] + 2400] == text


@settings(max_examples=examples(200))
@given(
    st.lists(
        st.tuples(
            st.integers(0, 500), st.sampled_from([ACK, ACK, ACK, ACK | PSH, ACK | CWR, ACK | URG]), st.booleans()
        ),
        max_size=8,
    ),
    st.integers(1, 100),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=2),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), min_size=8, max_size=8),
)
def test_parse_and_merge(script, mss, spoil, said):
    """Both make the same of super-frames, also where what a ring says of a frame is not what it is."""
    one, two = a_ring(max_frame=1000), a_ring(max_frame=1000)
    seq = 0xFFFFFF80
    for length, flags, follows in script:
        reference.emit_tcp(one, TEMPLATE, seq, 9, flags, 100, TIMESTAMPS, bytes(length), mss)
        seq = (seq + length) & 0xFFFFFFFF if follows else seq
    for position, octet in spoil:
        if one.used:
            one.buffer[position % one.used] = octet
    for index, (checksum, gso_size) in enumerate(said[: one.count]):
        if checksum <= CHECKSUM_VALID:
            one.checksums[index], one.gso_sizes[index] = checksum, gso_size
    for octets, gso_size, checksum in contents(one):
        two.append(octets, gso_size, checksum)
    records = native.parse_tcp(one, MAC)
    assert records == reference.parse_tcp(two, MAC)
    assert contents(one) == contents(two)
    for record in records:
        start, end = record[17], record[17] + record[18]
        assert one.buffer[start:end] == two.buffer[start:end]


def test_what_goes_to_the_layers_gets_its_checksum(fastpath):
    ring = a_ring()
    fastpath.emit_tcp(ring, TEMPLATE, 1, 2, ACK | URG, 3, TIMESTAMPS, bytes(250), 100)
    partial = bytes(ring[0])
    [record] = fastpath.parse_tcp(ring, MAC)
    assert record[0] == RECORD_OTHER and ring.checksums[0] == CHECKSUM_FULL
    plain = FrameRing(2000, 1)
    reference.emit_tcp(plain, TEMPLATE, 1, 2, ACK | URG, 3, TIMESTAMPS, bytes(250), 250)
    assert partial != ring[0] and ring[0] == plain[0]


# Frames in and out, each behind a virtio header


@pytest.fixture
def ends():
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        one.setblocking(False)
        two.setblocking(False)
        yield one, two


def test_what_was_written_is_what_is_read(fastpath, ends):
    ring, again = a_ring(), a_ring()
    fastpath.emit_tcp(ring, TEMPLATE, 1, 2, ACK | CWR, 3, TIMESTAMPS, bytes(40_000), 1000)
    fastpath.emit_tcp(ring, TEMPLATE, 1, 2, ACK, 3, b"", b"text", 1000)
    ring.append(b"some other frame")
    assert fastpath.write_frames(ends[0].fileno(), ring) == 3
    assert fastpath.read_frames(ends[1].fileno(), again) == 3
    assert contents(again) == contents(ring)


@pytest.mark.parametrize(
    ("flags", "text", "header"),
    [
        (ACK, 2500, (1, 1, 66, 1000, 34, 16)),
        (ACK | CWR, 2500, (1, 0x81, 66, 1000, 34, 16)),
        (ACK | CWR, 1000, (1, 0, 66, 0, 34, 16)),
        (ACK, 0, (1, 0, 66, 0, 34, 16)),
    ],
)
def test_the_header_that_the_kernel_gets(fastpath, ends, flags, text, header):
    """Virtio 1.2 5.1.6.2: where the checksum starts and is stored, how it is to be cut, and whether CWR was set."""
    ring = a_ring()
    fastpath.emit_tcp(ring, TEMPLATE, 1, 2, flags, 3, TIMESTAMPS, bytes(text), 1000)
    fastpath.write_frames(ends[0].fileno(), ring)
    written = ends[1].recv(70_000)
    assert VIRTIO.unpack(written[:10]) == header and written[10:] == ring[0]


def test_a_frame_with_all_its_checksums_gets_an_empty_header(fastpath, ends):
    ring = a_ring()
    ring.append(b"frame")
    fastpath.write_frames(ends[0].fileno(), ring)
    assert ends[1].recv(100) == bytes(10) + b"frame"


def test_no_more_than_a_header_is_no_frame(fastpath, ends):
    ring = a_ring()
    for octets in (bytes(9), bytes(10)):
        ends[0].send(octets)
        assert fastpath.read_frames(ends[1].fileno(), ring) == 0
    assert ring.count == 0


def udp_frame(data):
    """A frame with a UDP datagram whose checksum is partial."""
    datagram = bytearray(udp.build(UdpHeader(1000, 2000), data, SRC, DST))
    partial = ~internet_checksum(b"", pseudo_header(SRC, DST, 17, len(datagram))) & 0xFFFF
    datagram[6:8] = partial.to_bytes(2, "big")
    frame = bytearray(TEMPLATE[:34])
    frame[23] = 17
    frame[16:18] = (20 + len(datagram)).to_bytes(2, "big")
    frame[24:26] = bytes(2)
    frame[24:26] = internet_checksum(frame[14:34]).to_bytes(2, "big")
    return bytes(frame + datagram)


def sums_up_to_zero():
    """Text with which the checksum is zero, which must not be sent so (RFC 768)."""
    return udp.build(UdpHeader(1000, 2000), bytes(2), SRC, DST)[6:8]


@pytest.mark.req("768-2")
@pytest.mark.parametrize("data", [b"", b"data", b"odd", sums_up_to_zero()])
def test_a_datagram_of_udp_is_summed_up_when_it_is_read(fastpath, ends, data):
    frame = udp_frame(data)
    ends[0].send(VIRTIO.pack(1, 0, 0, 0, 34, 6) + frame)
    ring = a_ring()
    assert fastpath.read_frames(ends[1].fileno(), ring) == 1
    [(octets, gso_size, checksum)] = contents(ring)
    assert (gso_size, checksum) == (0, CHECKSUM_FULL)
    assert octets[:40] == frame[:40] and octets[42:] == frame[42:]
    assert octets[40:42] != bytes(2), "that would say that there is no checksum"
    try:
        udp.parse(octets[34:], SRC, DST)
    except MalformedPacket as error:
        pytest.fail(f"{error}")


@settings(max_examples=examples(300))
@given(
    st.binary(max_size=120),
    st.tuples(
        st.integers(0, 255),
        st.sampled_from([0, 1, 3, 4, 0x81, 0x83]),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.one_of(st.just(34), st.integers(0, 130), st.integers(0, 0xFFFF)),
        st.one_of(st.just(16), st.integers(0, 20), st.integers(0, 0xFFFF)),
    ),
    st.booleans(),
)
def test_any_header_is_understood_alike(frame, fields, cut_short):
    made = []
    octets = VIRTIO.pack(*fields) + frame
    for path in (native, reference):
        one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with one, two:
            two.setblocking(False)
            one.send(octets[:9] if cut_short else octets)
            ring = a_ring(max_frame=128, max_frames=2)
            path.read_frames(two.fileno(), ring)
            made.append((contents(ring), ring.used))
    assert made[0] == made[1]


def test_a_ring_without_offload_knows_nothing_of_it(fastpath, ends):
    ring = a_ring(offload=False)
    fastpath.emit_tcp(ring, TEMPLATE, 1, 2, ACK, 3, b"", bytes(250), 100)
    assert [(gso_size, checksum) for _, gso_size, checksum in contents(ring)] == [(0, CHECKSUM_FULL)] * 3
    assert fastpath.write_frames(ends[0].fileno(), ring) == 3
    assert ends[1].recv(1000) == ring[0]


def test_what_a_ring_said_of_a_frame_is_forgotten_with_it(fastpath, ends):
    ring = a_ring()
    fastpath.emit_tcp(ring, TEMPLATE, 1, 2, ACK, 3, b"", bytes(250), 100)
    ring.clear()
    ends[0].send(bytes(10) + b"frame")
    fastpath.read_frames(ends[1].fileno(), ring)
    assert contents(ring) == [(b"frame", 0, CHECKSUM_FULL)]


def test_the_ring_of_a_link_is_bounded():
    for mtu in (68, 576, 1500, 9000, 65_520):
        for offload in (False, True):
            ring = FrameRing.of_link(mtu, offload=offload, max_frames=512)
            assert ring.max_frame >= (0xFFFF if offload else mtu) + 14
            assert 8 * ring.max_frame < ring.capacity <= 1 << 20
