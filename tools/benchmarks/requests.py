"""`tools/bench requests` and `memory`: HTTP requests of 64 octets, and what a connection costs that is idle."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tools.benchmarks import servers
from tools.benchmarks.cases import Case, Figure
from tools.benchmarks.servers import Server, Starter
from tools.benchmarks.space import BenchError, Stage

REFERENCE: Final = "nginx, 1 worker, over veth"
IDLE: Final = 1000  # connections
WARM_UP: Final = 100  # connections before those that are counted


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


def _load(start: Starter, arguments: list[str], seconds: int) -> Callable[[int], Figure]:
    def run(repetition: int) -> Figure:
        with Stage() as stage:
            server = start(stage)
            _wrk(server, arguments, 1)
            frames, cpu = server.frames(), server.cpu()
            said = _wrk(server, arguments, seconds)
            frames, cpu = server.frames() - frames, server.cpu() - cpu
        requests = int(_found(r"(\d+) requests in", said))
        details = {
            "requests": requests,
            "frames per request": frames / requests,
            "CPU per request, us": cpu / requests * 1e6,
            "latency, median": _found(r"50%\s+(\S+)", said),
        }
        remark = f"{details['frames per request']:.1f} frames, {details['CPU per request, us']:.0f} us of CPU a request"
        return Figure(float(_found(r"Requests/sec:\s+([0-9.]+)", said)), details, remark)

    return run


def _wrk(server: Server, arguments: list[str], seconds: int) -> str:
    said = server.client.run("wrk", "--threads", "1", "--duration", f"{seconds}s", "--latency", *arguments, server.url)
    for trouble in ("Socket errors", "Non-2xx"):
        if trouble in said:
            raise BenchError(f"wrk: {said}")
    return said


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
            address = [servers.OURS, str(servers.PORT)]
            server.client.start_python("idle", *address, str(WARM_UP)).wait_for("ready")
            before = server.memory()
            server.client.start_python("idle", *address, str(IDLE)).wait_for("ready")
            time.sleep(0.5)  # until the last of them is accepted
            return Figure((server.memory() - before) / IDLE, {"process": before})

    return run
