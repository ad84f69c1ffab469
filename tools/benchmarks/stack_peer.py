"""One end of a bulk transfer on our TCP: a host with its driver on an end of the link, in a process of its own.

    python -m tools.benchmarks.stack_peer send FD ADDRESS REMOTE [offload]
    python -m tools.benchmarks.stack_peer receive FD ADDRESS SECONDS [offload]

The counterpart of kernel_peer, with the same conversation; FD is a TAP device (with offload if it was opened so) or a
socket of type SOCK_SEQPACKET.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

from stack.addresses import MacAddress, interface_address, ipv4
from stack.clock import SECOND, Instant
from stack.config import HostConfig, InterfaceConfig
from stack.events import CLOSED
from stack.host import Host
from stack.io.driver import Driver
from stack.transport.tcp.connection import Connection
from tools.benchmarks.kernel_peer import CHUNK, PORT, Series


class Device:
    """A file descriptor, as what the driver runs on."""

    name = "link"

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd

    def fileno(self) -> int:
        return self._fd


class Peer:
    """A host, the driver that runs it, and what it found."""

    def __init__(self, device: Device, address: str, *, offload: bool) -> None:
        own, prefix_length = interface_address(address)
        mac = MacAddress(b"\x02\x00" + own.to_bytes(4))
        config = HostConfig((InterfaceConfig(mac, own, prefix_length, offload=offload),))
        now = time.monotonic_ns()
        self.host = Host(config, secret=os.urandom(32), random=random.SystemRandom(), now=now)
        self.driver = Driver(self.host, device)
        self.found: dict[str, object] = {}

    def send(self, remote: str) -> Callable[[], None]:
        """What to do when told to begin: send to `remote` until standard input ends, or it has had enough."""
        octets = bytes(CHUNK)

        def go_on(kinds: int, now: Instant) -> None:
            if kinds & CLOSED:
                self.found["connection"] = asdict(connection.info())
                self.stop()
                return
            while self.host.write(connection, octets, now) == len(octets):
                pass

        connection: Connection

        def begin() -> None:
            nonlocal connection
            connection = self.host.connect(ipv4(remote), PORT, self.driver.now())
            connection.handler = go_on

        return begin

    def receive(self, seconds: float) -> Callable[[], None]:
        """Count what arrives in `seconds` from the first octet on."""
        series = Series(seconds)

        def on_connection(kinds: int, now: Instant) -> None:
            connection = self.host.accept(listener)
            if connection is not None:
                accepted = connection
                accepted.handler = lambda kinds, now: read(accepted, now)

        def read(connection: Connection, now: Instant) -> None:
            while octets := len(self.host.read(connection, CHUNK, now)):
                if series.add(octets, now / SECOND):
                    connection.handler = None
                    self.found = series.result()
                    self.stop()
                    return

        listener = self.host.listen(PORT, self.driver.now())
        listener.handler = on_connection
        return lambda: None

    def stop(self) -> None:
        """Reset what is open, and end."""
        self.driver.stop()
        self.driver.stop()

    def run(self, begin: Callable[[], None]) -> None:
        """Do it all, and say what was found."""

        def on_input() -> None:
            if sys.stdin.readline():
                begin()
            else:
                self.stop()

        self.driver.watch(sys.stdin.fileno(), on_input)
        cpu = time.process_time()
        print("ready", flush=True)
        self.driver.run(on_stop=lambda now: None)
        self.found |= {
            "cpu": time.process_time() - cpu,
            "frames_refused": self.driver.frames_refused,
            "counters": self.host.counters.nonzero(),
        }
        print(json.dumps(self.found), flush=True)


def main(role: str, fd: str, address: str, other: str, offload: str = "") -> None:
    """The command line."""
    peer = Peer(Device(int(fd)), address, offload=offload == "offload")
    peer.run(peer.send(other) if role == "send" else peer.receive(float(other)))


if __name__ == "__main__":
    main(*sys.argv[1:])
