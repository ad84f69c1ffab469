"""Where the clients of a benchmark find their server: on our stack, or on the Linux kernel's, next door over veth."""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.benchmarks.space import PATIENCE, BenchError, Kernel, Process, Stage

PORT: Final = 80
PATH: Final = "/bench/64"  # what gives 64 octets
OURS, THEIRS = "10.77.0.2", "10.77.0.1"  # the server's and the client's address
_NGINX: Final = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}; proxy_temp_path {folder};
    fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 80 backlog=1024; default_type application/octet-stream; location / {{ return 200 "{body}"; }} }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready: its process, the network namespace of its clients, and their device."""

    process: Process
    client: Kernel
    device: str

    def url(self, path: str) -> str:
        """Where `path` is."""
        return f"http://{OURS}{path}"

    def cpu(self) -> float:
        """Seconds that the server's process has spent, and those that it has started; in the kernel too."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sum(map(_cpu, (str(self.process.pid), *children)))

    def frames(self) -> int:
        """Frames that have passed, in both directions."""
        [link] = json.loads(self.client.run("ip", "-json", "-statistics", "link", "show", "dev", self.device))
        passed: dict[str, Any] = link["stats64"]
        return int(passed["rx"]["packets"]) + int(passed["tx"]["packets"])

    def memory(self) -> int:
        """Octets of the server's process that are in memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise BenchError("the server has ended")


def _cpu(process: str) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


Starter = Callable[[Stage], Server]


def ours(offload: str, workers: int = 1) -> Starter:
    """`tapstack serve`, with options as given."""

    def start(stage: Stage) -> Server:
        kernel = stage.kernel()
        options = ["--offload", offload, "--workers", str(workers)]
        process = kernel.start(sys.executable, "-m", "stack.cli.main", "serve", *options)
        return _when_ready(Server(process, kernel, "tap0"))

    return start


def our_uvicorn(loop: str) -> Starter:
    """uvicorn on our stack; `loop` is asyncio or uvloop."""
    factory = {"asyncio": "stack.aio:loop_factory", "uvloop": "stack.aio:uvloop_factory"}[loop]

    def start(stage: Stage) -> Server:
        kernel = stage.kernel()
        return _when_ready(Server(kernel.start(*_uvicorn(factory)), kernel, "tap0"))

    return start


def uvicorn(loop: str) -> Starter:
    """uvicorn on the kernel's TCP; `loop` is asyncio or uvloop."""

    def start(stage: Stage) -> Server:
        client, server = next_door(stage)
        return _when_ready(Server(server.start(*_uvicorn(loop)), client, "veth0"))

    return start


def _uvicorn(loop: str) -> list[str]:
    options = f"--host {OURS} --port {PORT} --http httptools --lifespan off --no-access-log --log-level warning"
    folder = str(Path(__file__).parent)  # it goes in front of the import path, where the checkout must not be
    return [sys.executable, "-m", "uvicorn", "--loop", loop, *options.split(), "--app-dir", folder, "bare_asgi:app"]


def nginx(folder: Path) -> Starter:
    """nginx, one worker."""
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, body="x" * 64))

    def start(stage: Stage) -> Server:
        client, server = next_door(stage)
        return _when_ready(Server(server.start("nginx", "-c", str(configuration)), client, "veth0"))

    return start


def small(stage: Stage) -> Server:
    """A small httptools server on asyncio."""
    client, server = next_door(stage)
    return _when_ready(Server(server.start_python("kernel_http"), client, "veth0"))


def next_door(stage: Stage, *, offload: bool = True) -> tuple[Kernel, Kernel]:
    """A client's and a server's namespace, joined by a veth pair that cuts and sums for them if `offload`."""
    client, server = stage.kernel(), stage.kernel()
    stage.veth(client, server)
    for kernel, device, address in ((client, "veth0", THEIRS), (server, "veth1", OURS)):
        kernel.run("ip", "address", "add", f"{address}/24", "dev", device)
        segments = [] if offload else ["gso_max_segs", "1"]
        kernel.run("ip", "link", "set", device, *segments, "up")
    return client, server


def _when_ready(server: Server) -> Server:
    """Wait until it answers. Raises BenchError."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            server.client.run("curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "2", server.url(PATH))
        except BenchError:
            time.sleep(0.05)
        else:
            return server
    raise server.process.failure("it does not answer")
