"""A scripted remote TCP: it says what the test says, when the test says so, and reads back what the host answered.

The host is driven through its public contract only, frames in and frames out, in virtual time. Sequence numbers are
relative: of the peer to its ISN, of the host to its ISS, so that 0 is the SYN and 1 the first octet of text. Text is a
piece of one fixed stream, named by its length, so that octets in the wrong place never compare equal. What holds for
every segment that any host sends (checksums, reserved bits, ACK bit, MSS on SYN only, a right edge that never retreats)
is checked on every segment of every test.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from stack.addresses import BROADCAST_MAC
from stack.clock import SECOND
from stack.config import HostConfig, InterfaceConfig, TcpConfig
from stack.host import Host
from stack.wire import arp, ethernet, icmp, tcp
from stack.wire import ipv4 as ip
from tests.tcp.peer import (
    LOCAL,
    LOCAL_MAC,
    MASK,
    PORT,
    REMOTE,
    REMOTE_MAC,
    REMOTE_PORT,
    SECRET,
    Peer,
    Sent,
    stream,
)

__all__ = [
    "FIN_RECEIVED",
    "FIN_SENT",
    "LOCAL",
    "MASK",
    "PORT",
    "REMOTE",
    "REMOTE_PORT",
    "Bench",
    "Peer",
    "Sent",
    "established",
    "reach",
    "stream",
]


class Bench:
    """One host, and the far end of its cable, where every address of the network answers ARP."""

    def __init__(
        self, config: TcpConfig | None = None, *, mtu: int = 1500, start: int = SECOND, seed: int = 1, **host: Any
    ) -> None:
        self.now = start
        secret = host.pop("secret", SECRET)
        interface = InterfaceConfig(mac=LOCAL_MAC, address=LOCAL, prefix_length=24, mtu=mtu)
        # NewReno, unpaced, where nothing else is asked for: what RFC 5681 counts is exact.
        self.tcp = config or TcpConfig(congestion="newreno", pacing=False)
        whole = HostConfig(interfaces=(interface,), tcp=self.tcp, **host)
        self.host = Host(whole, secret=secret, random=random.Random(seed), now=start)
        self.peers: list[Peer] = []
        self.icmp: list[icmp.IcmpMessage] = []
        self.strays: list[Sent] = []
        self.lines: list[str] = []
        self.answers_arp = True
        self.arp_requests: list[int] = []
        self._batch: list[bytes] | None = None

    def listen(self, port: int = PORT, **options: Any) -> Any:
        return self.host.listen(port, self.now, **options)

    def connect(self, port: int = PORT, isn: int = -10001, **options: Any) -> "Peer":
        """An active open of the host; the peer that it is to meet."""
        peer = Peer(self, isn=isn, port=port, local_port=options.get("local_port"))
        peer.connection = self.host.connect(REMOTE, port, self.now, **options)
        self.collect()
        return peer

    def inject(self, frame: bytes) -> None:
        if self._batch is not None:
            self._batch.append(frame)
            return
        self.host.receive(0, [frame], self.now)
        self.collect()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is sent inside arrives as one batch of frames."""
        self._batch = frames = []
        yield
        self._batch = None
        self.host.receive(0, frames, self.now)
        self.collect()

    def inject_ip(self, payload: bytes, protocol: int, **fields: Any) -> None:
        header = replace(ip.Ipv4Header(src=REMOTE, dst=LOCAL, protocol=protocol), **fields)
        packet = ip.build(header, payload)
        to = fields.get("dst", LOCAL)
        station = BROADCAST_MAC if to in (0xFFFFFFFF, LOCAL | 255) else LOCAL_MAC
        self.inject(ethernet.build(ethernet.EthernetHeader(station, REMOTE_MAC, ethernet.ETHERTYPE_IPV4), packet))

    def elapse(self, duration: int) -> None:
        """Let time pass; every timer fires when it is due."""
        self.run_until(self.now + duration)

    def run_until(self, instant: int, stop: Callable[[], bool] = lambda: False) -> None:
        for _ in range(100_000):
            deadline = self.host.deadline()
            if stop():
                return
            if deadline is None or deadline > instant:
                break
            self.now = max(self.now, deadline)
            self.host.advance(self.now)
            self.collect()
        else:
            raise AssertionError(f"a timer that never stops firing\n{self.log()}")
        self.now = instant
        self.host.advance(self.now)
        self.collect()

    def collect(self) -> None:
        for _ in range(1000):
            ring = self.host.take_frames()
            frames = [bytes(each) for each in ring]
            ring.clear()
            if not frames:
                return
            for frame in frames:
                self._on_frame(frame)
        raise AssertionError("the host never stops sending")

    def _on_frame(self, frame: bytes) -> None:
        header, payload = ethernet.parse(frame)
        if header.ethertype == ethernet.ETHERTYPE_ARP:
            self._on_arp(arp.parse(payload))
            return
        assert header.dst == REMOTE_MAC and header.src == LOCAL_MAC
        packet, content = ip.parse(payload)
        if packet.protocol == ip.PROTOCOL_ICMP:
            self.icmp.append(icmp.parse(content))
        elif packet.protocol == ip.PROTOCOL_TCP:
            self._on_tcp(packet, bytes(content))

    def _on_arp(self, request: arp.ArpPacket) -> None:
        if request.operation != arp.REQUEST or request.target_address == LOCAL:
            return
        self.arp_requests.append(self.now)
        if self.answers_arp:
            asked, asker = request.target_address, request.sender_address
            reply = arp.build(arp.ArpPacket(arp.REPLY, REMOTE_MAC, asked, request.sender_mac, asker))
            to = ethernet.EthernetHeader(LOCAL_MAC, REMOTE_MAC, ethernet.ETHERTYPE_ARP)
            self.host.receive(0, [ethernet.build(to, reply)], self.now)

    def _on_tcp(self, header: ip.Ipv4Header, octets: bytes) -> None:
        segment = tcp.parse(octets, header.src, header.dst)  # raises on a wrong checksum (9293-MUST-2)
        assert header.dont_fragment and header.ttl and not octets[12] & 0x0F, "DF, TTL, reserved bits"
        for peer in self.peers:
            if peer.is_for(header, segment):
                peer.on_segment(header, segment, octets)
                return
        sent = Peer(self, register=False).translate(header, segment, octets)
        self.strays.append(sent)
        self.lines.append(f"{self.now / SECOND:12.6f} stray {sent.flags}")

    def log(self) -> str:
        return "\n".join(self.lines[-60:])


# A factory per state, by legal means only


def start_for(iss: int, *, port: int = REMOTE_PORT, local_port: int = PORT, active: bool = False) -> int:
    """When to begin so that the host's ISS comes out as `iss`: it is a clock of 4 us and a hash (RFC 9293 3.4.1)."""
    key = (port, local_port, active)
    if key not in _ISS_AT_ONE_SECOND:
        _ISS_AT_ONE_SECOND[key] = _first_iss(*key)
    return SECOND + ((iss - _ISS_AT_ONE_SECOND[key]) & MASK) * 4000


_ISS_AT_ONE_SECOND: dict[tuple[int, int, bool], int] = {}


def _first_iss(port: int, local_port: int, active: bool) -> int:
    bench = Bench()
    if active:
        peer = bench.connect(port, local_port=local_port)
    else:
        bench.listen(local_port)
        peer = Peer(bench, port=port, local_port=local_port)
        peer.syn()
    assert peer.iss is not None
    return peer.iss


def established(bench: Bench, *, isn: int = -10001, active: bool = False, **options: Any) -> Peer:
    """A connection in ESTABLISHED; `options` go to the peer's SYN (mss, wscale, ts, window)."""
    if not active:
        return Peer(bench, isn=isn).handshake(bench.listen(), **options)
    peer = bench.connect(REMOTE_PORT, isn, local_port=50000)
    syn = peer.expect("S", seq=0)
    peer.syn("SA", **options)
    peer.host_shift = syn.options.window_scale or 0
    peer.expect("A", seq=1, ack=1, data=0)
    assert peer.state == "ESTABLISHED"
    return peer


def reach(state: str, bench: Bench, *, isn: int = -10001, active: bool = False, **options: Any) -> Peer:
    """A connection in `state` (RFC 9293 3.3.2), with everything that the host said on the way read."""
    if state in ("SYN_SENT", "SYN_RECEIVED"):
        return _half_open(state, bench, isn, active, options)
    peer = established(bench, isn=isn, active=active, **options)
    if state in ("CLOSE_WAIT", "LAST_ACK"):
        peer.send("FA")
        peer.expect("A", seq=1, ack=2, data=0, within=SECOND // 2)
    if state not in ("ESTABLISHED", "CLOSE_WAIT"):
        peer.shutdown()
        peer.expect("FA", seq=1, data=0)
    if state in ("FIN_WAIT_2", "TIME_WAIT"):
        peer.send("A")
    if state in ("CLOSING", "TIME_WAIT"):
        peer.send("FA", ack=1 if state == "CLOSING" else 2)
        peer.expect("A", seq=2, ack=2, data=0, within=SECOND // 2)
    assert peer.state == state, f"{peer.state} rather than {state}\n{bench.log()}"
    return peer


def _half_open(state: str, bench: Bench, isn: int, active: bool, options: dict[str, Any]) -> Peer:
    if state == "SYN_SENT" or active:
        peer = bench.connect(REMOTE_PORT, isn, local_port=50000)
        peer.expect("S", seq=0)
    else:
        bench.listen()
        peer = Peer(bench, isn=isn)
    if state == "SYN_RECEIVED":
        peer.syn(**options)
        peer.expect("SA", seq=0, ack=1)
    assert peer.state == state, f"{peer.state} rather than {state}\n{bench.log()}"
    return peer


SYNCHRONIZED = (
    "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT",
)  # fmt: skip
FIN_SENT = {"FIN_WAIT_1", "FIN_WAIT_2", "CLOSING", "LAST_ACK", "TIME_WAIT"}
FIN_RECEIVED = {"CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT"}


def snd_nxt(state: str) -> int:
    """SND.NXT of a connection that `reach` made, relative."""
    return 2 if state in FIN_SENT else 1


def rcv_nxt(state: str) -> int:
    """RCV.NXT of a connection that `reach` made, relative."""
    return 2 if state in FIN_RECEIVED else 1
