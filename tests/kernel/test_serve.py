"""The life of `tapstack serve`: devices, privileges, the capture, and the end."""

import os
import pwd
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kernel.conftest import ADDRESS, HOST_ADDRESS, NOBODY, ROOT, URL, Namespace, Serve, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("heeds_sighup")]


def fails(namespace: Namespace, *arguments: str, code: int, prefix: Sequence[str] = (sys.executable,)) -> str:
    """`tapstack serve` ends with `code` and one line, which is returned."""
    command = [*prefix, "-m", "stack.cli.main", "serve", *arguments]
    done = namespace.run(*command, check=False, cwd=ROOT, timeout=20)
    assert done.returncode == code, done
    assert done.stdout == "" and done.stderr.startswith("tapstack: ") and done.stderr.count("\n") == 1, done.stderr
    return str(done.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_at_once_when_idle(namespace: Namespace, serve: Serve, number: int) -> None:
    server = serve()
    assert "tap0" in namespace.devices()
    server.stop(number, within=2.0)
    assert "tap0" not in namespace.devices()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_within_two_seconds_under_load(namespace: Namespace, serve: Serve, tmp_path: Path, number: int) -> None:
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(10_000_000_000)
    server = serve(str(tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    for index in range(20):
        namespace.start("curl", "--silent", "--limit-rate", "10M", "--output", f"{out}/{index}", f"{URL}large")
    wait_for(lambda: len(list(out.iterdir())) == 20, "20 downloads to begin")
    server.stop(number, within=2.0)
    assert "tap0" not in namespace.devices()


def test_an_idle_keep_alive_connection_does_not_hold_it_up(namespace: Namespace, serve: Serve, tmp_path: Path) -> None:
    server = serve(str(tmp_path))
    client = namespace.start("ncat", ADDRESS, "80", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    wait_for(lambda: server.connections() == 1, "the connection")
    server.stop(within=2.0)
    client.kill()


def test_the_start_up_message_says_everything(namespace: Namespace, serve: Serve, tmp_path: Path) -> None:
    server = serve(str(tmp_path), "--capture", str(tmp_path / "x.pcapng"), "--port", "8080")
    for words in ("http://10.77.0.2:8080/", "ping 10.77.0.2", "10.77.0.1/24 on tap0", str(tmp_path), "Ctrl-C"):
        assert words in server.log
    assert "\x1b" not in server.log, "no colours where nobody sees them"


def frames_of(file: Path) -> list[tuple[int, bytes]]:
    """The packets of a pcapng file: (direction, octets); 1 is inbound."""
    content, frames, at = file.read_bytes(), [], 0
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        assert struct.unpack_from("<I", content, at + length - 4) == (length,)
        if kind == 6:
            size = struct.unpack_from("<I", content, at + 20)[0]
            option, _, direction = struct.unpack_from("<HHI", content, at + 28 + size + -size % 4)
            assert option == 2
            frames.append((direction, content[at + 28 : at + 28 + size]))
        at += length
    return frames


def test_the_capture_holds_both_directions(namespace: Namespace, serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "capture.pcapng"
    server = serve(str(tmp_path), "--capture", str(file))
    namespace.run("ping", "-c", "1", ADDRESS)
    server.stop()
    frames = frames_of(file)
    icmp = [(direction, frame[34]) for direction, frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 1]
    assert icmp == [(1, 8), (2, 0)], "an echo request in, its reply out"
    assert f"{len(frames)} frames captured" in server.log


def test_a_capture_that_cannot_be_written(namespace: Namespace) -> None:
    said = fails(namespace, "--capture", "/no/such/place.pcapng", code=1)
    assert "cannot write the capture file /no/such/place.pcapng: No such file or directory" in said
    assert "tap0" not in namespace.devices()


def test_a_busy_device(namespace: Namespace, serve: Serve) -> None:
    serve()
    said = fails(namespace, "--host-address", "10.99.0.1/24", "--address", "10.99.0.2/24", code=1)
    assert "cannot open TAP 'tap0': Device or resource busy." in said and "--tap" in said


def test_a_device_that_is_no_tap(namespace: Namespace) -> None:
    assert "is not a TAP device" in fails(namespace, "--tap", "lo", code=1)


@pytest.mark.parametrize(("chosen", "wide"), [(False, "10.0.0.0/8"), (False, "10.77.0.0/24"), (True, "10.98.0.0/24")])
def test_a_subnet_in_use(namespace: Namespace, chosen: bool, wide: str) -> None:
    namespace.run("ip", "tuntap", "add", "other0", "mode", "tap")
    namespace.run("ip", "link", "set", "other0", "up")
    namespace.run("ip", "route", "add", wide, "dev", "other0")
    addresses = ["--host-address", "10.98.0.1/24", "--address", "10.98.0.2/24"] if chosen else []
    said = fails(namespace, *addresses, code=1)
    assert "is in use: device 'other0' has a route to " + wide in said
    assert "--host-address " in said and "tap0" not in namespace.devices()


@pytest.mark.parametrize(
    ("how", "what"),
    [(("ip", "link", "del", "tap0"), "was deleted"), (("ip", "link", "set", "tap0", "down"), "was set down")],
)
def test_a_device_that_goes_away(namespace: Namespace, serve: Serve, how: tuple[str, ...], what: str) -> None:
    server = serve()
    namespace.run(*how)
    assert server.process.wait(5) == 1
    assert f"tapstack: TAP 'tap0' {what} while it was in use" in server.log
    assert "Traceback" not in server.log


def state_of(namespace: Namespace, device: str) -> list[str]:
    """Its MTU, state and addresses."""
    link = namespace.run("ip", "-oneline", "link", "show", device).stdout.split()
    return [link[link.index("mtu") + 1], *namespace.run("ip", "-brief", "address", "show", device).stdout.split()]


def test_a_device_made_beforehand_is_left_as_it_was(namespace: Namespace, serve: Serve) -> None:
    namespace.run("ip", "tuntap", "add", "made0", "mode", "tap")
    before = state_of(namespace, "made0")
    server = serve("--tap", "made0", "--mtu", "1400")
    assert state_of(namespace, "made0")[0] == "1400" and f"{HOST_ADDRESS}/24" in state_of(namespace, "made0")
    server.stop(signal.SIGHUP)  # as when its terminal is closed
    assert state_of(namespace, "made0") == before == ["1500", "made0", "DOWN"]


def test_a_device_made_for_a_user_needs_no_privileges(
    namespace: Namespace, serve: Serve, tmp_path: Path, as_nobody: list[str]
) -> None:
    said = fails(namespace, code=1, prefix=as_nobody)
    assert "cannot open TAP 'tap0': Operation not permitted. Opening one needs CAP_NET_ADMIN" in said
    namespace.run("ip", "tuntap", "add", "tap0", "mode", "tap", "user", str(NOBODY))
    said = fails(namespace, code=1, prefix=as_nobody)
    advice = said.split("Prepare it once as root: ")[1].strip().replace("sudo ", "")
    for command in advice.split("; "):
        namespace.run(*command.split())
    server = serve(str(tmp_path), prefix=as_nobody)
    namespace.run("ping", "-c", "1", ADDRESS)
    server.stop()
    assert "tap0" in namespace.devices()
    assert HOST_ADDRESS in namespace.run("ip", "address", "show", "tap0").stdout, "it was not ours to remove"


@pytest.mark.usefixtures("as_nobody")
def test_sudo_ends_with_the_device(namespace: Namespace, serve: Serve, tmp_path: Path) -> None:
    """By sudo: the process is its caller once the device is open, files are that user's, and all is undone."""
    drop = tmp_path / "drop"
    drop.mkdir()
    os.chown(drop, NOBODY, NOBODY)
    namespace.run("ip", "tuntap", "add", "made0", "mode", "tap")
    before = state_of(namespace, "made0")
    sudo = ("env", f"SUDO_UID={NOBODY}", f"SUDO_GID={NOBODY}", sys.executable)
    capture = drop / "capture.pcapng"
    server = serve(str(tmp_path), "--tap", "made0", "--capture", str(capture), prefix=sudo)
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert set(fields["Uid"].split()) == set(fields["Gid"].split()) == {str(NOBODY)}
    assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == 0
    assert pwd.getpwuid(NOBODY).pw_name in server.log and "privileges are dropped" in server.log
    namespace.run("ping", "-c", "1", ADDRESS)
    assert capture.stat().st_uid == NOBODY
    for each in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split():
        os.kill(int(each), signal.SIGTERM)  # as a service manager does, to all at once
    server.stop()
    assert state_of(namespace, "made0") == before == ["1500", "made0", "DOWN"]
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    assert "cannot be read: permission denied" in fails(namespace, str(hidden), code=2, prefix=sudo)


def test_an_unreadable_device_node(namespace: Namespace, as_nobody: list[str]) -> None:
    """In a mount namespace of its own the node is replaced by one for root only, and then by none."""
    in_place = ("unshare", "--mount", "sh", "-c")
    for node, message in (
        ("mknod -m 600 /dev/net/tun c 10 200", "cannot open /dev/net/tun: Permission denied. Run as root"),
        ("true", "cannot open /dev/net/tun: No such file or directory. The kernel's TUN/TAP driver is not there"),
    ):
        script = f'mount -t tmpfs -o mode=755 none /dev/net && {node} && exec "$@"'
        assert message in fails(namespace, code=1, prefix=(*in_place, script, "sh", *as_nobody))
