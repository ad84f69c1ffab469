"""`tools/bench requests`, `uvicorn`, `memory` and `many`: HTTP requests of 64 octets, and idle connections."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tools.benchmarks import servers
from tools.benchmarks.cases import Case, Figure
from tools.benchmarks.servers import Server, Starter
from tools.benchmarks.space import BenchError, Process, Stage

REFERENCE: Final = "nginx, 1 worker, over veth"
IDLE: Final = 1000  # connections
WARM_UP: Final = 100  # connections before those that are counted
MANY: Final = ("10.77.0.11", "10.77.0.12", "10.77.0.13", "10.77.0.14")  # addresses that have connections
OF_EACH: Final = 12_500
CORES: Final = 2
COSTLY: Final = "/stats.json"  # what costs the server so much that its client leaves nearly all of every core to it


def _servers(folder: Path) -> dict[str, Starter]:
    return {
        "ours": servers.ours("auto"),
        "ours, without offload": servers.ours("off"),
        "httptools on asyncio, over veth": servers.small,
        REFERENCE: servers.nginx(folder),
    }


def cases(folder: Path, seconds: int) -> Iterator[Case]:
    """Requests a second, `seconds` each; `folder` is for files."""
    loads = {
        "1 connection": ["--connections", "1"],
        "64 connections": ["--connections", "64"],
        "a connection a request": ["--connections", "64", "--header", "Connection: close"],
    }
    for load, arguments in loads.items():
        for name, start in _servers(folder).items():
            run = _load(start, arguments, seconds)
            yield Case(f"requests, {load}", name, "a second", seconds + 1, run, REFERENCE)
    for workers in range(1, CORES + 1):
        run = _load(servers.ours("auto", workers), ["--connections", "64"], seconds, COSTLY)
        yield Case("requests, workers", f"ours, {workers} of them", "a second", seconds + 1, run, "ours, 1 of them")


def uvicorn_cases(seconds: int) -> Iterator[Case]:
    """The same application on the same server, over our stack and over the kernel's."""
    for loop in ("asyncio", "uvloop"):
        reference = f"on {loop}, over veth"
        for name, start in ((f"on {loop}, over ours", servers.our_uvicorn), (reference, servers.uvicorn)):
            run = _load(start(loop), ["--connections", "64"], seconds)
            yield Case("uvicorn, 64 connections", name, "a second", seconds + 1, run, reference)


def _load(start: Starter, arguments: list[str], seconds: int, path: str = servers.PATH) -> Callable[[int], Figure]:
    def run(repetition: int) -> Figure:
        with Stage() as stage:
            server = start(stage)
            _wrk(server, arguments, 1, path)
            frames, cpu = server.frames(), server.cpu()
            said = _wrk(server, arguments, seconds, path)
            frames, cpu = server.frames() - frames, server.cpu() - cpu
        requests = int(_found(r"(\d+) requests in", said))
        details = {
            "requests": requests,
            "frames per request": frames / requests,
            "CPU per request, us": cpu / requests * 1e6,
            "latency, median": _found(r"50%\s+(\S+)", said),
        }
        remark = f"{details['frames per request']:.1f} frames, {details['CPU per request, us']:.0f} us of CPU a request"
        return Figure(_rate(said), details, remark)

    return run


def _wrk(server: Server, arguments: list[str], seconds: int, path: str = servers.PATH) -> str:
    options = ["--threads", "1", "--duration", f"{seconds}s", "--latency", *arguments]
    said = server.client.run("wrk", *options, server.url(path))
    for trouble in ("Socket errors", "Non-2xx"):
        if trouble in said:
            raise BenchError(f"wrk: {said}")
    return said


def _rate(said: str) -> float:
    return float(_found(r"Requests/sec:\s+([0-9.]+)", said))


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise BenchError(f"wrk said what nobody here understands: {text}")
    return match[1]


def memory_cases(folder: Path) -> Iterator[Case]:
    """What a process grows by with a connection that has had no request yet."""
    for name, start in _servers(folder).items():
        yield Case("memory of an idle connection", name, "octets", 2, _idle(start))


def _idle(start: Starter) -> Callable[[int], Figure]:
    def run(repetition: int) -> Figure:
        with Stage() as stage:
            server = start(stage)
            _idle_connections(server, servers.THEIRS, WARM_UP).wait_for("ready")
            before = server.memory()
            _idle_connections(server, servers.THEIRS, IDLE).wait_for("ready")
            time.sleep(0.5)  # until the last of them is accepted
            return Figure((server.memory() - before) / IDLE, {"process": before})

    return run


def _idle_connections(server: Server, own: str, count: int) -> Process:
    return server.client.start_python("idle", own, servers.OURS, str(servers.PORT), str(count))


def many_cases(seconds: int) -> Iterator[Case]:
    """What is left of a few connections' requests when there are 50,000 that are idle.

    64 of them, as one alone is mostly waiting for the machine to wake up, which takes now this long and now that.
    """
    count = len(MANY) * OF_EACH
    load = ["--connections", "64"]

    def run(repetition: int) -> Figure:
        with Stage() as stage:
            server = servers.ours("auto")(stage)
            for address in MANY:
                server.client.run("ip", "address", "add", f"{address}/24", "dev", server.device)
            _wrk(server, load, 1)
            alone, before = _rate(_wrk(server, load, seconds)), server.memory()
            idle = [_idle_connections(server, address, OF_EACH) for address in MANY]
            for process in idle:
                process.wait_for("ready")
            time.sleep(1)
            cost = (server.memory() - before) / count
            among = _rate(_wrk(server, load, seconds))
        details = {"octets each": cost, "a second, alone": alone, "a second, among them": among}
        return Figure(among / alone, details, f"{cost:,.0f} octets each; {alone:,.0f} a second alone")

    yield Case(f"{count:,} idle connections", "ours", "of the rate without", 3 * seconds + 15, run)
