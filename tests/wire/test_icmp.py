"""ICMP messages, and the datagrams that errors quote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import ChecksumMismatch, MalformedPacket
from stack.wire import icmp, ipv4, udp
from stack.wire.icmp import IcmpMessage
from stack.wire.ipv4 import Ipv4Header

octet = st.integers(0, 255)
messages = st.builds(IcmpMessage, octet, octet, st.integers(0, 2**32 - 1), st.binary(max_size=60))

DATAGRAM = ipv4.build(Ipv4Header(0x0A000001, 0x0A000002, 17), udp.build(UDP := udp.UdpHeader(1024, 9), bytes(92), 1, 2))


@given(messages)
def test_what_is_built_parses_to_the_same(message):
    octets = icmp.build(message)
    assert icmp.parse(octets) == message
    assert icmp.build(icmp.parse(octets)) == octets


@pytest.mark.req("792-1")
@given(messages, st.integers(1, 0xFFFE))
def test_a_wrong_checksum_is_a_mismatch(message, delta):
    octets = icmp.build(message)
    wrong = (int.from_bytes(octets[2:4], "big") + delta) % 0xFFFF
    with pytest.raises(ChecksumMismatch, match=f"^ICMP: checksum is {wrong:#06x}, what arrived sums to "):
        icmp.parse(octets[:2] + wrong.to_bytes(2, "big") + octets[4:])


def test_a_known_echo_request():
    """Identifier 0x3248, sequence number 1."""
    octets = icmp.build(IcmpMessage(icmp.ECHO_REQUEST, 0, 0x3248_0001, bytes(range(9))))
    assert octets == bytes.fromhex("0800b1a632480001000102030405060708")


@pytest.mark.parametrize("size", range(8))
def test_less_than_a_header(size):
    with pytest.raises(MalformedPacket, match=f"^ICMP: a header has 8 octets, {size} arrived$"):
        icmp.parse(bytes(size))


@pytest.mark.req("792-3", "792-4")
def test_numbers_of_rfc_792():
    assert (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED) == (3, 4)
    assert (icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, icmp.REASSEMBLY_TIME_EXCEEDED) == (11, 0, 1)
    assert {3, 4, 5, 11, 12} == icmp.ERROR_TYPES


def test_a_whole_quoted_datagram():
    header, text = icmp.parse_quoted(DATAGRAM)
    assert (header.src, header.dst, header.protocol) == (0x0A000001, 0x0A000002, 17)
    assert text == DATAGRAM[20:]
    assert isinstance(text, memoryview)


@pytest.mark.parametrize("size", [28, 29, 119])
def test_a_quote_may_be_cut_short(size):
    header, text = icmp.parse_quoted(DATAGRAM[:size])
    assert header == ipv4.parse(DATAGRAM)[0]
    assert text == DATAGRAM[20:size]


@pytest.mark.parametrize("size", range(20))
def test_a_quote_without_a_header(size):
    with pytest.raises(MalformedPacket, match=f"^IPv4: a header has 20 octets, {size} arrived$"):
        icmp.parse_quoted(DATAGRAM[:size])


@pytest.mark.parametrize("size", range(20, 28))
def test_a_quote_with_less_than_eight_octets_of_data(size):
    message = f"^ICMP: an error quotes at least 28 octets of this datagram, {size} arrived$"
    with pytest.raises(MalformedPacket, match=message):
        icmp.parse_quoted(DATAGRAM[:size])


def test_a_quote_with_options_needs_eight_octets_behind_them():
    octets = ipv4.build(Ipv4Header(1, 2, 17, options=bytes(8)), b"12345678")
    assert icmp.parse_quoted(octets)[1] == b"12345678"
    with pytest.raises(MalformedPacket, match="at least 36 octets of this datagram, 35 arrived"):
        icmp.parse_quoted(octets[:-1])


def test_what_routers_did_to_a_quote_does_not_matter():
    """TTL decremented without the checksum, checksum zeroed, total length in the wrong octet order."""
    changed = bytearray(DATAGRAM)
    changed[8] -= 1
    changed[10:12] = bytes(2)
    changed[2:4] = b"\x78\x00"
    header, text = icmp.parse_quoted(changed)
    assert header.ttl == 63
    assert text == DATAGRAM[20:]


@pytest.mark.parametrize("total", [0, 20, 27])
def test_a_total_length_that_leaves_no_eight_octets_is_not_believed(total):
    octets = DATAGRAM[:2] + total.to_bytes(2, "big") + DATAGRAM[4:]
    assert icmp.parse_quoted(octets)[1] == DATAGRAM[20:]


def test_padding_and_extensions_are_no_data_of_a_short_datagram():
    """RFC 4884 section 4.1: the quote is padded to 128 octets, then extensions follow."""
    short = ipv4.build(Ipv4Header(1, 2, 17), udp.build(UDP, b"data", 1, 2))
    extended = short.ljust(128, b"\0") + bytes.fromhex("2000dfff")
    assert icmp.parse_quoted(extended)[1] == short[20:]
