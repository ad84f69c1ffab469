"""What names a connection, and what TCP asks of the layers below."""

from typing import NamedTuple, Protocol

from stack.addresses import Ipv4Address
from stack.clock import Instant
from stack.octets import Octets


class FlowKey(NamedTuple):
    """The two sockets of a connection (RFC 9293 section 3.4); equal, and of equal hash, to the bare tuple."""

    local_addr: Ipv4Address
    local_port: int
    remote_addr: Ipv4Address
    remote_port: int


class Path(Protocol):
    """The way to the remote end of one flow."""

    @property
    def link_mtu(self) -> int:
        """The MTU of the interface that the path leaves by, in octets."""

    def mtu(self, now: Instant) -> int:
        """The largest IP datagram that gets through as far as is known (RFC 1191), in octets."""

    def send(
        self,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        options: bytes,
        payload: Octets,
        mss: int,
        now: Instant,
        tos: int = 0,
        urgent: int = 0,
    ) -> int:
        """Send `payload` as segments of at most `mss` octets each (without payload: one segment).

        Returns how many octets went, or -1 when there is no room for even one segment: try again once the frames
        waiting have been taken. FIN and PSH go with the last octet only, CWR with the first. `tos` is the octet
        of the datagrams that has the DS field and, in its lower two bits, that of ECN. With URG, `urgent` is how far
        the urgent octets reach from `seq` on.
        """

    def confirm(self, now: Instant) -> None:
        """The remote end has acknowledged something new: the next hop is alive (RFC 1122 2.3.2.1)."""

    def doubt(self, now: Instant) -> None:
        """The remote end is silent: the next hop may be dead (RFC 9293 3.8.3, R1)."""

    def reduce_mtu(self, mtu: int, sent: int, now: Instant) -> None:
        """A router reported that of `sent` octets only `mtu` get through (0: it did not say how many)."""


class PathFinder(Protocol):
    """Who knows the ways."""

    def path(self, key: FlowKey) -> Path:
        """The way to `key`'s remote end. Raises OSError(ENETUNREACH)."""

    def source_for(self, remote: Ipv4Address) -> Ipv4Address:
        """The address of ours that faces `remote`. Raises OSError(ENETUNREACH)."""

    def is_broadcast(self, address: Ipv4Address) -> bool:
        """Whether `address` is a broadcast address as seen from here."""


class RandomSource(Protocol):
    """Where unpredictable bits come from: random.SystemRandom or, for a run to be repeated, a seeded one."""

    def getrandbits(self, k: int, /) -> int:
        """An int of `k` random bits."""


class IcmpReport(Protocol):
    """An ICMP error about a segment that we sent: RFC 792's fields, and what it quotes."""

    type: int
    code: int
    next_hop_mtu: int
    src: Ipv4Address  # of the quoted datagram: ours
    dst: Ipv4Address
    is_local: bool  # our own next hop does not answer ARP
    quoted: Octets  # the quoted TCP header, at least its first eight octets
