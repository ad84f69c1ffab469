"""An Ethernet interface: frames in and out, and ARP (RFC 826, RFC 894)."""

from collections.abc import Callable
from typing import Final

from stack.addresses import (
    BROADCAST_MAC,
    UNSPECIFIED,
    UNSPECIFIED_MAC,
    Ipv4Address,
    MacAddress,
    can_be_a_source,
    is_group_mac,
    is_multicast,
)
from stack.clock import Instant, TimerQueue
from stack.config import ArpConfig, InterfaceConfig
from stack.counters import Counters
from stack.errors import MalformedPacket
from stack.fastpath.ring import FrameRing
from stack.link.conflict import AddressClaim, RandomSource
from stack.link.neighbors import NeighborTable
from stack.octets import Octets
from stack.wire import arp, ethernet
from stack.wire.arp import ArpPacket
from stack.wire.ethernet import ETHERTYPE_ARP, ETHERTYPE_IPV4, EthernetHeader

_RING_FRAMES: Final = 512
_MULTICAST_PREFIX: Final = 0x01005E000000  # RFC 1112 6.4
_MULTICAST_BITS: Final = 0x7FFFFF


class Interface:
    """One interface and its address. `tx` holds the frames to send, until somebody takes them."""

    def __init__(
        self,
        index: int,
        config: InterfaceConfig,
        arp_config: ArpConfig,
        counters: Counters,
        timers: TimerQueue,
        random: RandomSource,
    ) -> None:
        self.index = index
        self.name = config.name
        self.mac = config.mac
        self.mtu = config.mtu
        self.address = config.address
        self.network = config.network
        self.offload = config.offload
        self.tx = FrameRing.of_link(config.mtu, offload=config.offload, max_frames=_RING_FRAMES)
        self.on_ipv4: Callable[[Interface, memoryview, bool, Instant], None] | None = None
        self.on_unreachable: Callable[[Ipv4Address, list[bytes], Instant], None] | None = None
        self._counters = counters
        self._claim = AddressClaim(arp_config, timers, random, self._probe, self._announce)
        self.neighbors = NeighborTable(
            arp_config, counters, timers, self._request, self._transmit_ipv4, self._on_resolution_failure
        )

    @property
    def is_bound(self) -> bool:
        """Whether the address is ours to use (RFC 5227)."""
        return self._claim.is_bound

    def start(self, now: Instant) -> None:
        """Claim the address."""
        self._claim.start(now)

    def receive_frame(self, frame: memoryview, now: Instant) -> None:
        """A frame has arrived."""
        counters = self._counters
        try:
            header, payload = ethernet.parse(frame)
        except MalformedPacket:
            counters["EthInMalformed"] += 1
            return
        group = is_group_mac(header.dst)
        if header.dst != self.mac and not group:
            counters["EthInNotForUs"] += 1
        elif header.vlan is not None:
            counters["EthInVlanTagged"] += 1
        elif header.ethertype == ETHERTYPE_IPV4:
            if self.on_ipv4 is not None:
                self.on_ipv4(self, payload, group, now)
        elif header.ethertype == ETHERTYPE_ARP:
            self._receive_arp(payload, now)
        else:
            counters["EthInUnknownType"] += 1

    def send_packet(self, packet: bytes, next_hop: Ipv4Address, now: Instant) -> None:
        """Send an IPv4 packet to a neighbour, or to a group or broadcast address of this link."""
        if next_hop == self.network.broadcast or next_hop == 0xFFFF_FFFF:
            self._transmit_ipv4(BROADCAST_MAC, packet)
        elif is_multicast(next_hop):
            group = _MULTICAST_PREFIX | next_hop & _MULTICAST_BITS
            self._transmit_ipv4(MacAddress(group.to_bytes(6, "big")), packet)
        else:
            self.neighbors.send(next_hop, packet, now)

    def resolve(self, next_hop: Ipv4Address, now: Instant) -> MacAddress | None:
        """The MAC address of a neighbour, or None while it is not known."""
        return self.neighbors.resolve(next_hop, now)

    def confirm(self, next_hop: Ipv4Address, now: Instant) -> None:
        """Something beyond `next_hop` has answered (RFC 1122 2.3.2.1)."""
        self.neighbors.confirm(next_hop, now)

    def doubt(self, next_hop: Ipv4Address, now: Instant) -> None:
        """Something beyond `next_hop` has not answered for some time (RFC 1122 3.3.1.4)."""
        self.neighbors.doubt(next_hop, now)

    def transmit(self, dst: MacAddress, ethertype: int, payload: Octets) -> None:
        """Send a frame; dropped, and counted, when the ring is full."""
        if not self.tx.append(ethernet.build(EthernetHeader(dst, self.mac, ethertype), payload)):
            self._counters["EthOutRingFull"] += 1

    def _transmit_ipv4(self, mac: MacAddress, packet: bytes) -> None:
        self.transmit(mac, ETHERTYPE_IPV4, packet)

    def _receive_arp(self, payload: memoryview, now: Instant) -> None:
        counters = self._counters
        try:
            packet = arp.parse(payload)
        except MalformedPacket:
            counters["ArpInMalformed"] += 1
            return
        counters["ArpInRequests" if packet.operation == arp.REQUEST else "ArpInReplies"] += 1
        sender = packet.sender_address
        if is_group_mac(packet.sender_mac) or (sender != UNSPECIFIED and not can_be_a_source(sender)):
            counters["ArpInInvalidSender"] += 1
            return
        if self._is_conflict(packet):
            counters["ArpInConflicts"] += 1
            self._claim.on_conflict(now)
            return
        if packet.sender_mac == self.mac:
            return  # our own, come back
        known = sender != UNSPECIFIED and self.neighbors.update(sender, packet.sender_mac, now)
        if not self.is_bound or packet.target_address != self.address:
            if not known:
                counters["ArpInUnsolicited"] += 1
            return
        if packet.operation == arp.REQUEST:
            # RFC 826 learns from every request for us; only neighbours are remembered, and only as long as there is
            # room for those that we ask for ourselves: the table evicts by use.
            if not known and sender in self.network:
                self.neighbors.learn(sender, packet.sender_mac, now)
            reply = ArpPacket(arp.REPLY, self.mac, self.address, packet.sender_mac, sender)
            counters["ArpOutReplies"] += 1
            self.transmit(packet.sender_mac, ETHERTYPE_ARP, arp.build(reply))

    def _is_conflict(self, packet: ArpPacket) -> bool:
        if packet.sender_mac == self.mac:
            return False
        if packet.sender_address == self.address:
            return True
        # Another host probes for the same address as we do (RFC 5227 2.1.1).
        probes = packet.operation == arp.REQUEST and packet.sender_address == UNSPECIFIED
        return probes and packet.target_address == self.address and not self.is_bound

    def _request(self, address: Ipv4Address, mac: MacAddress | None, now: Instant) -> None:
        self._counters["ArpOutRequests"] += 1
        packet = ArpPacket(arp.REQUEST, self.mac, self.address, UNSPECIFIED_MAC, address)
        self.transmit(BROADCAST_MAC if mac is None else mac, ETHERTYPE_ARP, arp.build(packet))

    def _probe(self, now: Instant) -> None:
        self._counters["ArpOutProbes"] += 1
        packet = ArpPacket(arp.REQUEST, self.mac, UNSPECIFIED, UNSPECIFIED_MAC, self.address)
        self.transmit(BROADCAST_MAC, ETHERTYPE_ARP, arp.build(packet))

    def _announce(self, now: Instant) -> None:
        self._counters["ArpOutAnnouncements"] += 1
        packet = ArpPacket(arp.REQUEST, self.mac, self.address, UNSPECIFIED_MAC, self.address)
        self.transmit(BROADCAST_MAC, ETHERTYPE_ARP, arp.build(packet))

    def _on_resolution_failure(self, neighbor: Ipv4Address, packets: list[bytes], now: Instant) -> None:
        if self.on_unreachable is not None:
            self.on_unreachable(neighbor, packets, now)
