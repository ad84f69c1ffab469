"""Frames to be sent over links, each with a number of its own."""

from stack.addresses import Ipv4Address
from stack.wire import ethernet, ipv4

NOT_ECT, ECT_1, ECT_0, CE = range(4)


def numbered(number, size=1000):
    """A frame of `size` octets that no host would understand."""
    return number.to_bytes(8, "big") + bytes(size - 8)


def number_of(frame):
    return int.from_bytes(frame[:8], "big")


def packet(number, ecn, size=1000, vlan=None):
    """An IPv4 packet in a frame of `size` octets."""
    link = ethernet.EthernetHeader(bytes(6), bytes(6), ethernet.ETHERTYPE_IPV4, vlan)
    header = ipv4.Ipv4Header(Ipv4Address(0x0A000001), Ipv4Address(0x0A000002), 253, tos=ecn, identification=number)
    overhead = ethernet.HEADER_LENGTH + 20 + (ethernet.TAG_LENGTH if vlan is not None else 0)
    return ethernet.build(link, ipv4.build(header, bytes(size - overhead)))


def packet_of(frame):
    """Header and payload; raises where the checksum is wrong."""
    _, octets = ethernet.parse(frame)
    return ipv4.parse(octets)
