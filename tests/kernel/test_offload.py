"""The data path in bulk, both ways at once: with the kernel leaving out what it can, and with nothing left out."""

import hashlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import ADDRESS, ROOT, URL, Namespace, Serve, environment, wait_for

pytestmark = pytest.mark.kernel

MEGABYTE = 1_000_000

# Sends argv[2] octets and prints the digests of what it sent and what came back; argv[3] is the size of its writes.
CLIENT = """
import hashlib, os, socket, sys, threading
address, total, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sent, received, count = hashlib.sha256(), hashlib.sha256(), 0
with socket.create_connection((address, 7), 10) as connection:
    connection.settimeout(60)
    if size < 10_000:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    def send():
        left, block = total, os.urandom(1 << 20)
        while left:
            piece = block[left % 1000 :][: min(left, size)]
            connection.sendall(piece)
            sent.update(piece)
            left -= len(piece)
        connection.shutdown(socket.SHUT_WR)
    thread = threading.Thread(target=send)
    thread.start()
    while data := connection.recv(1 << 20):
        received.update(data)
        count += len(data)
    thread.join()
print(sent.hexdigest(), received.hexdigest(), count)
"""


@pytest.fixture
def echo(namespace: Namespace) -> Iterator[Callable[[str, str], "EchoHost"]]:
    hosts = []

    def start(mtu: str, offload: str) -> EchoHost:
        hosts.append(EchoHost(namespace, mtu, offload))
        return hosts[-1]

    yield start
    for host in hosts:
        host.kill()


class EchoHost:
    """tests/kernel/echo_host.py, running."""

    def __init__(self, namespace: Namespace, mtu: str, offload: str) -> None:
        self._namespace = namespace
        program = str(Path(__file__).with_name("echo_host.py"))
        self._process = namespace.start(
            sys.executable, program, mtu, offload, env=environment() | {"PYTHONPATH": str(ROOT)}, cwd=ROOT,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout and self._process.stdout.readline() == "ready\n"

    def exchange(self, octets: int, size: int = 1 << 18, behind: Sequence[str] = ()) -> None:
        """Send `octets` in writes of `size`, and get the same back."""
        done = self._namespace.run(*behind, sys.executable, "-c", CLIENT, ADDRESS, str(octets), str(size), timeout=120)
        sent, received, count = done.stdout.split()
        assert int(count) == octets
        assert sent == received

    def counters(self) -> dict[str, Any]:
        """End it, and have what it has counted."""
        self._process.send_signal(signal.SIGTERM)
        said, _ = self._process.communicate(timeout=10)
        counters: dict[str, Any] = json.loads(said)
        return counters

    def kill(self) -> None:
        self._process.kill()


@pytest.mark.parametrize("offload", ["auto", "off"])
def test_a_hundred_megabytes_both_ways(echo: Callable[[str, str], EchoHost], offload: str) -> None:
    host = echo("1500", offload)
    host.exchange(100 * MEGABYTE)
    counters = host.counters()
    assert counters["refused"] == 0
    segments = counters["TcpInSegs"]
    assert segments >= 100 * MEGABYTE // 1448
    if offload == "off":
        assert counters["EthInFrames"] >= segments and counters["EthOutFrames"] >= 100 * MEGABYTE // 1448
    else:
        assert counters["offload"], "Linux has IFF_VNET_HDR since 2.6.27"
        assert counters["EthInFrames"] < segments // 4
        assert counters["EthOutFrames"] < 100 * MEGABYTE // 1448 // 2
        assert counters["IpOutRequests"] >= 100 * MEGABYTE // 1448, "what a super-frame stands for is counted"


@pytest.mark.parametrize("offload", ["auto", "off"])
@pytest.mark.parametrize(
    ("mtu", "megabytes"), [("576", 10), ("577", 10), ("1499", 20), ("9000", 50), ("65520", 50), ("65519", 50)]
)
def test_mtus(echo: Callable[[str, str], EchoHost], mtu: str, megabytes: int, offload: str) -> None:
    host = echo(mtu, offload)
    host.exchange(megabytes * MEGABYTE + 1)
    assert host.counters()["refused"] == 0


@pytest.mark.parametrize("offload", ["auto", "off"])
@pytest.mark.parametrize("mss", ["88", "536", "1001"])
def test_peers_of_small_segments(
    namespace: Namespace, echo: Callable[[str, str], EchoHost], mss: str, offload: str
) -> None:
    """The kernel announces this MSS: our super-frames are cut to it; what it sends is as long as we let it be."""
    host = echo("1500", offload)
    namespace.run("ip", "route", "change", "10.77.0.0/24", "dev", "tap0", "advmss", mss)
    host.exchange(3 * MEGABYTE + 7)
    counters = host.counters()
    assert counters["refused"] == 0
    assert counters["IpOutRequests"] >= 3 * MEGABYTE // int(mss)


@pytest.mark.parametrize("offload", ["auto", "off"])
@pytest.mark.parametrize("size", [1, 100, 1449])
def test_small_writes(echo: Callable[[str, str], EchoHost], size: int, offload: str) -> None:
    host = echo("1500", offload)
    host.exchange(5000 * size, size)
    assert host.counters()["refused"] == 0


def frames_of(file: Path) -> Iterator[bytes]:
    content, at = file.read_bytes(), 0
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        if kind == 6:
            size, original = struct.unpack_from("<II", content, at + 20)
            assert size == original
            yield content[at + 28 : at + 28 + size]
        at += length


@pytest.mark.parametrize("offload", ["auto", "off"])
def test_a_capture_can_be_read(namespace: Namespace, serve: Serve, tmp_path: Path, offload: str) -> None:
    """Super-frames are in it with their own lengths, and the stream can be put together from it."""
    (tmp_path / "file").write_bytes(os.urandom(2 * MEGABYTE))
    capture = tmp_path / "capture.pcapng"
    server = serve(str(tmp_path), "--capture", str(capture), "--offload", offload)
    namespace.run("curl", "--silent", "--fail", "--output", "/dev/null", f"{URL}file")
    server.stop()
    stream, longest = {}, 0
    for frame in frames_of(capture):
        longest = max(longest, len(frame))
        if frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        assert int.from_bytes(frame[16:18], "big") == len(frame) - 14
        text = frame[34 + (frame[46] >> 4) * 4 :]
        if frame[34:36] == b"\x00\x50" and text:
            stream[int.from_bytes(frame[38:42], "big")] = text
    assert (longest > 1514) == (offload == "auto")
    at, octets = min(stream), b""
    first = next(sequence for sequence, text in stream.items() if text.startswith(b"HTTP/1.1 200"))
    at = first
    while at in stream:
        octets += stream[at]
        at = (at + len(stream[at])) & 0xFFFFFFFF
    assert (
        hashlib.sha256(octets.partition(b"\r\n\r\n")[2]).digest()
        == hashlib.sha256((tmp_path / "file").read_bytes()).digest()
    )


def test_a_device_that_another_has_left_with_offload(namespace: Namespace, serve: Serve, tmp_path: Path) -> None:
    """Killed, it could not tell the device to stop leaving out checksums; who comes next does."""
    namespace.run("ip", "tuntap", "add", "made0", "mode", "tap")
    (tmp_path / "file").write_bytes(os.urandom(MEGABYTE))
    for offload in ("auto", "off", "auto"):
        server = serve(str(tmp_path), "--tap", "made0", "--offload", offload)
        namespace.run("curl", "--silent", "--fail", "--max-time", "10", "--output", "/dev/null", f"{URL}file")
        assert server.statistics()["TcpInCsumErrors"] == 0
        server.process.kill()
        server.process.wait(10)


def test_a_device_is_handed_back_without_offload(namespace: Namespace, serve: Serve) -> None:
    """Who opens it next may be somebody who does not ask for a virtio header, nor for the offload to end."""
    namespace.run("ip", "tuntap", "add", "made0", "mode", "tap")
    serve("--tap", "made0").stop()
    program = (
        "import fcntl, os, socket, struct, sys\n"
        "tap = os.open('/dev/net/tun', os.O_RDWR)\n"
        "fcntl.ioctl(tap, 0x400454CA, struct.pack('16sH22x', b'made0', 0x1002))\n"
        "os.system('ip link set made0 up && ip address add 10.9.0.1/24 dev made0'\n"
        "    ' && ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev made0')\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'octets', ('10.9.0.2', 9))\n"
        "while not (frame := os.read(tap, 2000)).endswith(b'octets'): pass\n"
        "print(frame.hex())\n"
    )
    frame = bytes.fromhex(namespace.run(sys.executable, "-c", program, timeout=20).stdout)
    words = frame[26:34] + b"\0\x11" + frame[38:40] + frame[34:]
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF, "its UDP checksum is complete"


def test_datagrams_and_pings_go_with_it(namespace: Namespace, serve_either_way: Serve) -> None:
    """A closed port of UDP answers only to a datagram whose checksum, which the kernel has left to us, is right."""
    server = serve_either_way()
    program = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"s.connect(('{ADDRESS}', 9)); s.settimeout(5)\n"
        "for size in (0, 1, 100, 1472, 1473, 60000):\n"
        "    s.send(bytes(size))\n"
        "    try: s.recv(100)\n"
        "    except ConnectionRefusedError: print('refused')\n"
    )
    assert namespace.run(sys.executable, "-c", program, timeout=60).stdout == "refused\n" * 6
    for size in ("56", "1473", "65507"):
        said = namespace.run("ping", "-c", "3", "-i", "0.2", "-W", "2", "-s", size, ADDRESS).stdout
        assert re.search("3 received, 0% packet loss", said), said
    wait_for(lambda: server.statistics()["IcmpOutDestUnreachs"] == 6, "six errors")


@pytest.fixture
def behind(namespace: Namespace) -> Iterator[list[str]]:
    """The start of commands that run in another network, which reaches ours through the kernel as its router."""
    script = (
        "ip link set lo up; ip addr add 10.66.0.2/24 dev far0; ip link set far0 up; ip route add default via 10.66.0.1"
    )
    holder = namespace.start("unshare", "--net", "sh", "-c", "echo $$; exec cat", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert holder.stdin and holder.stdout
    enter = ["nsenter", "--target", holder.stdout.readline().strip(), "--net"]
    namespace.run("ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", enter[2])
    namespace.run(
        "sh", "-c", "ip addr add 10.66.0.1/24 dev near0; ip link set near0 up; sysctl -qw net.ipv4.ip_forward=1"
    )
    namespace.run(*enter, "sh", "-c", script)
    yield enter
    holder.stdin.close()
    holder.wait(10)


@pytest.mark.parametrize("offload", ["auto", "off"])
@pytest.mark.parametrize(("device", "mtu"), [("far0", 1300), ("near0", 1200)])
def test_a_peer_behind_the_kernel(
    echo: Callable[[str, str], EchoHost], behind: list[str], namespace: Namespace, device: str, mtu: int, offload: str
) -> None:
    """What is forwarded to us has checksums and sizes from another device; what we send is cut on its way there.

    That the peer's own MTU is smaller its MSS tells; that the router's is, ICMP.
    """
    host = echo("1500", offload)
    enter = behind if device == "far0" else []
    namespace.run(*enter, "ip", "link", "set", device, "mtu", str(mtu))
    host.exchange(10 * MEGABYTE, behind=behind)
    counters = host.counters()
    assert counters["refused"] == 0 and counters.get("TcpInCsumErrors", 0) == 0
    assert counters["IpOutRequests"] >= 10 * MEGABYTE // mtu
    assert (counters.get("TcpPmtuReductions", 0) > 0) == (device == "near0")
