"""One host of one or more interfaces, and every neighbour it may have, in virtual time: frames in, frames out."""

import random
from dataclasses import dataclass, replace

from stack.addresses import BROADCAST_MAC, UNSPECIFIED_MAC, Ipv4Address, MacAddress, interface_address, ipv4
from stack.addresses import network as parse_network
from stack.clock import SECOND
from stack.config import HostConfig, InterfaceConfig, RouteConfig
from stack.host import Host
from stack.wire import arp, ethernet, icmp, udp
from stack.wire import ipv4 as ip
from stack.wire.arp import ArpPacket
from stack.wire.ethernet import ETHERTYPE_ARP, ETHERTYPE_IPV4, EthernetHeader
from stack.wire.icmp import IcmpMessage
from stack.wire.ipv4 import PROTOCOL_ICMP, PROTOCOL_UDP, Ipv4Header
from stack.wire.udp import UdpHeader

US, PEER, OTHER = ipv4("192.0.2.1"), ipv4("192.0.2.2"), ipv4("192.0.2.3")
BROADCAST, GATEWAY, FAR = ipv4("192.0.2.255"), ipv4("192.0.2.254"), ipv4("198.51.100.7")
EVERYBODY = ipv4("255.255.255.255")
OUR_MAC = MacAddress(b"\x02\x00\x00\x00\x00\x01")


def mac_of(address: int) -> MacAddress:
    """Where a neighbour of the host is found."""
    return MacAddress(b"\x02\x01" + address.to_bytes(4, "big"))


def our_mac(port: int) -> MacAddress:
    """The host's own address on an interface."""
    return MacAddress(OUR_MAC[:5] + bytes((port + 1,)))


def interface(address: str, port: int = 0, mtu: int = 1500) -> InterfaceConfig:
    """An interface with an address written as "192.0.2.1/24"."""
    return InterfaceConfig(our_mac(port), *interface_address(address), mtu, f"eth{port}")


def default_route(*gateways: Ipv4Address) -> tuple[RouteConfig, ...]:
    """A default route by each of the gateways."""
    return tuple(RouteConfig(parse_network("0.0.0.0/0"), gateway) for gateway in gateways)


@dataclass(slots=True)
class Sent:
    """An IPv4 datagram of the host, as a neighbour saw it."""

    at: int
    port: int
    link: EthernetHeader
    header: Ipv4Header
    payload: bytes

    @property
    def icmp(self) -> IcmpMessage:
        message = icmp.parse(self.payload)
        return replace(message, payload=bytes(message.payload))

    @property
    def udp(self) -> tuple[UdpHeader, bytes]:
        ports, data = udp.parse(self.payload, self.header.src, self.header.dst)
        return ports, bytes(data)


class Lab:
    """The host under test. Its neighbours answer ARP, but for those in `silent`; requests are kept in `arps`."""

    def __init__(self, *interfaces: str, routes=None, mtu=1500, settled=True, **config):
        addresses = interfaces or ("192.0.2.1/24",)
        configured = tuple(interface(each, port, mtu) for port, each in enumerate(addresses))
        whole = HostConfig(configured, default_route(GATEWAY) if routes is None else routes, **config)
        self.host = Host(whole, secret=bytes(32), random=random.Random(1))
        self.now = 0
        self.silent: set[int] = set()
        self.frames: list[tuple[int, EthernetHeader, bytes]] = []
        self.arps: list[tuple[int, int, ArpPacket]] = []  # (when, port, packet)
        self.sent: list[Sent] = []
        if settled:
            self.advance(10 * SECOND)  # the address is announced
            self.arps.clear()

    @property
    def counters(self):
        return self.host.counters

    # In

    def receive(self, payload, ethertype=ETHERTYPE_IPV4, dst=None, src=None, port=0):
        """A frame arrives; what the host sends at once because of it."""
        self.take()
        header = EthernetHeader(our_mac(port) if dst is None else dst, src or mac_of(PEER), ethertype)
        self.host.receive(port, [ethernet.build(header, payload)], self.now)
        return self.take()

    def datagram(self, payload, protocol=PROTOCOL_UDP, src=PEER, dst=US, link=None, port=0, **fields):
        return self.receive(ip.build(Ipv4Header(src, dst, protocol, **fields), payload), dst=link, port=port)

    def icmp(self, *message, **where):
        return self.datagram(icmp.build(IcmpMessage(*message)), PROTOCOL_ICMP, **where)

    def echo(self, data=b"ping", **where):
        return self.icmp(icmp.ECHO_REQUEST, 0, 0x00070001, data, **where)

    def udp(self, dst_port, data=b"", src_port=4000, src=PEER, dst=US, **where):
        return self.datagram(udp.build(UdpHeader(src_port, dst_port), data, src, dst), src=src, dst=dst, **where)

    def arp(self, operation, sender=PEER, target=US, sender_mac=None, target_mac=UNSPECIFIED_MAC, dst=BROADCAST_MAC):
        packet = ArpPacket(operation, sender_mac or mac_of(sender), sender, target_mac, target)
        return self.receive(arp.build(packet), ETHERTYPE_ARP, dst, packet.sender_mac)

    def quote(self, kind, code, sent, rest=0, src=PEER, octets=28, **where):
        """An ICMP error about a datagram of the host's."""
        text = ip.build(sent.header, sent.payload)[:octets]
        return self.icmp(kind, code, rest, text, src=src, **where)

    # Out

    def take(self) -> list[Sent]:
        """What the host has sent since the last time, ARP answered."""
        self._collect()
        taken, self.sent = self.sent, []
        return taken

    def advance(self, duration: int) -> list[Sent]:
        """Let time pass."""
        end = self.now + duration
        self._collect()
        for _ in range(100_000):
            deadline = self.host.deadline()
            if deadline is None or deadline > end:
                break
            self.now = max(self.now, deadline)
            self.host.advance(self.now)
            self._collect()
        else:
            raise AssertionError("a timer that never stops firing")
        self.now = end
        self.host.advance(end)
        return self.take()

    def _collect(self) -> None:
        for port in range(len(self.host.interfaces)):
            while ring := self.host.take_frames(port):
                frames = [bytes(frame) for frame in ring]
                ring.clear()
                for frame in frames:
                    self._on_frame(port, frame)

    def _on_frame(self, port: int, frame: bytes) -> None:
        header, payload = ethernet.parse(frame)
        self.frames.append((port, header, bytes(payload)))
        if header.ethertype == ETHERTYPE_IPV4:
            packet, content = ip.parse(payload)
            self.sent.append(Sent(self.now, port, header, packet, bytes(content)))
            return
        request = arp.parse(payload)
        self.arps.append((self.now, port, request))
        asked = request.target_address
        ours = {each.address for each in self.host.interfaces}
        if request.operation == arp.REQUEST and asked not in ours | self.silent:
            reply = ArpPacket(arp.REPLY, mac_of(asked), asked, request.sender_mac, request.sender_address)
            back = EthernetHeader(request.sender_mac, mac_of(asked), ETHERTYPE_ARP)
            self.host.receive(port, [ethernet.build(back, arp.build(reply))], self.now)
