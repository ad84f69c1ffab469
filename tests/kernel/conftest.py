"""Network namespaces with `tapstack serve` in them, and the Linux kernel and its tools as the peer.

Needs Linux, /dev/net/tun, util-linux, iproute2, curl, iputils-ping and ncat, and root or user namespaces. What is
missing fails the test: CI installs it. Nothing touches the machine's own network.
"""

import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

PACKAGES = {
    "curl": "curl",
    "ip": "iproute2",
    "ncat": "ncat",
    "nsenter": "util-linux",
    "ping": "iputils-ping",
    "setpriv": "util-linux",
    "ss": "iproute2",
    "unshare": "util-linux",
}
ADDRESS = "10.77.0.2"
HOST_ADDRESS = "10.77.0.1"
URL = f"http://{ADDRESS}/"
NOBODY = 65534


def need(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.fail(f"{tool} is not installed: sudo apt-get install {PACKAGES[tool]}", pytrace=False)


def environment() -> dict[str, str]:
    """Ours, without what would make `tapstack serve` drop its privileges to whoever called sudo."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}


class Namespace:
    """A network namespace of its own; it lives as long as the `cat` in it, which ends when we do."""

    def __init__(self) -> None:
        need("unshare")
        need("nsenter")
        need("ip")
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", *user, "--net", "cat"]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._holder.stdin and self._holder.stdout and self._holder.stderr
        self._holder.stdin.write(b"ready\n")
        self._holder.stdin.flush()
        if self._holder.stdout.readline() != b"ready\n":
            why = self._holder.stderr.read().decode()
            pytest.fail(
                f"cannot make a network namespace: {why}Run as root, or where user namespaces are allowed", False
            )
        enter = ["--user", "--preserve-credentials"] if user else []
        self._enter = ["nsenter", "--target", str(self._holder.pid), *enter, "--net"]
        self._processes: list[subprocess.Popen[Any]] = []
        self.run("ip", "link", "set", "lo", "up")

    def command(self, arguments: Sequence[str]) -> list[str]:
        need(arguments[0])
        return [*self._enter, *arguments]

    def run(self, *arguments: str, check: bool = True, timeout: float = 60, **options: Any) -> Any:
        """Run a command in the namespace to its end; its output as text."""
        options = {"capture_output": True, "text": True, "errors": "replace", "env": environment()} | options
        done = subprocess.run(self.command(arguments), timeout=timeout, **options)
        if check and done.returncode:
            pytest.fail(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a command in the namespace; it is ended with it at the latest."""
        process = subprocess.Popen(self.command(arguments), **options)
        self._processes.append(process)
        return process

    def enter(self) -> None:
        """Have the calling process, which has one thread, be in the namespace from now on."""
        libc = ctypes.CDLL(None, use_errno=True)  # os.setns() is Python 3.12's
        for kind in (["user"] if "--user" in self._enter else []) + ["net"]:
            with open(f"/proc/{self._holder.pid}/ns/{kind}") as of_kind:
                if libc.setns(of_kind.fileno(), 0):
                    raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")

    def devices(self) -> set[str]:
        listing = self.run("ip", "-brief", "link").stdout
        return {line.split()[0] for line in listing.splitlines()}

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        self._holder.communicate(timeout=10)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    space = Namespace()
    try:
        yield space
    finally:
        space.close()


class Server:
    """A running `tapstack serve`; `log` is what it wrote so far."""

    def __init__(self, namespace: Namespace, directory: Path, arguments: Sequence[str], prefix: Sequence[str]) -> None:
        self.namespace = namespace
        self._directory = Path(tempfile.mkdtemp(prefix="tapstack-"))
        self._directory.chmod(0o777)
        self._log = (self._directory / "log").open("w+b")
        self._workers = int(arguments[arguments.index("--workers") + 1]) if "--workers" in arguments else 1
        notify = self._directory / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(notify))
            notify.chmod(0o666)
            self.process = namespace.start(
                *(prefix or [sys.executable]),
                "-m",
                "stack.cli.main",
                "serve",
                *arguments,
                cwd=directory,
                env=environment() | {"NOTIFY_SOCKET": str(notify), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )
            self._wait_until_ready(manager)

    def _wait_until_ready(self, manager: socket.socket) -> None:
        manager.settimeout(0.1)
        for _ in range(200):
            try:
                assert manager.recv(100) == b"READY=1"
                return
            except TimeoutError:
                if self.process.poll() is not None:
                    break
        pytest.fail(f"tapstack serve did not get ready:\n{self.log}")

    @property
    def log(self) -> str:
        return Path(self._log.name).read_text(errors="replace")

    def statistics_of_each(self) -> list[Counter[str]]:
        """What each of its workers says of itself when the server gets SIGUSR1."""
        before = self.log.count("message=statistics")
        self.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: self.log.count("message=statistics") == before + self._workers, "everybody's statistics")
        lines = [line for line in self.log.splitlines() if "message=statistics" in line][-self._workers :]
        words = [[word.split("=", 1) for word in line.split()] for line in lines]
        return [Counter({name: int(value) for name, value in each if value.isdecimal()}) for each in words]

    def statistics(self) -> Counter[str]:
        """What the server says of itself, all workers taken together."""
        return sum(self.statistics_of_each(), Counter())

    def connections(self) -> int:
        """How many connections it has, those in TIME-WAIT not counted."""
        statistics = self.statistics()
        return statistics["connections"] - statistics["connections_time_wait"]

    def stop(self, number: int = signal.SIGTERM, within: float = 2.0) -> float:
        """Ask it to end; the seconds that it took. Fails unless it ended in time, in order and silently."""
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running {within} s after signal {number}:\n{self.log}")
        taken = time.monotonic() - began
        assert code == 0, self.log
        assert "Traceback" not in self.log, self.log
        assert "stopped after" in self.log
        return taken

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._log.close()
        shutil.rmtree(self._directory)


ROOT = Path(__file__).resolve().parents[2]

Serve = Callable[..., Server]


@pytest.fixture
def serve(namespace: Namespace, tmp_path: Path) -> Iterator[Serve]:
    """serve("--mtu", "9000", ..., directory=PATH, prefix=COMMAND): a server that is ready, in the test's namespace.

    `prefix` is how Python is called, if not as ourselves.
    """
    servers: list[Server] = []

    def start(*arguments: str, directory: Path = tmp_path, prefix: Sequence[str] = ()) -> Server:
        server = Server(namespace, directory, arguments, prefix)
        servers.append(server)
        return server

    try:
        yield start
    finally:
        for server in servers:
            server.close()


@pytest.fixture(params=["auto", "off", "two workers", "Python fastpath"])
def serve_in_each_mode(serve: Serve, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """serve(), with and without offload, and with offload by two processes, and without the C part."""
    options = ("--offload", "off" if request.param == "off" else "auto")
    if request.param == "two workers":
        options += ("--workers", "2")
    elif request.param == "Python fastpath":
        monkeypatch.setenv("TAPSTACK_FASTPATH", "reference")
    return lambda *arguments, **more: serve(*options, *arguments, **more)


@pytest.fixture(params=["auto", "off"])
def serve_either_way(serve: Serve, request: pytest.FixtureRequest) -> Serve:
    """serve(), once with the kernel leaving out what it can, and once with nothing left out."""
    return lambda *arguments, **options: serve("--offload", request.param, *arguments, **options)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """As pytest's, but not below a directory that is shut to other users whenever another pytest begins."""
    with tempfile.TemporaryDirectory(prefix="tapstack-") as directory:
        yield Path(directory)


@pytest.fixture
def as_nobody(tmp_path: Path) -> list[str]:
    """How Python is called as another user, to whom `tmp_path` is opened; skips where that user can run none."""
    if os.geteuid() != 0 or Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        pytest.skip("needs more users than there are without root")
    need("setpriv")
    for each in (tmp_path, *tmp_path.parents):
        mode = stat.S_IMODE(each.stat().st_mode)
        if each.stat().st_uid == os.geteuid() and mode & 0o005 != 0o005 and each != Path("/"):
            each.chmod(mode | 0o055)
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env"]
    packages = sysconfig.get_path("purelib")
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        command = [*become, f"PYTHONPATH={ROOT}:{packages}", python]
        if not subprocess.run([*command, "-c", "import stack.cli.serve"], cwd="/", capture_output=True).returncode:
            return command
    pytest.skip(f"{sys.executable} or {ROOT} cannot be read by other users")


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)
