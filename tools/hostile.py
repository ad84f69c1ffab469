"""What hostile traffic costs a host: processor time for each frame of an attack, and memory for what it leaves behind.

    tools/hostile            some seconds
    tools/hostile --frames N of each attack (default: 20,000)

Everything happens in memory, frames in and frames out, answers included, on one core. A figure is the median of batches
of 250 frames; beside it stands the best batch, which is the better guess where the machine has other work to do.
"""

import argparse
import random
import statistics
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from rich.console import Console
from rich.table import Table

from stack import fastpath
from stack.addresses import UNSPECIFIED_MAC, Ipv4Address, ipv4, mac
from stack.clock import SECOND, Instant
from stack.config import ArpConfig, HostConfig, InterfaceConfig, TcpConfig
from stack.host import Host
from stack.transport.tcp.sequence import MASK
from stack.wire import arp, ethernet, tcp
from stack.wire import ipv4 as ip
from stack.wire.tcp import ACK, PSH, RST, SYN, Segment
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions

BATCH: Final = 250
PORT: Final = 80
NETWORK: Final = ipv4("10.0.0.0")
US: Final = Ipv4Address(NETWORK + 1)
PEER: Final = Ipv4Address(NETWORK + 2)
OUR_MAC: Final = mac("02:00:00:00:00:01")
PEER_MAC: Final = mac("02:00:00:00:00:02")
SYN_OPTIONS: Final = TcpOptions(mss=1460, window_scale=7, sack_permitted=True, ts_val=1)
NOW: Final[Instant] = SECOND


class Victim:
    """A host that listens, and one who sends it what he likes; both are on one Ethernet."""

    def __init__(self, config: TcpConfig | None = None) -> None:
        interface = InterfaceConfig(OUR_MAC, US, 8)
        whole = HostConfig((interface,), tcp=config or TcpConfig(), arp=ArpConfig(reachable_time=3600 * SECOND))
        self.host = Host(whole, secret=bytes(32), random=random.Random(1))
        self.listener = self.host.listen(PORT, NOW)
        self.meet(PEER)

    def meet(self, address: Ipv4Address) -> None:
        """Let the host know that `address` is at PEER_MAC, and believe it."""
        for operation in (arp.REQUEST, arp.REPLY):
            packet = arp.build(arp.ArpPacket(operation, PEER_MAC, address, OUR_MAC, US))
            self.take([frame_of(ethernet.ETHERTYPE_ARP, packet)])

    def take(self, frames: Sequence[bytes]) -> list[bytes]:
        """Process `frames`, one batch; what is answered."""
        self.host.receive(0, frames, NOW)
        self.host.dispatch(NOW)
        answers = []
        while ring := self.host.take_frames():
            answers += [bytes(frame) for frame in ring]
            ring.clear()
        return answers

    def connect(self, port: int) -> int:
        """A handshake with PEER, whose ISN is 0; our ISS."""
        [answer] = self.take([segment_frame(Segment(port, PORT, 0, 0, SYN, 65535, b"", SYN_OPTIONS))])
        iss = segment_of(answer).seq
        stamps = TcpOptions(ts_val=1, ts_ecr=0)
        self.take([segment_frame(Segment(port, PORT, 1, (iss + 1) & MASK, ACK, 65535, b"", stamps))])
        return iss


def frame_of(ethertype: int, payload: bytes) -> bytes:
    return ethernet.build(ethernet.EthernetHeader(OUR_MAC, PEER_MAC, ethertype), payload)


def packet_frame(header: ip.Ipv4Header, payload: bytes) -> bytes:
    return frame_of(ethernet.ETHERTYPE_IPV4, ip.build(header, payload, fastpath.checksum))


def segment_frame(segment: Segment) -> bytes:
    octets = tcp.build(segment, PEER, US, fastpath.checksum)
    return packet_frame(ip.Ipv4Header(PEER, US, ip.PROTOCOL_TCP), octets)


def segment_of(frame: bytes) -> Segment:
    header, payload = ip.parse(ethernet.parse(frame)[1])
    return tcp.parse(payload, header.src, header.dst)


# The attacks: each makes a victim and the frames for it


Attack = tuple[Victim, Iterable[bytes]]


def syn_frames(count: int) -> list[bytes]:
    dice = random.Random(4987)
    return [
        segment_frame(Segment(1024 + n % 60_000, PORT, dice.getrandbits(32), 0, SYN, 65535, b"", SYN_OPTIONS))
        for n in range(count)
    ]


def syns_to_a_queue_with_room(count: int) -> Attack:
    return Victim(TcpConfig(syn_backlog=count)), syn_frames(count)


def syns_to_a_full_queue(count: int) -> Attack:
    return Victim(TcpConfig(syn_backlog=0)), syn_frames(count)


def forged_acks_in_a_flood(count: int) -> Attack:
    victim = Victim(TcpConfig(syn_backlog=0))
    victim.take(syn_frames(1))
    return victim, (segment_frame(Segment(1024 + n % 60_000, PORT, n, n * 7919 & MASK, ACK, 500)) for n in range(count))


def stray_acks(count: int) -> Attack:
    return Victim(), (segment_frame(Segment(1024 + n % 60_000, PORT, n, n, ACK, 500)) for n in range(count))


def segments_of(seqs: Iterable[int], flags: int, data: bytes = b"", config: TcpConfig | None = None) -> Attack:
    victim = Victim(config)
    ack = (victim.connect(2000) + 1) & MASK
    options = NO_OPTIONS if flags & RST else TcpOptions(ts_val=1, ts_ecr=0)
    return victim, (segment_frame(Segment(2000, PORT, seq, ack, flags, 65535, data, options)) for seq in seqs)


def octets_in_order(count: int) -> Attack:
    return segments_of(range(1, 1 + count), ACK | PSH, b"x")


def octets_with_gaps(count: int) -> Attack:
    return segments_of((3 + 2 * n % 60_000 for n in range(count)), ACK | PSH, b"x")


def octets_with_gaps_backwards(count: int) -> Attack:
    return segments_of((60_001 - 2 * n % 60_000 for n in range(count)), ACK | PSH, b"x")


def resets_in_the_window(count: int) -> Attack:
    return segments_of((2 + n % 60_000 for n in range(count)), RST)


def empty_acks(count: int) -> Attack:
    return segments_of((1 for _ in range(count)), ACK)


def fragments_of_eight_octets(count: int) -> Attack:
    def frames() -> Iterable[bytes]:
        for n in range(count):
            datagram, place = divmod(n, 4000)
            offset = 16 * place  # every second one is missing
            header = ip.Ipv4Header(PEER, US, 99, identification=datagram, more_fragments=True, fragment_offset=offset)
            yield packet_frame(header, bytes(8))

    return Victim(), frames()


def arp_requests_to_a_full_table(count: int) -> Attack:
    def frames() -> Iterable[bytes]:
        for n in range(count):
            packet = arp.ArpPacket(arp.REQUEST, PEER_MAC, Ipv4Address(NETWORK + 1000 + n), UNSPECIFIED_MAC, US)
            yield frame_of(ethernet.ETHERTYPE_ARP, arp.build(packet))

    return Victim(), frames()


ATTACKS: Final[dict[str, Callable[[int], Attack]]] = {
    "SYN, the SYN queue has room": syns_to_a_queue_with_room,
    "SYN, answered with a cookie": syns_to_a_full_queue,
    "ACK with a forged cookie, answered with a reset": forged_acks_in_a_flood,
    "ACK to nobody, answered with a reset": stray_acks,
    "one octet, in order": octets_in_order,
    "one octet, out of order": octets_with_gaps,
    "one octet, out of order, from behind": octets_with_gaps_backwards,
    "reset in the window": resets_in_the_window,
    "empty ACK": empty_acks,
    "fragment of 8 octets": fragments_of_eight_octets,
    "ARP request, the table is full": arp_requests_to_a_full_table,
}


def cost(attack: Attack) -> tuple[float, float]:
    """Microseconds of processor time a frame: of the median and of the best batch."""
    victim, frames = attack
    source, times = iter(frames), []
    while batch := list(islice(source, BATCH)):
        began = time.process_time_ns()
        victim.take(batch)
        times.append((time.process_time_ns() - began) / len(batch) / 1000)
    return statistics.median(times), min(times)


def held(work: Callable[[], object]) -> int:
    """Octets that are allocated by `work` and not freed."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def memory(count: int) -> dict[str, str]:
    """What attacks leave behind."""
    syns = syn_frames(count)
    victim = Victim(TcpConfig(syn_backlog=2000))
    victim.take(syns[:200])
    half_open = held(lambda: victim.take(syns[200:1200])) / 1000
    full = Victim()
    for start in range(0, 2000, BATCH):
        full.take(syns[start : start + BATCH])
    flood = held(lambda: deque((full.take(syns[start : start + BATCH]) for start in range(2000, count, BATCH)), 0))
    quiet = Victim()
    connection = held(lambda: [quiet.connect(2000 + n) for n in range(500)]) / 500
    return {
        "a half-open connection": f"{half_open:,.0f} octets",
        f"{count - 2000:,} SYNs more to a full SYN queue": f"{flood:,} octets",
        "an idle connection": f"{connection:,.0f} octets",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools/hostile", description="Measures what hostile traffic costs.")
    parser.add_argument("--frames", type=int, default=20_000, metavar="N", help="frames of each attack")
    count = max(parser.parse_args(arguments).frames, 4 * BATCH)
    console = Console()
    table = Table("µs of processor time a frame", "median", "best batch")
    for name, attack in ATTACKS.items():
        median, best = cost(attack(count))
        table.add_row(name, f"{median:.1f}", f"{best:.1f}")
    console.print(table)
    table = Table("memory for", "")
    for name, octets in memory(max(count, 4000)).items():
        table.add_row(name, octets)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
