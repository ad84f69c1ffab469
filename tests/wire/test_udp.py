"""UDP headers, lengths and the checksum's two zeros."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import ChecksumMismatch, MalformedPacket
from stack.wire import udp
from stack.wire.checksum import internet_checksum
from stack.wire.udp import UdpHeader

SRC, DST = 0x0A000001, 0x0A000002

ports = st.integers(0, 0xFFFF)
addresses = st.integers(0, 2**32 - 1)


@given(ports, ports, st.binary(max_size=60), addresses, addresses)
def test_what_is_built_parses_to_the_same(src_port, dst_port, payload, src, dst):
    octets = udp.build(UdpHeader(src_port, dst_port), payload, src, dst)
    assert udp.parse(octets, src, dst) == (UdpHeader(src_port, dst_port), payload)
    assert udp.build(*udp.parse(octets, src, dst), src, dst) == octets


@pytest.mark.req("768-3")
@given(st.binary(max_size=61))
def test_the_checksum_covers_the_pseudo_header_of_rfc_768(payload):
    octets = udp.build(UdpHeader(1024, 53), payload, SRC, DST)
    pseudo = struct.pack("!IIBBH", SRC, DST, 0, 17, 8 + len(payload))
    assert internet_checksum(pseudo + octets) == 0


@pytest.mark.req("768-2")
def test_a_checksum_of_zero_is_sent_as_all_ones():
    zero = udp.build(UdpHeader(0, 0), b"\0\0", SRC, DST)
    filler = zero[6:8]  # as data, it brings the sum to 0xFFFF and so the checksum to 0
    octets = udp.build(UdpHeader(0, 0), filler, SRC, DST)
    assert octets[6:8] == b"\xff\xff"
    assert udp.parse(octets, SRC, DST)[1] == filler


@pytest.mark.req("768-4")
def test_a_checksum_field_of_zero_is_not_verified():
    octets = bytes.fromhex("0400 0035 000a 0000") + b"hi"
    assert udp.parse(octets, SRC, DST) == (UdpHeader(1024, 53), b"hi")


def test_a_wrong_checksum_names_both_numbers():
    octets = udp.build(UdpHeader(1024, 53), b"hi", SRC, DST)
    right = int.from_bytes(octets[6:8], "big")
    wrong = right ^ 0x0101
    with pytest.raises(ChecksumMismatch, match=f"^UDP: checksum is {wrong:#06x}, what arrived sums to {right:#06x}$"):
        udp.parse(octets[:6] + wrong.to_bytes(2, "big") + octets[8:], SRC, DST)


@pytest.mark.req("768-1")
@pytest.mark.parametrize(
    ("octets", "message"),
    [
        ("", "UDP: a header has 8 octets, 0 arrived"),
        ("04000035000800", "UDP: a header has 8 octets, 7 arrived"),
        ("0400003500000000", "UDP: length is 0 octets, the header alone has 8"),
        ("0400003500070000", "UDP: length is 7 octets, the header alone has 8"),
        ("0400003500090000", "UDP: length is 9 octets, 8 arrived"),
    ],
)
def test_lengths_that_cannot_be(octets, message):
    with pytest.raises(MalformedPacket) as caught:
        udp.parse(bytes.fromhex(octets), SRC, DST)
    assert str(caught.value) == message


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_what_lies_behind_the_length_is_left_out(payload, surplus):
    octets = udp.build(UdpHeader(1, 2), payload, SRC, DST)
    assert udp.parse(octets + surplus, SRC, DST)[1] == payload


def test_the_longest_payload():
    assert len(udp.build(UdpHeader(1, 2), bytes(65507), SRC, DST)) == 65515
    with pytest.raises(ValueError, match="the payload has 65508 octets, a datagram carries 65507"):
        udp.build(UdpHeader(1, 2), bytes(65508), SRC, DST)
