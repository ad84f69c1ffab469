"""How much of a link TCP makes use of, by loss, round trip, reordering and algorithm: writes docs/goodput.md.

    tools/goodput            run everything and write the page; some minutes
    tools/goodput --check    run everything, write nothing; exit 1 when the page is not what the runs say

Both ends are hosts of ours, in virtual time: the page depends on nothing but the code, and the same code gives the same
octets on every machine. So a change of the code that changes a number here shows in review.
"""

import argparse
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, product
from math import sqrt
from pathlib import Path
from typing import Final

from stack.addresses import Ipv4Address, MacAddress
from stack.clock import MILLISECOND, SECOND, Duration, Instant
from stack.config import HostConfig, InterfaceConfig, TcpConfig
from stack.host import Host
from stack.transport.tcp.congestion import ALGORITHMS
from stack.transport.tcp.connection import Connection
from stack.virtual.link import LinkProfile
from stack.virtual.loss import GilbertElliott
from stack.virtual.network import Network
from stack.virtual.queues import CoDel, DropTail, QueueModel
from stack.virtual.topology import dumbbell

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "goodput.md"

RATE: Final = 20_000_000  # bits a second
DURATION: Final = 60 * SECOND
PORT: Final = 9  # discard
MSS: Final = 1448  # of an Ethernet, with time stamps
FRAME: Final = MSS + 66
_CHUNK: Final = bytes(64 << 10)

IMPAIRMENTS: Final[dict[str, LinkProfile]] = {
    "none": LinkProfile(),
    "0.1 % lost": LinkProfile(loss=0.001),
    "1 % lost": LinkProfile(loss=0.01),
    "3 % lost": LinkProfile(loss=0.03),
    "1 % lost, in bursts": LinkProfile(loss=GilbertElliott(failure=1 / 196, recovery=1 / 4, loss_when_bad=1 / 2)),
    "1 % reordered": LinkProfile(reordering=0.01, reordering_delay=5 * MILLISECOND),
}
ROUND_TRIPS: Final = (10 * MILLISECOND, 100 * MILLISECOND)

SHARED_ROUND_TRIP: Final = 40 * MILLISECOND
HEAD_START: Final = 5 * SECOND
SETTLED: Final = 20 * SECOND
QUEUES: Final[dict[str, QueueModel]] = {
    "drop-tail": DropTail(octets=RATE // 8 * SHARED_ROUND_TRIP // SECOND),
    "CoDel": CoDel(),
}

INTRODUCTION: Final = f"""\
# Goodput

What TCP makes of a link, between two hosts of ours in virtual time. Made by `tools/goodput`, not to be edited by hand.
The runs depend on nothing but the code, so the numbers are exact, and a test compares some of them.

One sender has always something to send, on one connection with the defaults of `stack/config.py`, and the receiver
reads at once. The link carries {RATE // 1_000_000} Mbit/s of whole Ethernet frames each way, and its queue (drop-tail)
holds as much as is in flight in one round trip. Frames are lost or held back in the direction of the data, by a seed:
independently of one another, or in bursts, of 4 frames on average, of which every second one is lost
(Gilbert-Elliott); a reordered frame is 5 ms late, which is 8 frames. Goodput is what the application has read in
{DURATION // SECOND} s, the handshake and slow start included. The link less the headers is
{RATE / 1e6 * MSS / FRAME:.2f} Mbit/s.
"""
FORMULAS: Final = """\
The two columns on the right are what theory expects where each loss costs one reduction and nothing else: Reno's by
Mathis and others (1997), CUBIC's by RFC 9438 section 5.1.
"""
SHARING: Final = f"""\
The round trip is {SHARED_ROUND_TRIP // MILLISECOND} ms. The second begins {HEAD_START // SECOND} s after the first;
counted is what is read between second {SETTLED // SECOND} and second {DURATION // SECOND}. Jain's index is 1 where both
have the same, 0.5 where one has everything.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one flow: octets read a second, segments sent and sent again, and timeouts."""

    goodput: float
    segments: int
    again: int
    timeouts: int


class Flow:
    """A connection on which one application writes as much as it can and another reads at once."""

    def __init__(self, sender: Host, receiver: Host, address: Ipv4Address, config: TcpConfig, now: Instant) -> None:
        self.received = 0
        self._sender, self._receiver = sender, receiver
        self._accepted: Connection | None = None
        self._listener = receiver.listen(PORT, now)
        self._listener.handler = self._on_listener
        self._connection = sender.connect(address, PORT, now, config=config)
        self._connection.handler = self._on_sender

    def outcome(self, duration: Duration) -> Outcome:
        """Of what was received in `duration`."""
        counters = self._sender.counters
        sent, again = counters["TcpOutSegs"], counters["TcpRetransSegs"]
        return Outcome(self.received * SECOND / duration, sent + again, again, counters["TcpExtTCPTimeouts"])

    def _on_listener(self, kinds: int, now: Instant) -> None:
        self._accepted = self._receiver.accept(self._listener)
        if self._accepted is not None:
            self._accepted.handler = self._on_receiver

    def _on_receiver(self, kinds: int, now: Instant) -> None:
        while self._accepted is not None and (data := self._receiver.read(self._accepted, 1 << 20, now)):
            self.received += len(data)

    def _on_sender(self, kinds: int, now: Instant) -> None:
        if self._connection.error is not None:
            raise self._connection.error
        while self._sender.write(self._connection, _CHUNK, now):
            pass


def in_flight(round_trip: Duration) -> int:
    """Octets that fill the link for `round_trip`."""
    return RATE * round_trip // (8 * SECOND)


def address(number: int) -> Ipv4Address:
    return Ipv4Address(0x0A000000 + number)


def make_host(number: int) -> Host:
    mac = MacAddress((0x020000000000 + number).to_bytes(6, "big"))
    config = HostConfig((InterfaceConfig(mac, address(number), 24),))
    return Host(config, secret=number.to_bytes(16, "big"), random=random.Random(number))


def run_one(algorithm: str, impairment: str, round_trip: Duration, duration: Duration = DURATION) -> Outcome:
    """One flow by itself."""
    network = Network(seed=1)
    sender, receiver = network.add(make_host(1)), network.add(make_host(2))
    clean = LinkProfile(rate=RATE, delay=round_trip // 2, queue=DropTail(octets=in_flight(round_trip)))
    bad = replace(IMPAIRMENTS[impairment], rate=clean.rate, delay=clean.delay, queue=clean.queue)
    network.connect(sender, receiver, bad, clean)
    flow = Flow(sender, receiver, address(2), TcpConfig(congestion=algorithm), network.now)
    network.run(duration)
    return flow.outcome(duration)


def run_two(first: str, second: str, queue: str) -> tuple[float, float]:
    """Octets a second of two flows that share the link, the second begun `HEAD_START` later, once both are settled."""
    network = Network(seed=1)
    left, right = ([network.add(make_host(number)) for number in pair] for pair in ((1, 2), (11, 12)))
    bottleneck = LinkProfile(rate=RATE, delay=SHARED_ROUND_TRIP // 2, queue=QUEUES[queue])
    dumbbell(network, left, right, bottleneck, replace(bottleneck, queue=DropTail()))
    flows = []
    for number, algorithm in enumerate((first, second)):
        config = TcpConfig(congestion=algorithm)
        flows.append(Flow(left[number], right[number], address(11 + number), config, network.now))
        network.run(network.now + HEAD_START)
    network.run(SETTLED)
    before = [flow.received for flow in flows]
    network.run(DURATION)
    one, other = (
        (flow.received - had) * SECOND / (DURATION - SETTLED) for flow, had in zip(flows, before, strict=True)
    )
    return one, other


def jain_index(shares: Sequence[float]) -> float:
    """1 where all have the same, 1/n where one has everything (Jain, Chiu, Hawe 1984)."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def reno_formula(loss: float, round_trip: Duration) -> float:
    """Octets a second of the sawtooth of RFC 5681 (Mathis, Semke, Mahdavi, Ott 1997): MSS/RTT sqrt(3/2p)."""
    return MSS * SECOND / round_trip * sqrt(1.5 / loss)


def cubic_formula(loss: float, round_trip: Duration) -> float:
    """Octets a second by RFC 9438 section 5.1, or of Reno, whom CUBIC is never slower than (4.3)."""
    window = sqrt(sqrt(0.4 * 3.7 / 1.2 * (round_trip / SECOND / loss) ** 3))
    return max(window * MSS * SECOND / round_trip, reno_formula(loss, round_trip))


def megabits(octets_a_second: float) -> str:
    return f"{octets_a_second * 8 / 1e6:.2f}"


def goodput_row(round_trip: Duration, impairment: str, outcomes: Sequence[Outcome]) -> str:
    """A line of the first table; `outcomes` are of ALGORITHMS, in order."""
    loss = IMPAIRMENTS[impairment].loss
    formulas = ["", ""]
    if isinstance(loss, float) and loss:
        limit = RATE / 8 * MSS / FRAME
        formulas = [megabits(min(formula(loss, round_trip), limit)) for formula in (reno_formula, cubic_formula)]
    return row(
        [f"{round_trip // MILLISECOND} ms", impairment, *(megabits(each.goodput) for each in outcomes), *formulas]
    )


def repair_row(round_trip: Duration, impairment: str, outcomes: Sequence[Outcome]) -> str:
    """A line of the second table."""
    cells = (f"{100 * each.again / each.segments:.2f} %, {each.timeouts}" for each in outcomes)
    return row([f"{round_trip // MILLISECOND} ms", impairment, *cells])


def sharing_row(first: str, second: str, queue: str, shares: tuple[float, float]) -> str:
    """A line of the third table."""
    used = sum(shares) * 8 / (RATE * MSS / FRAME)
    return row([queue, first, second, *map(megabits, shares), f"{jain_index(shares):.3f}", f"{100 * used:.1f} %"])


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def page(
    alone: Mapping[tuple[Duration, str], Sequence[Outcome]], shared: Mapping[tuple[str, str, str], tuple[float, float]]
) -> str:
    """docs/goodput.md."""
    lines = [INTRODUCTION, "## One flow, Mbit/s", "", FORMULAS]
    lines += [row(["round trip", "link", *ALGORITHMS, "Reno's formula", "CUBIC's formula"])]
    lines += [f"|---|---|{'--:|' * (len(ALGORITHMS) + 2)}"]
    lines += [goodput_row(*condition, outcomes) for condition, outcomes in alone.items()]
    lines += ["", "## What was sent again", "", "Of all segments with data, and retransmission timeouts.", ""]
    lines += [row(["round trip", "link", *ALGORITHMS]), f"|---|---|{'--:|' * len(ALGORITHMS)}"]
    lines += [repair_row(*condition, outcomes) for condition, outcomes in alone.items()]
    lines += ["", "## Two flows that share the link", "", SHARING]
    lines += [row(["queue", "first", "second", "first, Mbit/s", "second, Mbit/s", "Jain's index", "of the link"])]
    lines += ["|---|---|---|--:|--:|--:|--:|"]
    lines += [sharing_row(first, second, queue, shares) for (first, second, queue), shares in shared.items()]
    return "\n".join(lines) + "\n"


def measure() -> str:
    """Everything, on all cores: the page."""
    conditions = list(product(ROUND_TRIPS, IMPAIRMENTS))
    pairs = [(*pair, queue) for queue in QUEUES for pair in combinations_with_replacement(ALGORITHMS, 2)]
    with ProcessPoolExecutor() as pool:
        alone = {
            (round_trip, impairment): [pool.submit(run_one, each, impairment, round_trip) for each in ALGORITHMS]
            for round_trip, impairment in conditions
        }
        shared = {pair: pool.submit(run_two, *pair) for pair in pairs}
        return page(
            {condition: [future.result() for future in futures] for condition, futures in alone.items()},
            {pair: future.result() for pair, future in shared.items()},
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools/goodput", description="Writes docs/goodput.md.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args(arguments)
    text = measure()
    if not options.check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        print("docs/goodput.md is not what the runs say. Run:  tools/goodput", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
