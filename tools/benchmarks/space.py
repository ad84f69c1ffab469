"""Where benchmarks run: network namespaces of their own, and processes that end with us, however we end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from stack.io.tap import Tap

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 20.0  # seconds for anything that should take none
_INSIDE: Final = "TAPSTACK_BENCH_INSIDE"
_STRICT: Final = ["-O2", "-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
_ADVICE: Final = (
    "Run it as root: sudo tools/bench. Or allow user namespaces to everybody:"
    " sudo sysctl kernel.unprivileged_userns_clone=1 (Debian),"
    " sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04)"
)


class BenchError(Exception):
    """A benchmark that cannot be run; the message says why, and what to do."""


def need(packages: dict[str, str]) -> None:
    """Raise BenchError that names every package (by command) that is not installed."""
    os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"  # Debian's users have it without
    missing = [command for command in packages if shutil.which(command) is None]
    if missing:
        names = " ".join(dict.fromkeys(packages[command] for command in missing))
        raise BenchError(f"{', '.join(missing)} not found: sudo apt-get install {names}")


def enter_own_namespace(module: str, arguments: Sequence[str]) -> None:
    """Start over in a network namespace of our own, unless we are in it. Raises BenchError."""
    if _INSIDE in os.environ:
        return
    why = ""
    for command in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        if len(command) == 2 and os.geteuid() != 0:
            continue
        tried = subprocess.run([*command, "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if tried.returncode == 0:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}
            os.execvpe(command[0], [*command, sys.executable, "-m", module, *arguments], environment | {_INSIDE: "yes"})
        why = tried.stderr.strip().removeprefix("unshare: ")
    raise BenchError(f"cannot make a network namespace: {why}. {_ADVICE}")


def exit_in_order_on_sigterm() -> None:
    """SIGTERM ends us by way of every `finally`, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def compile_c(name: str, folder: Path) -> Path:
    """The program made of the C file `name` of this package, in `folder`. Raises BenchError."""
    program = folder / Path(name).stem
    command = [os.environ.get("CC", "cc"), *_STRICT, "-o", str(program), str(Path(__file__).parent / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{' '.join(command)} failed:\n{done.stderr}")
    return program


class Process:
    """A child process that says what it found as a line of JSON; it is killed if we die."""

    def __init__(self, command: Sequence[str], *, pass_fds: Sequence[int] = ()) -> None:
        self._command = command
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in close())
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            pass_fds=pass_fds,
            cwd=ROOT,
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def wait_for(self, line: str) -> None:
        """Wait until it has said `line`. Raises BenchError."""
        if self._read(PATIENCE) != line:
            raise self.failure("it has ended")

    def tell(self, line: str) -> None:
        """Give it a line."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def result(self, within: float, *, close: bool = False) -> Any:
        """What it found, at the end; `close`: its standard input is closed first. Raises BenchError."""
        if close and self._process.stdin:
            self._process.stdin.close()
        try:
            return json.loads(self._read(within))
        except ValueError:
            raise self.failure("it has ended without a result") from None

    def _read(self, within: float) -> str:
        assert self._process.stdout
        with _Alarm(within, f"{self._name} has not answered within {within:.0f} s"):
            return self._process.stdout.readline().rstrip("\n")

    @property
    def _name(self) -> str:
        return " ".join(self._command)

    def failure(self, why: str) -> BenchError:
        """What to raise when it does not do what it should: with what it has said itself, or else `why`."""
        self._errors.seek(0)
        return BenchError(f"{self._name} failed: {self._errors.read().strip() or why}")

    def close(self) -> None:
        """End it, now."""
        if self._process.poll() is None:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream:
                stream.close()
        self._process.wait(PATIENCE)


class _Alarm:
    """Raises BenchError(message) in the main thread if the block is not left in time."""

    def __init__(self, seconds: float, message: str) -> None:
        self._seconds = seconds
        self._message = message

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def _ring(self, number: int, frame: object) -> None:
        raise BenchError(self._message)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Stage(AbstractContextManager["Stage"]):
    """The namespaces, devices and processes of one run; all are gone when it is left."""

    def __init__(self) -> None:
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.close()

    def start(self, *command: str, pass_fds: Sequence[int] = ()) -> Process:
        """Start a command where we are."""
        return self._resources.enter_context(closing(Process(command, pass_fds=pass_fds)))

    def start_python(self, module: str, *arguments: str, pass_fds: Sequence[int] = ()) -> Process:
        """Start a module of this package where we are."""
        return self.start(*python(module, *arguments), pass_fds=pass_fds)

    def kernel(self) -> "Kernel":
        """A network namespace: a machine of its own, as far as the Linux kernel's TCP goes."""
        return Kernel(self)

    def tap(self, name: str, kernel: "Kernel", address: str, *, offload: bool = False) -> Tap:
        """A TAP device whose kernel side is in `kernel` and has `address` (with a prefix length)."""
        tap = self._resources.enter_context(Tap(name, offload=offload))
        run("ip", "link", "set", name, "netns", str(kernel.pid))
        kernel.run("ip", "link", "set", name, "addrgenmode", "none")  # no IPv6, and nothing of it on the link
        kernel.run("ip", "address", "add", address, "dev", name)
        # The kernel drops what its end of the device does not take: no queue of this link's is to be there.
        kernel.run("ip", "link", "set", name, "txqueuelen", "20000", "up")
        return tap

    def veth(self, one: "Kernel", other: "Kernel") -> None:
        """A pair of devices, veth0 in `one` and veth1 in `other`."""
        peer = ["peer", "name", "veth1", "netns", str(other.pid)]
        run("ip", "link", "add", "veth0", "netns", str(one.pid), "type", "veth", *peer)


class Kernel:
    """A network namespace, held by a process."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._holder = stage.start("unshare", "--net", "cat")
        self._holder.tell("ready")
        self._holder.wait_for("ready")
        self.pid = self._holder.pid

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--net", *command]

    def run(self, *command: str) -> str:
        """Run a command in it; its output. Raises BenchError."""
        return run(*self._inside(*command))

    def start(self, *command: str) -> Process:
        """Start a command in it."""
        return self._stage.start(*self._inside(*command))

    def start_python(self, module: str, *arguments: str) -> Process:
        """Start a module of this package in it."""
        return self.start(*python(module, *arguments))


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` of this package."""
    return [sys.executable, "-m", f"tools.benchmarks.{module}", *arguments]


def run(*command: str) -> str:
    """Run a command to its end; its output. Raises BenchError."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        raise BenchError(f"{' '.join(command)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
