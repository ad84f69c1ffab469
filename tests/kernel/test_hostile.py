"""Attacks over a real TAP, while the kernel's curl goes on downloading: nothing ends, and memory stays bounded."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stack.config import TcpConfig
from tests.kernel.conftest import HOST_ADDRESS, ROOT, URL, Namespace, Serve, Server, environment, wait_for

pytestmark = pytest.mark.kernel

MEGABYTE = 1 << 20
SYNS = 100_000


class Attack:
    """mallory.py at work; done() waits until he is through."""

    def __init__(self, namespace: Namespace, *arguments: str) -> None:
        program = str(Path(__file__).with_name("mallory.py"))
        self.process = namespace.start(
            sys.executable, program, *arguments,
            env=environment() | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def done(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "done\n"


class Download:
    """A download of `served`, slow enough to be attacked."""

    def __init__(self, namespace: Namespace, served: Path) -> None:
        self._served, self._file = served, served.with_name("download")
        options = ("--silent", "--fail", "--max-time", "60", "--limit-rate", "8M", "--output", str(self._file))
        self.process = namespace.start("curl", *options, f"{URL}{served.name}")
        wait_for(lambda: self._file.exists() and self._file.stat().st_size > 0, "the download to begin")

    def finishes(self) -> None:
        assert self.process.wait(60) == 0
        assert self._file.read_bytes() == self._served.read_bytes()


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A file in a directory that is to be served."""
    file = tmp_path / "large"
    file.write_bytes(random.Random(5961).randbytes(40 * MEGABYTE))
    return file


def resident(server: Server) -> int:
    """Octets of memory that the server's process has."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) << 10


def counted(server: Server, name: str) -> int:
    return server.statistics()[name]


def test_a_download_goes_on_through_a_flood_of_syns(namespace: Namespace, serve: Serve, served: Path) -> None:
    server = serve(str(served.parent))
    namespace.run("ip", "link", "set", "tap0", "txqueuelen", str(2 * SYNS))  # so that all of them arrive
    download = Download(namespace, served)
    before = resident(server)
    Attack(namespace, "flood", str(SYNS)).done()
    download.finishes()
    wait_for(lambda: counted(server, "TcpExtSyncookiesSent") > SYNS * 9 // 10, "the SYNs to be answered", 30)
    assert resident(server) - before < 16 * MEGABYTE
    statistics = server.statistics()  # `connections` counts those in the SYN queue, too, where they rest for a minute
    half_open = int(statistics.get("connections_syn_received", 0))
    assert half_open <= TcpConfig().syn_backlog
    assert int(statistics["connections"]) - half_open <= 1  # the download's, if it is not over yet


def test_guesses_all_over_the_sequence_numbers_change_nothing(namespace: Namespace, serve: Serve, served: Path) -> None:
    server = serve(str(served.parent))
    download = Download(namespace, served)
    listing = namespace.run("ss", "--tcp", "--numeric", "--no-header", "state", "established").stdout
    match = re.search(rf"{re.escape(HOST_ADDRESS)}:(\d+)", listing)
    assert match is not None, listing
    Attack(namespace, "guess", HOST_ADDRESS, match[1]).done()
    download.finishes()
    assert counted(server, "requests") == 1
    assert counted(server, "TcpExtTCPChallengeACK") > 0


def test_octets_one_by_one_and_out_of_order_are_held_within_bounds(namespace: Namespace, serve: Serve) -> None:
    server = serve()
    before = resident(server)
    attack = Attack(namespace, "octets", "10000")
    attack.done()
    wait_for(lambda: counted(server, "TcpExtTCPOFODrop") > 0, "more holes than are remembered")
    assert resident(server) - before < 16 * MEGABYTE
    assert namespace.run("curl", "--silent", "--fail", f"{URL}bench/64").stdout


def test_a_thousand_connections_that_never_read(namespace: Namespace, serve: Serve) -> None:
    server = serve()
    before = resident(server)
    attack = Attack(namespace, "deaf", "1000")
    attack.done()
    wait_for(lambda: server.connections() >= 1000, "the connections")
    assert resident(server) - before < 300 * MEGABYTE  # TcpConfig.memory_limit, and what a connection itself takes
    assert namespace.run("curl", "--silent", "--fail", f"{URL}bench/64").stdout
    server.stop()
