"""The far end of the host's one cable: it answers ARP for everybody, and keeps the datagrams that are sent."""

from collections.abc import Sequence

from stack.addresses import Ipv4Address
from stack.clock import Instant
from stack.host import Host
from stack.pkt.settings import GATEWAY_MAC, STACK_MAC
from stack.wire import arp, ethernet
from stack.wire.ethernet import ETHERTYPE_ARP, ETHERTYPE_IPV4, EthernetHeader


class Cable:
    """Carries IPv4 datagrams to and from `host`, whose own address is `local_ip`."""

    def __init__(self, host: Host, local_ip: Ipv4Address) -> None:
        self._host = host
        self._local_ip = local_ip

    def send(self, datagrams: Sequence[bytes], now: Instant) -> None:
        """`datagrams` arrive at the host, as one batch."""
        header = EthernetHeader(STACK_MAC, GATEWAY_MAC, ETHERTYPE_IPV4)
        self._host.receive(0, [ethernet.build(header, each) for each in datagrams], now)

    def collect(self, now: Instant) -> list[bytes]:
        """What the host sends now."""
        datagrams: list[bytes] = []
        while ring := self._host.take_frames(0):
            frames = [bytes(frame) for frame in ring]
            ring.clear()
            for frame in frames:
                header, payload = ethernet.parse(frame)
                if header.ethertype == ETHERTYPE_ARP:
                    self._answer(arp.parse(payload), now)
                else:
                    datagrams.append(bytes(payload))
        return datagrams

    def _answer(self, asked: arp.ArpPacket, now: Instant) -> None:
        if asked.operation != arp.REQUEST or asked.target_address == self._local_ip:
            return
        answer = arp.ArpPacket(arp.REPLY, GATEWAY_MAC, asked.target_address, asked.sender_mac, asked.sender_address)
        header = EthernetHeader(asked.sender_mac, GATEWAY_MAC, ETHERTYPE_ARP)
        self._host.receive(0, [ethernet.build(header, arp.build(answer))], now)
