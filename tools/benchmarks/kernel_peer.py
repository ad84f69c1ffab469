"""One end of a bulk transfer on the Linux kernel's TCP: a program for a network namespace.

    python -m tools.benchmarks.kernel_peer send ADDRESS CONGESTION
    python -m tools.benchmarks.kernel_peer receive SECONDS

Says `ready`, begins when it is told to, and ends with a line of JSON: what it received in SECONDS from the first octet
on, or what Linux counted (TCP_INFO) while it sent, which it does until its standard input ends.
"""

import json
import select
import socket
import struct
import sys
import time

PORT = 5001
CHUNK = 1 << 17
INTERVAL = 0.1  # seconds of one entry of `series`
# struct tcp_info of linux/tcp.h: 8 octets, then 32-bit numbers
_INFO = struct.Struct("8x24I")
_NAMES = {4: "lost_now", 8: "last_data_sent", 15: "rtt", 16: "rttvar", 17: "ssthresh", 18: "cwnd", 23: "retransmitted"}


def send(address: str, congestion: str) -> dict[str, object]:
    """Send to `address` until standard input ends, or the peer has had enough."""
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        print("ready", flush=True)
        sys.stdin.readline()
        connection.connect((address, PORT))
        connection.setblocking(False)
        octets = bytes(CHUNK)
        try:
            while sys.stdin not in select.select([sys.stdin], [connection], [])[0]:
                connection.send(octets)
        except ConnectionError:
            pass
        info = _INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
        return {name: info[index] for index, name in _NAMES.items()} | {"cpu": time.process_time()}


def receive(seconds: float) -> dict[str, object]:
    """Count what arrives in `seconds` from the first octet on."""
    with socket.create_server(("", PORT)) as listener:
        print("ready", flush=True)
        sys.stdin.readline()
        connection, _ = listener.accept()
        with connection:
            series = Series(seconds)
            while octets := len(connection.recv(CHUNK)):
                if series.add(octets, time.monotonic()):
                    return series.result()
    raise ConnectionError("the sender has ended before the time was over")


class Series:
    """Octets over time, from the first on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: float | None = None
        self._last = 0.0
        self._octets = 0
        self._series = [0] * round(seconds / INTERVAL)

    def add(self, octets: int, now: float) -> bool:
        """`octets` have been read at `now` (seconds); True when the time is over."""
        if self._began is None:
            self._began = now
        index = int((now - self._began) / INTERVAL)
        if index >= len(self._series):
            return True
        self._octets += octets
        self._series[index] += octets
        return False

    def result(self) -> dict[str, object]:
        """The whole of it."""
        return {
            "octets": self._octets,
            "seconds": self._seconds,
            "series": self._series,
            "cpu": time.process_time(),
        }


if __name__ == "__main__":
    found = send(*sys.argv[2:]) if sys.argv[1] == "send" else receive(float(sys.argv[2]))
    print(json.dumps(found), flush=True)
