"""`tools/bench loss`: one flow over a link that loses, ours and Linux's, and two that share it.

The link is link.c, between the TAP devices of two network namespaces and sockets of our processes.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.benchmarks.cases import Case, Figure
from tools.benchmarks.space import Process, Stage

RATE: Final = 200_000_000  # bits a second
DELAY: Final = 10_000_000  # nanoseconds, one way
QUEUE: Final = RATE // 8 * 2 * DELAY // 1_000_000_000  # octets: one bandwidth-delay product
LATE: Final = 2_000_000  # nanoseconds by which a reordered frame is late: 33 full frames overtake it
SOCKET_BUFFER: Final = 16 << 20  # octets between our process and the link, which is to lose nothing unasked
REPETITIONS: Final = 3
LINUX, OURS = "Linux", "ours"


@dataclass(frozen=True, slots=True)
class Impairment:
    """What the link does, to frames of a million."""

    name: str
    loss: int = 0
    reordering: int = 0


IMPAIRMENTS: Final = (
    Impairment("no loss"),
    Impairment("loss 0.1 %", loss=1_000),
    Impairment("loss 1 %", loss=10_000),
    Impairment("loss 3 %", loss=30_000),
    Impairment("reordering 1 %", reordering=10_000),
)
PAIRS: Final = ((LINUX, LINUX), (OURS, LINUX), (LINUX, OURS))


def cases(link: Path, seconds: float) -> Iterator[Case]:
    """All that there is to measure over `link`, the program made of link.c, in `seconds` each."""
    for impairment in IMPAIRMENTS:
        for sender, receiver in PAIRS:
            yield Case(
                group=impairment.name,
                name=f"{sender} to {receiver}",
                unit="Mbit/s",
                seconds=seconds,
                run=_bound(link, impairment, sender, receiver, seconds),
                reference=f"{LINUX} to {LINUX}",
                repetitions=REPETITIONS,
            )
    for other in (LINUX, OURS):
        yield Case(
            group="fairness",
            name=f"{other} beside {LINUX}",
            unit="Jain index",
            seconds=2 * seconds,
            run=_bound_fairness(link, other, 2 * seconds),
            reference=f"{LINUX} beside {LINUX}",
            repetitions=REPETITIONS,
        )


def _bound(link: Path, impairment: Impairment, sender: str, receiver: str, seconds: float) -> Callable[[int], Figure]:
    def run(repetition: int) -> Figure:
        [found], details = _transfer(link, impairment, [(sender, receiver)], seconds, seed=repetition)
        return Figure(found, details)

    return run


def _bound_fairness(link: Path, other: str, seconds: float) -> Callable[[int], Figure]:
    def run(repetition: int) -> Figure:
        goodputs, details = _transfer(link, IMPAIRMENTS[0], [(other, LINUX), (LINUX, LINUX)], seconds, seed=repetition)
        details["goodput"] = goodputs
        return Figure(jain(goodputs), details, "  ".join(f"{each:.0f}" for each in goodputs) + " Mbit/s")

    return run


def jain(shares: list[float]) -> float:
    """Jain's index of fairness: 1 when all shares are equal, 1/n when one has it all."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def _transfer(
    link: Path, impairment: Impairment, flows: list[tuple[str, str]], seconds: float, seed: int
) -> tuple[list[float], dict[str, Any]]:
    """Goodput in Mbit/s of each of `flows` (sender, receiver), and all that the processes have counted."""
    with Stage() as stage:
        senders, receivers = list[Process](), list[Process]()
        descriptors, ends = list[int](), list[socket.socket]()
        for number, (sender, receiver) in enumerate(flows):
            left, right = f"10.9.{number}.1", f"10.9.{number}.2"
            start_left = _End(stage, sender, f"left{number}", left, descriptors, ends)
            start_right = _End(stage, receiver, f"right{number}", right, descriptors, ends)
            receivers.append(start_right.start("receive", str(seconds)))
            senders.append(start_left.start("send", right))
        numbers = [RATE, DELAY, QUEUE, impairment.loss, impairment.reordering, LATE, seed, *descriptors]
        bottleneck = stage.start(str(link), *map(str, numbers), pass_fds=descriptors)
        for end in ends:
            end.close()
        for process in (*receivers, *senders):
            process.wait_for("ready")
        for process in (*receivers, *senders):
            process.tell("go")
        found = [process.result(seconds + 20) for process in receivers]
        details = {
            "receivers": found,
            "senders": [process.result(5, close=True) for process in senders],
            "link": bottleneck.result(5, close=True),
        }
        return [each["octets"] * 8 / each["seconds"] / 1e6 for each in found], details


class _End:
    """One end of the link: a TAP device of another kernel's, or a socket to a process of ours."""

    def __init__(
        self, stage: Stage, kind: str, name: str, address: str, descriptors: list[int], ends: list[socket.socket]
    ) -> None:
        self._stage = stage
        self._address = f"{address}/24"
        self._kernel = None
        if kind == LINUX:
            self._kernel = stage.kernel()
            descriptors.append(stage.tap(name, self._kernel, self._address).fileno())
        else:
            ours, links = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            for end in (ours, links):
                with suppress(PermissionError):  # the usual room does where we are late by no more than some ms
                    end.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, SOCKET_BUFFER)
            ends += [ours, links]
            self._fd = ours.fileno()
            descriptors.append(links.fileno())

    def start(self, role: str, argument: str) -> Process:
        if self._kernel:
            congestion = ["cubic"] if role == "send" else []
            return self._kernel.start_python("kernel_peer", role, argument, *congestion)
        arguments = [role, str(self._fd), self._address, argument]
        return self._stage.start_python("stack_peer", *arguments, pass_fds=[self._fd])


_SO_SNDBUFFORCE: Final = 32  # asm-generic/socket.h: beyond net.core.wmem_max, for those who may
