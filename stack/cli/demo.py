"""`tapstack demo`: the stack, brought up where nobody needs root, and one request's way through it.

The command starts itself again in a user and network namespace of its own (`unshare`), where it may make a TAP device
and cannot touch the machine's network. There `tapstack serve` runs as a child, and the namespace's Linux kernel is the
peer: its curl and ping speak with our stack.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from stack.addresses import show_ipv4
from stack.cli.output import written
from stack.cli.story import Story
from stack.cli.trace import steps
from stack.errors import DeviceError
from stack.io.capture import read_capture
from stack.io.configuration import ServeSettings, load
from stack.io.signals import ends_by_exception

_READY_WITHIN: Final = 15.0  # seconds
_PACKAGES: Final = {"unshare": "util-linux", "setpriv": "util-linux", "curl": "curl", "ping": "iputils-ping"}
_ADVICE: Final = (
    "Run it as root: sudo tapstack demo. Or allow unprivileged user namespaces: "
    "sudo sysctl kernel.unprivileged_userns_clone=1 (Debian), "
    "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04)"
)


def run(*, in_namespace: bool) -> int:
    """Show the demo; returns the exit code. Raises DeviceError."""
    if not in_namespace:
        _check_tools()
        prefix = _namespace_command()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}
        os.execvpe(prefix[0], [*prefix, *_ourselves("demo", "--in-namespace")], environment)
    with ends_by_exception(), written(), tempfile.TemporaryDirectory(prefix="tapstack-demo-") as directory:
        _show(load({}, None), Path(directory) / "demo.pcapng")
    return 0


def _show(settings: ServeSettings, capture: Path) -> None:
    story = Story()
    address = show_ipv4(settings.address.address)
    story.opening(settings)
    with _server("--offload", "off", "--capture", str(capture)):  # every segment as a wire would carry it
        times = _ping(address)
        journey = _fetch(settings.url)
    port = int(journey["connection"]["client"].rpartition(":")[2])
    story.pings(address, times)
    story.conversation(settings.url, steps(read_capture(capture), settings.address.address, port))
    story.request_and_response(journey)
    story.connection(journey["connection"])
    story.closing()


def _ourselves(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stack.cli.main", *arguments]


def _check_tools() -> None:
    missing = [tool for tool in _PACKAGES if shutil.which(tool) is None]
    if missing:
        packages = " ".join(dict.fromkeys(_PACKAGES[tool] for tool in missing))
        raise DeviceError(f"the demo needs {' and '.join(missing)}: sudo apt-get install {packages}")


def _namespace_command() -> Sequence[str]:
    """The command in front of ours that gives it a network of its own, tried out. Raises DeviceError."""
    why = ""
    for command in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        if command[1] == "--net" and os.geteuid() != 0:
            continue
        tried = subprocess.run([*command, "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if tried.returncode == 0:
            return command
        why = tried.stderr.strip().removeprefix("unshare: ")
    raise DeviceError(f"cannot make a network namespace for the demo: {why}. {_ADVICE}")


@contextmanager
def _server(*arguments: str) -> Iterator[None]:
    """`tapstack serve` with `arguments` as a child process, from when it is ready until it is gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"tapstack-demo-{os.getpid()}"
        manager.bind(f"\0{name}")
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *_ourselves("serve", *arguments)],  # it ends with us, however we end
            env=os.environ | {"NOTIFY_SOCKET": f"@{name}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            _wait_until_ready(manager, server)
            yield
        finally:
            _end(server)


def _wait_until_ready(manager: socket.socket, server: subprocess.Popen[str]) -> None:
    manager.settimeout(0.1)
    end = time.monotonic() + _READY_WITHIN
    while time.monotonic() < end:
        try:
            manager.recv(100)
            return
        except TimeoutError:
            if server.poll() is not None and server.stderr:
                raise DeviceError(server.stderr.read().strip().removeprefix("tapstack: ")) from None
    raise DeviceError(f"the server was not ready after {_READY_WITHIN:.0f} s")


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    try:
        server.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.communicate()


def _fetch(url: str) -> dict[str, Any]:
    """Have curl get the page at `url` and then, on the same connection, its journey. Raises DeviceError."""
    command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "10"]
    done = _run([*command, "--output", os.devnull, url, "--next", *command[1:], f"{url}journey.json"])
    if done.returncode:
        raise DeviceError(f"curl {url} failed: {done.stderr.strip()}")
    journey: dict[str, Any] = json.loads(done.stdout)
    return journey


def _ping(address: str) -> list[float]:
    """The round-trip times of three pings, in milliseconds. Raises DeviceError."""
    command = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", address]
    done = _run(command)
    times = [float(each) for each in re.findall(r"time=([0-9.]+) ms", done.stdout)]
    if done.returncode or not times:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no answer"]
        raise DeviceError(f"{' '.join(command)} failed: {said[-1]}")
    return times


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LC_ALL": "C"}
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
