"""`tools/bench ping`: the round-trip time of ICMP echo requests."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

from tools.benchmarks import servers
from tools.benchmarks.cases import Case, Figure
from tools.benchmarks.space import BenchError, Kernel, Stage

COUNT: Final = 300
INTERVAL: Final = 0.005  # seconds
REFERENCE: Final = "a C program"


def cases(echo: Path) -> Iterator[Case]:
    """Ours, the kernel's, and those of `echo` (made of echo.c), which does nothing but answer."""
    ways: dict[str, Callable[[Stage], Kernel]] = {
        "ours": lambda stage: servers.ours("auto")(stage).client,
        REFERENCE: lambda stage: _echo(stage, echo),
        "the kernel, over veth": lambda stage: servers.next_door(stage)[0],
    }
    for name, prepare in ways.items():
        yield Case("ping", name, "us, median", COUNT * INTERVAL, _bound(prepare), REFERENCE)


def _bound(prepare: Callable[[Stage], Kernel]) -> Callable[[int], Figure]:
    def run(repetition: int) -> Figure:
        with Stage() as stage:
            said = prepare(stage).run("ping", "-n", "-c", str(COUNT), "-i", str(INTERVAL), servers.OURS)
        times = [float(each) * 1000 for each in re.findall(r"time=([0-9.]+) ms", said)]
        if not times:
            raise BenchError(f"ping: no answer: {said}")
        return Figure(median(times), {"times": times})

    return run


def _echo(stage: Stage, echo: Path) -> Kernel:
    kernel = stage.kernel()
    tap = stage.tap("tap0", kernel, f"{servers.THEIRS}/24")
    stage.start(str(echo), str(tap.fileno()), pass_fds=[tap.fileno()])
    return kernel
