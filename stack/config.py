"""Every default of the stack, in frozen values: one place to look, one place to change.

Durations are in nanoseconds, sizes in octets, unless a name says otherwise.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from stack.addresses import Ipv4Address, MacAddress, Network
from stack.clock import MILLISECOND, SECOND, Duration
from stack.errors import ConfigurationError

MINIMUM_MTU: Final = 68  # RFC 791: every module must be able to forward 68 octets without fragmentation
MAXIMUM_MTU: Final = 65520  # a TAP's, on Linux


@dataclass(frozen=True, slots=True)
class ArpConfig:
    """ARP (RFC 826, RFC 1122 2.3.2) and address conflict detection (RFC 5227)."""

    probe: bool = False  # probe before use; else the address is used at once and announced
    reachable_time: Duration = 30 * SECOND  # how long a confirmed mapping is trusted
    stale_time: Duration = 600 * SECOND  # how long an unused one is kept after that
    retransmit_interval: Duration = 1 * SECOND  # RFC 1122 2.3.2.1: at most one request a second to one address
    requests: int = 3
    failed_time: Duration = 3 * SECOND  # how long after a failure packets are refused at once
    table_size: int = 1024
    queue_length: int = 64  # packets kept for one unresolved neighbour (RFC 1122 2.3.2.2 asks for at least one)
    probe_wait: Duration = 1 * SECOND  # this and the following: RFC 5227 section 1.1
    probe_number: int = 3
    probe_minimum: Duration = 1 * SECOND
    probe_maximum: Duration = 2 * SECOND
    announce_wait: Duration = 2 * SECOND
    announce_number: int = 2
    announce_interval: Duration = 2 * SECOND
    maximum_conflicts: int = 10
    rate_limit_interval: Duration = 60 * SECOND
    defend_interval: Duration = 10 * SECOND


@dataclass(frozen=True, slots=True)
class Ipv4Config:
    """IPv4 (RFC 791, RFC 1122 3.2 and 3.3)."""

    ttl: int = 64
    reassembly_timeout: Duration = 30 * SECOND  # Linux's; RFC 1122 3.3.2 says 60 to 120, RFC 791 15
    reassembly_memory: int = 4 << 20  # octets of fragments of one host
    reassembly_datagrams: int = 256  # incomplete datagrams of one host
    reassembly_per_source: int = 64
    path_mtu_timeout: Duration = 600 * SECOND  # RFC 1191 6.3: try a larger one after ten minutes
    path_mtu_table_size: int = 1024
    minimum_path_mtu: int = 552  # Linux's floor: a forged ICMP message cannot push it lower (RFC 5927 7.3)

    def __post_init__(self) -> None:
        if not 0 < self.ttl < 256:  # RFC 1122 3.2.1.7: never zero
            raise ConfigurationError(f"a TTL is 1 to 255, not {self.ttl}")


@dataclass(frozen=True, slots=True)
class IcmpConfig:
    """ICMP (RFC 792, RFC 1122 3.2.2, RFC 1812 4.3.2.8)."""

    errors_per_second: int = 1000  # token bucket of error messages
    error_burst: int = 50
    echo_reply: bool = True


@dataclass(frozen=True, slots=True)
class UdpConfig:
    """UDP (RFC 768)."""

    receive_queue: int = 256 << 10  # octets waiting for one socket
    ephemeral_ports: tuple[int, int] = (49152, 65535)  # RFC 6335; chosen as RFC 6056 says


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """TCP (RFC 9293 and those it names), per host and, where given to listen or connect, per connection."""

    receive_buffer: int = 6 << 20  # the most that it grows to, and the largest window that is ever offered
    initial_receive_buffer: int = 128 << 10  # it grows as fast as the application reads (dynamic right-sizing)
    send_buffer: int = 4 << 20  # the most that it grows to
    initial_send_buffer: int = 256 << 10  # it grows with cwnd
    window_scaling: bool = True  # RFC 7323 section 2
    timestamps: bool = True  # RFC 7323 section 3
    sack: bool = True  # RFC 2018
    ecn: Literal["off", "accept", "request"] = "accept"  # RFC 3168: never, when the peer asks for it, ask for it
    scoreboard_records: int = 4096  # pieces into which a peer's selective acknowledgments may cut what is in flight
    maximum_segment_size: int | None = None  # None: what the interface's MTU allows
    minimum_send_mss: int = 48  # a peer that offers less is given this (Linux: tcp_min_snd_mss)
    initial_window_segments: int = 10  # RFC 6928
    congestion: str = "cubic"
    pacing: bool = True  # spread a window over the round trip, where that takes long enough
    dscp: int = 0  # the codepoint of what is sent (RFC 2474), 0 to 63
    nagle: bool = True
    delayed_ack: Duration = 40 * MILLISECOND  # RFC 9293 3.8.6.3 allows up to 500 ms; Linux starts at 40
    initial_rto: Duration = 1 * SECOND  # RFC 6298 2.1
    minimum_rto: Duration = 200 * MILLISECOND  # RFC 6298 2.4 says 1 s; Linux's 200 ms is followed
    maximum_rto: Duration = 60 * SECOND  # RFC 6298 2.5
    retransmit_r1: int = 3  # retransmissions after which the next hop is doubted (RFC 9293 3.8.3)
    user_timeout: Duration | None = 924 * SECOND  # R2 for data (RFC 9293 3.8.3: at least 100 s); None: for ever
    user_timeout_option: bool = False  # tell the peer of it, and adopt what he says (RFC 5482)
    user_timeout_limits: tuple[Duration, Duration] = (100 * SECOND, 3600 * SECOND)  # between these (RFC 5482 3.1)
    syn_timeout: Duration = 190 * SECOND  # R2 for a SYN (RFC 9293 MUST-23: at least 3 minutes)
    syn_received_timeout: Duration = 63 * SECOND  # as Linux's five SYN-ACK retransmissions
    keep_alive: bool = False  # RFC 9293 MUST-25
    keep_alive_idle: Duration = 7200 * SECOND
    keep_alive_interval: Duration = 75 * SECOND
    keep_alive_probes: int = 9
    maximum_segment_lifetime: Duration = 30 * SECOND  # 2 MSL is then Linux's 60 s; RFC 9293 3.4.2 says 120 s
    fin_wait_2_timeout: Duration = 60 * SECOND  # only once the application has closed (RFC 9293 3.6, Linux)
    orphan_timeout: Duration = 100 * SECOND  # a connection nobody holds, while its peer acknowledges nothing new
    orphan_lifetime: Duration = 600 * SECOND  # one whose peer acknowledges a little now and then
    orphan_limit: int = 4096  # connections of the host that nobody holds (Linux: tcp_max_orphans)
    out_of_order_ranges: int = 1024  # holes remembered by one connection
    challenge_acks_per_second: int = 10  # of one connection (RFC 5961 section 7)
    backlog: int = 1024  # connections of one listener that wait to be accepted
    syn_backlog: int = 1024  # half-open connections of one listener; beyond these, SYN cookies
    connection_limit: int = 65536  # connections of the host, but for those in TIME-WAIT and those half open
    memory_limit: int = 256 << 20  # octets that all connections of the host hold in their buffers
    time_wait_limit: int = 65536
    ephemeral_ports: tuple[int, int] = (49152, 65535)  # RFC 6335; chosen as RFC 6056 says

    def __post_init__(self) -> None:
        try:
            check_dscp(self.dscp)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None


def check_dscp(codepoint: int) -> None:
    """Raise ValueError for what is no differentiated services codepoint (RFC 2474 3: six bits)."""
    if not 0 <= codepoint < 64:
        raise ValueError(f"a DS codepoint is 0 to 63, not {codepoint}")


@dataclass(frozen=True, slots=True)
class InterfaceConfig:
    """One Ethernet interface and its address."""

    mac: MacAddress
    address: Ipv4Address
    prefix_length: int
    mtu: int = 1500
    name: str = "eth0"
    offload: bool = False  # the link takes and hands over super-frames, without checksums (stack/fastpath/ring.py)

    def __post_init__(self) -> None:
        if not MINIMUM_MTU <= self.mtu <= MAXIMUM_MTU:
            raise ConfigurationError(f"an MTU is {MINIMUM_MTU} to {MAXIMUM_MTU} octets, not {self.mtu}")

    @property
    def network(self) -> Network:
        """The network that is directly reachable."""
        return Network.of(self.address, self.prefix_length)


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A way to a network: through `gateway`."""

    network: Network
    gateway: Ipv4Address


@dataclass(frozen=True, slots=True)
class HostConfig:
    """A whole host. Directly connected networks need no route; Network.of(0, 0) is the default route's."""

    interfaces: tuple[InterfaceConfig, ...]
    routes: tuple[RouteConfig, ...] = ()
    arp: ArpConfig = field(default_factory=ArpConfig)
    ipv4: Ipv4Config = field(default_factory=Ipv4Config)
    icmp: IcmpConfig = field(default_factory=IcmpConfig)
    udp: UdpConfig = field(default_factory=UdpConfig)
    tcp: TcpConfig = field(default_factory=TcpConfig)
