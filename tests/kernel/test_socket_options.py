"""What a socket has options for, with the Linux kernel's TCP as the peer: urgent data, DS field, user timeout, cork."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import ADDRESS, ROOT, Namespace, environment, wait_for
from tests.kernel.options_host import CORK, CORK_FORGOTTEN, DS_FIELD, PATIENCE, URGENT_PORT, USER_TIMEOUT

pytestmark = pytest.mark.kernel

# What every client begins with: a connection, and what the wire has shown of the answers' text: (TOS, octets).
CLIENT = """
import select, socket, struct, sys, time
address, port = sys.argv[1], int(sys.argv[2])
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
wire.bind(("tap0", 0x0800))
wire.setblocking(False)
peer = socket.create_connection((address, port), 10)

def seen():
    while True:
        try:
            frame = wire.recv(1 << 17)
        except BlockingIOError:
            return
        text = struct.unpack_from("!H", frame, 16)[0] - 20 - (frame[46] >> 4) * 4
        if frame[23] == 6 and struct.unpack_from("!H", frame, 34) == (port,) and text > 0:
            yield frame[15], text
"""


class OptionsHost:
    """tests/kernel/options_host.py, running; what it tells it writes into `log`."""

    def __init__(self, namespace: Namespace, log: Path) -> None:
        self.namespace = namespace
        self._log, self._read = log, 0
        program = str(Path(__file__).with_name("options_host.py"))
        with log.open("w") as stream:
            self._process = namespace.start(
                sys.executable, program, env=environment() | {"PYTHONPATH": str(ROOT)}, cwd=ROOT,
                stdin=subprocess.PIPE, stdout=stream, text=True,
            )  # fmt: skip
        assert self._next_line() == "ready"

    def told(self) -> dict[str, Any]:
        """What it tells next."""
        told: dict[str, Any] = json.loads(self._next_line())
        return told

    def _next_line(self) -> str:
        wait_for(lambda: self._log.read_text().count("\n") > self._read, "the host to say something", 20)
        self._read += 1
        return self._log.read_text().splitlines()[self._read - 1]

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go on\n")
        self._process.stdin.flush()

    def meet(self, port: int, program: str) -> str:
        """What a client says that connects to `port`."""
        said: str = self.namespace.run(sys.executable, "-c", CLIENT + program, ADDRESS, str(port), timeout=30).stdout
        return said.strip()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OptionsHost]:
    namespace = Namespace()
    try:
        yield OptionsHost(namespace, tmp_path_factory.mktemp("options") / "log")
    finally:
        namespace.close()


def test_urgent_data_both_ways(host: OptionsHost) -> None:
    """The kernel takes the octet before the pointer out of the stream, and leaves the others in it."""
    said = host.meet(
        URGENT_PORT,
        """
peer.sendall(b"abc")
peer.send(b"!", socket.MSG_OOB)
peer.sendall(b"def")
peer.shutdown(socket.SHUT_WR)
assert select.select([], [], [peer], 10)[2]
print(peer.recv(1, socket.MSG_OOB).decode(), end=" ")
while text := peer.recv(100):
    print(text.decode(), end=" ")
""",
    )
    assert host.told() == {"urgent_before": 4}
    assert host.told() == {"text": "abc!def"}
    octet, *inline = said.split()
    assert octet == "!" and "".join(inline) == "abcdefgh" and inline[0] in ("abcde", "abcd")


def test_the_ds_field_both_ways(host: OptionsHost) -> None:
    said = host.meet(
        DS_FIELD,
        """
peer.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 10 << 2)
peer.sendall(b"?")
print(peer.recv(100).decode(), *seen())
""",
    )
    assert host.told() == {"received": 10}
    assert said == f"expedited {(46 << 2, len('expedited'))}"


def test_the_user_timeout_when_the_peer_is_gone(host: OptionsHost) -> None:
    """The option of RFC 5482, which the kernel does not have, has been sent to it, and has done no harm."""
    client = host.namespace.start(
        sys.executable, "-c", CLIENT + "peer.sendall(b'?'); sys.stdin.read()", ADDRESS, str(USER_TIMEOUT),
        stdin=subprocess.PIPE,
    )  # fmt: skip
    assert host.told() == {"waits": True}
    host.namespace.run("ip", "route", "add", "blackhole", ADDRESS)
    host.go_on()
    told = host.told()
    assert told["error"] == "TimeoutError"
    assert PATIENCE // 1_000_000 <= told["after"] < 10_000
    host.namespace.run("ip", "route", "del", "blackhole", ADDRESS)
    client.kill()


def test_small_writes_under_a_cork_are_one_segment(host: OptionsHost) -> None:
    said = host.meet(
        CORK,
        """
peer.sendall(b"?")
left = 1000
while left:
    left -= len(peer.recv(left))
print(*seen())
""",
    )
    assert said == str((0, 1000))


def test_a_cork_that_is_forgotten_yields_after_200_ms(host: OptionsHost) -> None:
    said = host.meet(
        CORK_FORGOTTEN,
        """
began = time.monotonic()
peer.sendall(b"?")
print(len(peer.recv(2000)), time.monotonic() - began > 0.199)
""",
    )
    assert said == "1000 True"
