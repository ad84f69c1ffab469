"""TCP segments: the fixed header, the data offset and the checksum."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import ChecksumMismatch, MalformedPacket
from stack.wire import tcp
from stack.wire.checksum import internet_checksum
from stack.wire.tcp import ACK, FIN, SYN, Segment
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions

SRC, DST = 0x0A000001, 0x0A000002

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 2**32 - 1)
options = st.just(NO_OPTIONS) | st.builds(
    TcpOptions, mss=st.none() | u16, window_scale=st.none() | st.integers(0, 14), ts_val=u32, ts_ecr=u32
)
segments = st.builds(Segment, u16, u16, u32, u32, st.integers(0, 255), u16, st.binary(max_size=40), options, urgent=u16)


def summed(octets: bytes) -> bytes:
    """`octets` with the right checksum between SRC and DST."""
    blank = octets[:16] + b"\0\0" + octets[18:]
    pseudo = struct.pack("!IIBBH", SRC, DST, 0, 6, len(blank))
    return blank[:16] + internet_checksum(pseudo + blank).to_bytes(2, "big") + blank[18:]


@given(segments, u32, u32)
def test_what_is_built_parses_to_the_same(segment, src, dst):
    octets = tcp.build(segment, src, dst)
    assert tcp.parse(octets, src, dst) == segment
    assert tcp.build(tcp.parse(octets, src, dst), src, dst) == octets


@given(st.binary(min_size=20, max_size=60))
def test_what_is_parsed_builds_to_the_same(octets):
    octets = summed(octets[:12] + b"\x50" + octets[13:])  # no options: those have many spellings
    assert tcp.build(tcp.parse(octets, SRC, DST), SRC, DST) == octets


@pytest.mark.req("9293-MUST-2", "9293-3.1-cksum-odd")
@given(segments)
def test_the_checksum_covers_pseudo_header_header_and_data(segment):
    octets = tcp.build(segment, SRC, DST)
    assert octets == summed(octets)


def test_every_field_is_where_rfc_9293_has_it():
    octets = summed(bytes.fromhex("1f90 0050 01020304 05060708 5012 ffff 0000 0011") + b"data")
    assert tcp.parse(octets, SRC, DST) == Segment(
        8080, 80, 0x01020304, 0x05060708, SYN | ACK, 0xFFFF, b"data", NO_OPTIONS, urgent=0x11
    )


@pytest.mark.parametrize(
    ("name", "bit"),
    [("FIN", 0), ("SYN", 1), ("RST", 2), ("PSH", 3), ("ACK", 4), ("URG", 5), ("ECE", 6), ("CWR", 7)],
)
def test_flags_are_the_bits_of_the_octet(name, bit):
    octets = tcp.build(Segment(1, 2, 3, 4, getattr(tcp, name), 5), SRC, DST)
    assert octets[13] == 1 << bit


def test_the_reserved_bits_are_sent_zero_and_ignored_on_receipt():
    """RFC 9293 3.1: Rsrvd."""
    octets = tcp.build(Segment(1, 2, 3, 4, ACK, 5), SRC, DST)
    assert octets[12] == 0x50
    assert tcp.parse(summed(octets[:12] + b"\x5f" + octets[13:]), SRC, DST) == Segment(1, 2, 3, 4, ACK, 5)


@pytest.mark.parametrize(("flags", "length"), [(0, 3), (ACK, 3), (SYN, 4), (FIN | ACK, 4), (SYN | FIN, 5), (0xFF, 5)])
def test_seg_len_counts_syn_and_fin(flags, length):
    assert Segment(1, 2, 3, 4, flags, 5, b"abc").length == length


@pytest.mark.req("9293-3.1-doff")
@pytest.mark.parametrize("words", range(5))
def test_a_data_offset_within_the_header(words):
    octets = summed(bytes(12) + bytes([words << 4]) + bytes(47))
    with pytest.raises(MalformedPacket, match=f"^TCP: data offset says {words * 4} octets, a header has 20$"):
        tcp.parse(octets, SRC, DST)


@pytest.mark.req("9293-3.1-doff")
@pytest.mark.parametrize(("words", "size"), [(6, 20), (6, 23), (15, 59), (15, 20)])
def test_a_data_offset_past_the_end(words, size):
    octets = summed(bytes(12) + bytes([words << 4]) + bytes(size - 13))
    message = f"^TCP: data offset says {words * 4} octets, the segment has {size}$"
    with pytest.raises(MalformedPacket, match=message):
        tcp.parse(octets, SRC, DST)


@pytest.mark.parametrize("size", range(20))
def test_less_than_a_header(size):
    with pytest.raises(MalformedPacket, match=f"^TCP: a header has 20 octets, {size} arrived$"):
        tcp.parse(bytes(size), SRC, DST)


@pytest.mark.req("9293-MUST-3")
@given(segments, st.integers(1, 0xFFFE))
def test_a_wrong_checksum_is_a_mismatch_whatever_else_is_wrong(segment, delta):
    octets = tcp.build(segment, SRC, DST)
    right = int.from_bytes(octets[16:18], "big")
    wrong = (right + delta) % 0xFFFF  # another residue, so none of the two zeros for each other
    with pytest.raises(ChecksumMismatch, match=f"^TCP: checksum is {wrong:#06x}, what arrived sums to "):
        tcp.parse(octets[:16] + wrong.to_bytes(2, "big") + octets[18:], SRC, DST)
    with pytest.raises(ChecksumMismatch):  # a damaged data offset counts as damage, not as a peer's mistake
        tcp.parse(octets[:12] + bytes([octets[12] ^ 0xF0]) + octets[13:], SRC, DST)


@pytest.mark.req("9293-MUST-5")
@pytest.mark.parametrize("flags", [SYN, ACK, FIN | ACK, tcp.RST, 0])
def test_options_are_taken_from_any_segment(flags):
    """A NOP, an unknown option, MSS."""
    options = bytes.fromhex("01 fd03aa 020405b4")
    octets = summed(bytes(12) + bytes([7 << 4, flags]) + bytes(6) + options + b"data")
    segment = tcp.parse(octets, SRC, DST)
    assert (segment.options, segment.payload) == (TcpOptions(mss=1460), b"data")


@pytest.mark.req("9293-MUST-7")
def test_an_illegal_option_length_refuses_the_segment():
    octets = summed(bytes(12) + b"\x60\x02" + bytes(6) + bytes.fromhex("02000000"))
    with pytest.raises(MalformedPacket, match=r"^TCP: option 2 has length 0, with 4 octets of options left$"):
        tcp.parse(octets, SRC, DST)
