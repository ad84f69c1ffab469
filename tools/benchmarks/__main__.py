"""The command line of tools/bench."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tools.benchmarks import bulk, loss, ping, requests
from tools.benchmarks.cases import Case, Outcome, measure, ratio
from tools.benchmarks.space import BenchError, compile_c, enter_own_namespace, exit_in_order_on_sigterm, need

PACKAGES = {
    "cc": "gcc libc6-dev",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
FURTHER_PACKAGES = {"curl": "curl", "nginx": "nginx-light", "ping": "iputils-ping", "wrk": "wrk"}
SUITES = {
    "loss": "one flow over a link that loses, and two that share one",
    "bulk": "one flow with nothing in its way",
    "requests": "HTTP requests of 64 octets",
    "uvicorn": "requests to an ASGI application",
    "ping": "ICMP echo",
    "memory": "idle connections",
    "many": "50,000 of them",
}
NICENESS = 10  # by which we go before the machine's other work, where we may: it is not what is measured
WIDTH = 160  # columns of the table where there is no terminal
SETUP_SECONDS = 2.0  # of one run


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parse(given)
    try:
        need(PACKAGES if options.what == "loss" else PACKAGES | FURTHER_PACKAGES)
        enter_own_namespace("tools.benchmarks", given)
        exit_in_order_on_sigterm()
        with suppress(PermissionError):
            os.nice(-NICENESS)
        load = os.getloadavg()
        with tempfile.TemporaryDirectory(prefix="tapstack-bench-") as folder:
            outcomes = _measure(_cases(options, Path(folder)))
    except BenchError as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tools/bench: interrupted", file=sys.stderr)
        return 130
    loads = [load, os.getloadavg()]
    _show(outcomes)
    print(f"load: {loads[0][1]:.1f} before, {loads[1][1]:.1f} after (5 minutes' average, {os.cpu_count()} cores)")
    if options.json:
        options.json.write_text(json.dumps(_report(outcomes) | {"loads": loads}, indent=1) + "\n")
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    about = "; ".join(f"{name}: {text}" for name, text in SUITES.items())
    parser.add_argument("what", nargs="?", choices=["all", *SUITES], default="all", help=about)
    parser.add_argument("--quick", action="store_true", help="one short run of each instead of the median of three")
    parser.add_argument("--only", metavar="TEXT", default="", help="only cases that have TEXT in their heading or name")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every run, and all that was counted, to FILE")
    return parser.parse_args(arguments)


def _cases(options: argparse.Namespace, folder: Path) -> list[Case]:
    link, flow, echo = (compile_c(f"{name}.c", folder) for name in ("link", "flow", "echo"))
    quick = options.quick
    suites: dict[str, Callable[[], Iterator[Case]]] = {
        "loss": lambda: loss.cases(link, 3.0 if quick else 10.0),
        "bulk": lambda: bulk.cases(flow, 1.0 if quick else 2.0),
        "requests": lambda: requests.cases(folder, 1 if quick else 3),
        "uvicorn": lambda: requests.uvicorn_cases(1 if quick else 3),
        "ping": lambda: ping.cases(echo),
        "memory": lambda: requests.memory_cases(folder),
        "many": lambda: requests.many_cases(1 if quick else 3),
    }
    found = [case for name, make in suites.items() if options.what in ("all", name) for case in make()]
    chosen = [case for case in found if options.only in f"{case.group}: {case.name}"]
    if not chosen:
        raise BenchError(f"no case has {options.only!r} in its name")
    return [replace(case, repetitions=1) for case in chosen] if quick else chosen


def _measure(cases: Sequence[Case]) -> list[Outcome]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        total = sum(case.repetitions * (case.seconds + SETUP_SECONDS) for case in cases)
        task = progress.add_task("", total=total)
        done = 0.0

        def show(case: Case, repetition: int) -> None:
            nonlocal done
            progress.update(task, completed=done, description=f"{repetition + 1}. {case.group}: {case.name}")
            done += case.seconds + SETUP_SECONDS

        return measure(cases, show)


def _show(outcomes: Sequence[Outcome]) -> None:
    table = Table("case", "", "median", "", "ratio", "lowest", "highest", "", box=None, pad_edge=False)
    for number, column in enumerate(table.columns):
        column.no_wrap = True
        column.justify = "right" if number in (2, 4, 5, 6) else "left"
    group = None
    for outcome in outcomes:
        case, values = outcome.case, [figure.value for figure in outcome.figures]
        part = ratio(outcome, outcomes)
        table.add_row(
            "" if case.group == group else case.group,
            case.name,
            _number(outcome.median),
            case.unit,
            "" if part is None else f"{part:.2f}",
            _number(min(values)),
            _number(max(values)),
            outcome.middle.remark,
        )
        group = case.group
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    machine = os.uname()
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"system": f"{machine.sysname} {machine.release} {machine.machine}", "cores": os.cpu_count()},
        "python": sys.version.split()[0],
        "cases": [
            {
                "group": outcome.case.group,
                "name": outcome.case.name,
                "unit": outcome.case.unit,
                "median": outcome.median,
                "ratio": ratio(outcome, outcomes),
                "remark": outcome.middle.remark,
                "runs": [{"value": figure.value, **figure.details} for figure in outcome.figures],
            }
            for outcome in outcomes
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
