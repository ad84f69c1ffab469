"""A server with a client beside it, and an attacker behind a router who can put any address on what he sends.

    client (10.0.0.1) ---- link ---- port 0  server  port 1 ---- router (192.0.2.1) ---- everybody else

What the attacker sends arrives at port 1 in batches, as from a fast link; what the server answers there is kept in
`answers` for those who look, and goes nowhere.
"""

import random

from stack import fastpath
from stack.addresses import Network as Subnet
from stack.addresses import ipv4, mac
from stack.clock import SECOND
from stack.config import ArpConfig, HostConfig, InterfaceConfig, RouteConfig
from stack.host import Host
from stack.transport.tcp.connection import Connection
from stack.virtual.link import LinkProfile
from stack.virtual.network import Network
from stack.wire import arp, ethernet, tcp
from stack.wire import ipv4 as ip
from stack.wire.tcp import Segment
from tests.virtual.hosts import make_host

MASK = 0xFFFF_FFFF
SERVER, CLIENT = ipv4("10.0.0.2"), ipv4("10.0.0.1")
PUBLIC, ROUTER = ipv4("192.0.2.2"), ipv4("192.0.2.1")
MALLORY = ipv4("198.51.100.66")
SERVER_MAC, PUBLIC_MAC, ROUTER_MAC = (mac(f"02:00:00:00:00:{n}") for n in ("02", "12", "11"))
PORT = 80
BATCH = 250


def segment_frame(segment: Segment, src: int, dst: int = PUBLIC) -> bytes:
    return ip_frame(ip.PROTOCOL_TCP, tcp.build(segment, src, dst, fastpath.checksum), src, dst)


def ip_frame(protocol: int, payload: bytes, src: int = MALLORY, dst: int = PUBLIC, **fields) -> bytes:
    packet = ip.build(ip.Ipv4Header(src, dst, protocol, **fields), payload, fastpath.checksum)
    return ethernet.build(ethernet.EthernetHeader(PUBLIC_MAC, ROUTER_MAC, ethernet.ETHERTYPE_IPV4), packet)


def make_server(prefix: int = 24, arp: dict[str, int] | None = None, **config) -> Host:
    """`prefix` is the length of the network before the router."""
    interfaces = (
        InterfaceConfig(SERVER_MAC, SERVER, 24),
        InterfaceConfig(PUBLIC_MAC, PUBLIC, prefix, name="eth1"),
    )
    routes = (RouteConfig(Subnet.of(ipv4("0.0.0.0"), 0), ROUTER),)
    arp_config = ArpConfig(reachable_time=10**6 * SECOND, **(arp or {}))
    whole = HostConfig(interfaces, routes, arp=arp_config, **config)
    return Host(whole, secret=b"s" * 16, random=random.Random(2))


class Scene:
    def __init__(self, profile: LinkProfile | None = None, **config) -> None:
        self.network = Network(1)
        self.server = self.network.add(make_server(**config))
        self.client = self.network.add(make_host(1))
        self.network.connect(self.client, self.server, profile)
        self.answers: list[tuple[ip.Ipv4Header, Segment]] | None = None
        self._announce_router()

    @property
    def now(self) -> int:
        return self.network.now

    def run(self, duration: int) -> None:
        self.network.run(self.now + duration)

    def attack(self, frames: list[bytes]) -> None:
        """`frames` arrive now, as fast as the server takes them."""
        for start in range(0, len(frames), BATCH):
            self.server.receive(1, frames[start : start + BATCH], self.now)
            self.server.dispatch(self.now)
            self._collect()
        self.network.settle()

    def ask(self, segment: Segment, src: int = MALLORY) -> list[Segment]:
        """What the server answers to one segment."""
        self._collect()  # what it had to send before
        self.answers = []
        self.attack([segment_frame(segment, src)])
        answers, self.answers = self.answers, None
        return [answer for header, answer in answers if header.dst == src]

    def after(self, duration: int) -> list[Segment]:
        """What the server says to the world meanwhile."""
        self.answers = []
        self._collect()
        end = self.now + duration
        while (deadline := self.server.deadline()) is not None and deadline <= end:
            self.network.now = max(self.now, deadline)
            self.server.advance(self.now)
            self.server.dispatch(self.now)
            self._collect()
        self.network.now = end
        answers, self.answers = self.answers, None
        return [answer for _, answer in answers]

    def written(self, connection: Connection, data: bytes) -> list[Segment]:
        """What the server sends when its application writes `data`."""
        self.answers = []
        self.server.write(connection, data, self.now)
        self._collect()
        answers, self.answers = self.answers, None
        return [answer for _, answer in answers]

    def _collect(self) -> None:
        while ring := self.server.take_frames(1):
            if self.answers is not None:
                self.answers += [_segment_of(frame) for frame in ring if _has_segment(frame)]
            ring.clear()

    def _announce_router(self) -> None:
        for operation in (arp.REQUEST, arp.REPLY):  # by the first it is learnt, by the second believed
            packet = arp.build(arp.ArpPacket(operation, ROUTER_MAC, ROUTER, PUBLIC_MAC, PUBLIC))
            header = ethernet.EthernetHeader(PUBLIC_MAC, ROUTER_MAC, ethernet.ETHERTYPE_ARP)
            self.server.receive(1, [ethernet.build(header, packet)], self.now)


def _has_segment(frame: memoryview) -> bool:
    return frame[12:14] == b"\x08\x00" and frame[23] == ip.PROTOCOL_TCP


def _segment_of(frame: memoryview) -> tuple[ip.Ipv4Header, Segment]:
    _, packet = ethernet.parse(bytes(frame))
    header, payload = ip.parse(packet)
    return header, tcp.parse(payload, header.src, header.dst)
