"""Whatever arrives, a parser returns a value or raises MalformedPacket; and its payloads are views, not copies."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import MalformedPacket
from stack.wire import arp, ethernet, icmp, ipv4, tcp, tcp_options, udp

SRC, DST = 0x0A000001, 0x0A000002


def right(data, initial):
    """A checksum that always verifies, so that chance gets behind it."""
    return 0


PARSERS: dict[str, Callable] = {
    "ethernet": ethernet.parse,
    "arp": arp.parse,
    "ipv4": lambda octets: ipv4.parse(octets, right),
    "ipv4 verified": ipv4.parse,
    "ipv4 options": lambda octets: ipv4.parse_options(bytes(octets)),
    "icmp": lambda octets: icmp.parse(octets, right),
    "icmp verified": icmp.parse,
    "icmp quoted": icmp.parse_quoted,
    "udp": lambda octets: udp.parse(octets, SRC, DST, right),
    "udp verified": lambda octets: udp.parse(octets, SRC, DST),
    "tcp": lambda octets: tcp.parse(octets, SRC, DST, right),
    "tcp verified": lambda octets: tcp.parse(octets, SRC, DST),
    "tcp options": tcp_options.parse,
}


def parse_deeply(frame, checksum):
    """Take a frame apart as far as it goes, as a host would."""
    link, payload = ethernet.parse(frame)
    if link.ethertype == ethernet.ETHERTYPE_ARP:
        return arp.parse(payload)
    header, text = ipv4.parse(payload, checksum)
    ipv4.parse_options(header.options)
    if header.protocol == ipv4.PROTOCOL_TCP:
        return tcp.parse(text, header.src, header.dst, checksum)
    if header.protocol == ipv4.PROTOCOL_UDP:
        return udp.parse(text, header.src, header.dst, checksum)
    message = icmp.parse(text, checksum)
    return icmp.parse_quoted(message.payload) if message.type in icmp.ERROR_TYPES else message


def outcome(parse, octets):
    """What `parse` returns, or the text of its MalformedPacket; any other exception is the test's failure."""
    try:
        return parse(octets)
    except MalformedPacket as error:
        layer, _, text = str(error).partition(": ")
        assert layer in ("Ethernet", "ARP", "IPv4", "ICMP", "UDP", "TCP")
        assert text
        return str(error)


@pytest.mark.parametrize("name", PARSERS)
@given(octets=st.binary(max_size=80), kind=st.sampled_from([bytes, bytearray, memoryview]))
def test_any_octets_parse_or_raise_malformed_packet(name, octets, kind):
    assert outcome(PARSERS[name], kind(octets)) == outcome(PARSERS[name], octets)


# Octets that are likely to pass the first checks, so that the later ones are met as well.
LIKELY = {
    "ipv4": (bytes.fromhex("45"), 0),
    "icmp quoted": (bytes.fromhex("46"), 0),
    "tcp": (bytes.fromhex("70"), 12),
    "udp": (bytes.fromhex("0010"), 4),
    "ethernet": (bytes.fromhex("8100"), 12),
    "arp": (bytes.fromhex("00010800060400"), 0),
}


@pytest.mark.parametrize("name", LIKELY)
@given(octets=st.binary(min_size=8, max_size=80))
def test_likely_octets_parse_or_raise_malformed_packet(name, octets):
    field, at = LIKELY[name]
    outcome(PARSERS[name], octets[:at] + field + octets[at + len(field) :])


def test_every_truncation_is_malformed(captured, frame_name):
    """A frame cut anywhere is no packet any more: each of the protocols says its own length."""
    frame = captured[frame_name]
    for size in range(len(frame)):
        result = outcome(lambda octets: parse_deeply(octets, right), frame[:size])
        assert isinstance(result, str), size


@given(data=st.data())
def test_mutated_packets_parse_or_raise_malformed_packet(captured, data):
    frame = bytearray(captured[data.draw(st.sampled_from(sorted(captured)))])
    at = st.integers(ethernet.HEADER_LENGTH - 2, len(frame) - 1)
    for position, octet in data.draw(st.lists(st.tuples(at, st.integers(0, 255)), min_size=1, max_size=6)):
        frame[position] = octet
    outcome(lambda octets: parse_deeply(octets, right), frame)


def test_payloads_are_views_of_what_was_parsed():
    frame = bytearray(80)
    frame[14:16] = b"\x45\x00"
    frame[16:18] = (60).to_bytes(2, "big")
    frame[46] = 0x50
    for payload in (
        ethernet.parse(frame)[1],
        ipv4.parse(memoryview(frame)[14:], right)[1],
        icmp.parse(frame, right).payload,
        tcp.parse(memoryview(frame)[34:], SRC, DST, right).payload,
    ):
        assert isinstance(payload, memoryview)
        assert payload.obj is frame
