"""`tapstack demo`, which makes its own namespace: as root and as an ordinary user, and where it cannot work."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.kernel.conftest import NOBODY, ROOT, environment, need, wait_for

pytestmark = pytest.mark.kernel

DEMO = ("-m", "stack.cli.main", "demo")


def demo_environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return environment() | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "TAPSTACK_TEST": uuid.uuid4().hex} | more


def run_demo(env: dict[str, str], *prefix: str) -> "subprocess.CompletedProcess[str]":
    for tool in ("unshare", "curl", "ping"):
        need(tool)
    return subprocess.run(
        [*(prefix or [sys.executable]), *DEMO], env=env, cwd="/", capture_output=True, text=True, timeout=60
    )


def left_over(env: dict[str, str]) -> list[int]:
    """The processes that have inherited this very environment and are still there."""
    mark, found = env["TAPSTACK_TEST"].encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def check_story(text: str) -> None:
    for words in (
        "Linux kernel",
        "ping 10.77.0.2",
        "── SYN ────",
        "SYN ACK ──",
        "GET / HTTP/1.1",
        "╭─ Ethernet 14 octets",
        "╭─ IPv4 20 octets",
        "╭─ TCP 32 octets",
        "╭─ HTTP",
        "Host: 10.77.0.2",
        "HTTP/1.1 200 OK",
        "FIN",
        "round trip",
    ):
        assert words in text, text
    assert "\x1b" not in text, "piped: no colours"
    assert max(map(len, text.splitlines())) <= 100


def test_the_demo(tmp_path: Path) -> None:
    env = demo_environment(tmp_path)
    done = run_demo(env)
    assert done.returncode == 0 and done.stderr == "", done
    check_story(done.stdout)
    assert left_over(env) == [] and list(tmp_path.iterdir()) == []


def test_the_demo_needs_no_root(tmp_path: Path, as_nobody: list[str]) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    os.chown(mine, NOBODY, NOBODY)
    env = demo_environment(mine)
    # The node may be for root only here: with one that is for all, as udev makes it, in a mount namespace.
    node = 'mount -t tmpfs -o mode=755 none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec "$@"'
    done = run_demo(env, "unshare", "--mount", "sh", "-c", node, "sh", *as_nobody)
    if "cannot make a network namespace" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0 and done.stderr == "", done
    check_story(done.stdout)
    assert left_over(env) == [] and list(mine.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_demo_leaves_nothing_however_it_ends(tmp_path: Path, number: int) -> None:
    env = demo_environment(tmp_path)
    demo = subprocess.Popen(
        [sys.executable, *DEMO], env=env, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    with demo:
        wait_for(lambda: len(left_over(env)) > 1, "the server")
        time.sleep(0.3)
        demo.send_signal(number)
        assert demo.wait(10) != 0
        assert demo.stderr and b"Traceback" not in demo.stderr.read()
    wait_for(lambda: not left_over(env), "the end of the server")


def fake_tools(directory: Path, **scripts: str) -> str:
    """A PATH with nothing but these commands and those that every system has."""
    for name, script in scripts.items():
        tool = directory / name
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
    return str(directory)


def test_missing_tools_are_named_with_their_packages(tmp_path: Path) -> None:
    path = fake_tools(tmp_path, unshare="exit 0", setpriv="exit 0")
    done = run_demo(demo_environment(tmp_path, PATH=path))
    assert done.returncode == 1
    assert done.stderr == "tapstack: the demo needs curl and ping: sudo apt-get install curl iputils-ping\n"


def test_where_namespaces_are_forbidden(tmp_path: Path) -> None:
    forbidden = "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1"
    path = fake_tools(tmp_path, unshare=forbidden, setpriv="exit 0", curl="exit 0", ping="exit 0")
    done = run_demo(demo_environment(tmp_path, PATH=path))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "cannot make a network namespace for the demo: unshare failed: Operation not permitted." in done.stderr
    assert "sudo sysctl" in done.stderr
