"""`tapstack serve --workers N`: the kernel deals connections to processes; one that dies is replaced."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.conftest import ADDRESS, URL, Namespace, Serve, Server, wait_for
from tests.kernel.test_http import MEGABYTE, sha256_of
from tests.kernel.test_serve import fails

pytestmark = pytest.mark.kernel


def workers_of(server: Server) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def fetch_many(namespace: Namespace, number: int, name: str, out: Path) -> None:
    out.mkdir()
    namespace.run(
        "curl", "--silent", "--show-error", "--fail", "--max-time", "60", "--parallel", "--parallel-immediate",
        "--parallel-max", str(number), "--output", f"{out}/#1", f"{URL}{name}?[1-{number}]", timeout=90,
    )  # fmt: skip


@pytest.mark.parametrize("count", [2, 5])
def test_all_of_them_serve(namespace: Namespace, serve_either_way: Serve, tmp_path: Path, count: int) -> None:
    (tmp_path / "1MB").write_bytes(os.urandom(MEGABYTE))
    server = serve_either_way(str(tmp_path), "--workers", str(count))
    assert len(workers_of(server)) == count and f"{count} processes" in server.log
    fetch_many(namespace, 100, "1MB", tmp_path / "out")
    digests = [sha256_of(file) for file in (tmp_path / "out").iterdir()]
    assert len(digests) == 100 and set(digests) == {sha256_of(tmp_path / "1MB")}
    served = [each["requests"] for each in server.statistics_of_each()]
    assert sum(served) == 100 and min(served) > 0
    assert server.statistics()["TcpOutRsts"] == 0
    server.stop()
    assert "100 requests on 100 connections" in server.log
    assert "tap0" not in namespace.devices()


def test_pings_are_answered_once(namespace: Namespace, serve_either_way: Serve) -> None:
    serve_either_way("--workers", "4")
    for size in ("56", "4000"):
        said = namespace.run("ping", "-f", "-c", "500", "-q", "-s", size, ADDRESS).stdout
        assert re.search(r"500 received, 0% packet loss", said) and "duplicates" not in said, said


def test_every_worker_finds_the_neighbour(namespace: Namespace, serve: Serve, tmp_path: Path) -> None:
    """All of them ask at once who the kernel is, and the answers come by whatever queue."""
    (tmp_path / "file").write_bytes(b"octets")
    server = serve(str(tmp_path), "--workers", "4")
    fetch_many(namespace, 40, "file", tmp_path / "out")
    counted = server.statistics()
    assert counted["ArpOutRequests"] <= 4, "nobody asked twice"
    assert counted["ArpOutAnnouncements"] <= 2


def test_a_worker_that_dies_is_replaced_and_takes_only_its_own_with_it(
    namespace: Namespace, serve: Serve, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(16 * MEGABYTE)  # more than the clients' kernel takes ahead of them
    server = serve(str(tmp_path), "--workers", "3")
    # A client that has acknowledged all it was sent does not hear of the death: it gives up by itself.
    patience = ("--speed-limit", "1", "--speed-time", "5")
    command = ("curl", "--silent", "--fail", "--limit-rate", "2M", *patience, "--output")
    clients = [namespace.start(*command, str(tmp_path / f"out{number}"), f"{URL}large") for number in range(18)]
    wait_for(lambda: len(list(tmp_path.glob("out*"))) == 18, "the downloads to begin")
    connections = sorted(each["connections"] for each in server.statistics_of_each())
    before = workers_of(server)
    os.kill(before[0], signal.SIGKILL)
    codes = [client.wait(60) for client in clients]
    assert sum(connections) == 18 and sum(code != 0 for code in codes) in connections
    after = workers_of(server)
    assert len(after) == 3 and before[0] not in after
    assert "worker 0 has ended by signal 9; another takes its place" in server.log
    fetch_many(namespace, 20, "large", tmp_path / "again")


def test_an_error_about_another_workers_connection(namespace: Namespace, serve: Serve, tmp_path: Path) -> None:
    """A router's "fragmentation needed" comes by the queue of its own address, to whichever worker that is."""
    (tmp_path / "file").write_bytes(os.urandom(MEGABYTE))
    serve(str(tmp_path), "--workers", "4")
    holder = namespace.start(
        "unshare", "--net", "sh", "-c", "echo $$; exec cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin and holder.stdout
    other = holder.stdout.readline().strip()
    near = "ip addr add 10.66.0.1/24 dev near0; ip link set near0 mtu 1200 up; sysctl -qw net.ipv4.ip_forward=1"
    far = "ip addr add 10.66.0.2/24 dev far0; ip link set far0 up; ip route add default via 10.66.0.1"
    namespace.run("ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", other)
    namespace.run("sh", "-c", near)
    enter = ("nsenter", "--target", other, "--net")
    namespace.run(*enter, "sh", "-c", far)
    for number in range(12):
        out = tmp_path / f"out{number}"
        namespace.run(*enter, "curl", "--silent", "--fail", "--max-time", "60", "--output", str(out), f"{URL}file")
        assert sha256_of(out) == sha256_of(tmp_path / "file")
    holder.stdin.close()
    holder.wait(10)


def test_they_end_within_two_seconds_under_load(namespace: Namespace, serve: Serve, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(10_000_000_000)
    server = serve(str(tmp_path), "--workers", "3")
    for number in range(9):
        namespace.start("curl", "--silent", "--limit-rate", "10M", "--output", f"{tmp_path}/out{number}", f"{URL}large")
    wait_for(lambda: len(list(tmp_path.glob("out*"))) == 9, "the downloads to begin")
    server.stop(within=2.5)
    assert "tap0" not in namespace.devices()


def test_they_end_with_the_supervisor(namespace: Namespace, serve: Serve) -> None:
    server = serve("--workers", "3")
    server.process.kill()
    server.process.wait(10)
    wait_for(lambda: "tap0" not in namespace.devices(), "the device to go with the last worker")


@pytest.mark.parametrize(
    ("how", "what"),
    [(("ip", "link", "del", "tap0"), "was deleted"), (("ip", "link", "set", "tap0", "down"), "was set down")],
)
def test_a_device_that_goes_away(namespace: Namespace, serve: Serve, how: tuple[str, ...], what: str) -> None:
    server = serve("--workers", "3")
    namespace.run(*how)
    assert server.process.wait(5) == 1
    assert server.log.count(f"tapstack: TAP 'tap0' {what} while it was in use") == 1
    assert "Traceback" not in server.log


def test_devices_made_beforehand(namespace: Namespace, serve: Serve) -> None:
    namespace.run("ip", "tuntap", "add", "one0", "mode", "tap")
    said = fails(namespace, "--workers", "2", "--tap", "one0", code=1)
    assert "none with multi_queue, as more than one worker needs it" in said
    namespace.run("ip", "tuntap", "add", "many0", "mode", "tap", "multi_queue")
    server = serve("--workers", "2", "--tap", "many0")
    assert namespace.run("curl", "--silent", "--fail", f"{URL}bench/5").stdout == ' !"#$'
    server.stop()
    assert "many0" in namespace.devices()


def test_a_capture_is_of_one_process(namespace: Namespace) -> None:
    said = fails(namespace, "--workers", "2", "--capture", "/tmp/x.pcapng", code=2)
    assert "--capture writes what one worker sees" in said


@pytest.mark.usefixtures("as_nobody")
def test_privileges_are_dropped_by_all(namespace: Namespace, serve: Serve) -> None:
    sudo = ("env", "SUDO_UID=65534", "SUDO_GID=65534", sys.executable)
    server = serve("--workers", "2", prefix=sudo)
    for pid in (server.process.pid, *workers_of(server)[-2:]):
        fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert set(fields["Uid"].split()) == {"65534"} and int(fields["CapEff"], 16) == 0
    server.stop()
