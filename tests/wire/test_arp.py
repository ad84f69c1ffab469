"""ARP packets of Ethernet and IPv4, and the refusal of all others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import MalformedPacket
from stack.wire import arp
from stack.wire.arp import ArpPacket

REQUEST = bytes.fromhex("0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002")

macs = st.binary(min_size=6, max_size=6)
addresses = st.integers(0, 2**32 - 1)
packets = st.builds(ArpPacket, st.sampled_from([arp.REQUEST, arp.REPLY]), macs, addresses, macs, addresses)


@given(packets, st.binary(max_size=20))
def test_what_is_built_parses_to_the_same_whatever_pads_it(packet, padding):
    assert arp.parse(arp.build(packet) + padding) == packet


@given(st.binary(min_size=20, max_size=20), st.sampled_from([1, 2]))
def test_what_is_parsed_builds_to_the_same(addresses, operation):
    octets = REQUEST[:7] + bytes([operation]) + addresses
    assert arp.build(arp.parse(octets)) == octets


@pytest.mark.req("826-7")
@pytest.mark.parametrize("size", range(28))
def test_short_packets_are_refused(size):
    with pytest.raises(MalformedPacket, match=f"^ARP: a packet has 28 octets, the frame carries {size}$"):
        arp.parse(REQUEST[:size])


@pytest.mark.req("826-6")
@pytest.mark.parametrize(
    ("at", "octets", "message"),
    [
        (0, "0006", "ARP: hardware type is 6, Ethernet's is 1"),
        (2, "86dd", "ARP: protocol type is 0x86dd, IPv4's is 0x0800"),
        (4, "08", "ARP: hardware address length is 8, Ethernet's is 6"),
        (5, "10", "ARP: protocol address length is 16, IPv4's is 4"),
        (6, "0003", "ARP: operation is 3, a request's is 1 and a reply's 2"),
    ],
)
def test_other_kinds_are_refused(at, octets, message):
    field = bytes.fromhex(octets)
    with pytest.raises(MalformedPacket) as caught:
        arp.parse(REQUEST[:at] + field + REQUEST[at + len(field) :])
    assert str(caught.value) == message
