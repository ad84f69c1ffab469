"""An attacker on the wire of tap0: sends what he likes, from whatever address, by a packet socket.

    mallory.py flood COUNT                     SYNs from COUNT addresses that nobody has
    mallory.py guess ADDRESS PORT              resets, SYNs and text in the name of a client, all over the numbers
    mallory.py octets COUNT                    a connection of his own, and COUNT octets on it, one by one, with gaps
    mallory.py deaf COUNT                      COUNT connections that ask for much and read nothing

He lives behind the router that the server's default route leads to, which forwards nothing: nobody resets what he
opens. Prints "done" when he is through, and holds what he has opened until his standard input ends.
"""

import random
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress

from stack import fastpath
from stack.addresses import ipv4
from stack.io.attachment import mac_for
from stack.wire import ethernet, tcp
from stack.wire import ipv4 as ip
from stack.wire.tcp import ACK, PSH, RST, SYN, Segment
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions
from tests.kernel.conftest import ADDRESS, HOST_ADDRESS

SERVER, ROUTER, MALLORY = ipv4(ADDRESS), ipv4(HOST_ADDRESS), ipv4("198.51.100.66")
HEADER = ethernet.EthernetHeader(mac_for(SERVER), mac_for(ROUTER), ethernet.ETHERTYPE_IPV4)
PORT = 80
MASK = 0xFFFF_FFFF
STEP = 1 << 16  # as far apart as the smallest window that a Linux client offers
_TCP = struct.Struct("!HHIIH")  # ports, sequence and acknowledgment number, data offset and flags
REQUEST = b"GET /bench/10000000 HTTP/1.1\r\nHost: m\r\n\r\n"


class Wire:
    """The packet socket."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethernet.ETHERTYPE_IPV4))
        self._socket.bind(("tap0", ethernet.ETHERTYPE_IPV4))
        self._socket.settimeout(0.5)

    def send(self, segment: Segment, source: int = MALLORY) -> None:
        packet = ip.build(
            ip.Ipv4Header(source, SERVER, ip.PROTOCOL_TCP),
            tcp.build(segment, source, SERVER, fastpath.checksum),
            fastpath.checksum,
        )
        self._socket.send(ethernet.build(HEADER, packet))

    def open(self, port: int, window: int) -> tuple[int, int]:
        """A connection; our and the server's next sequence number."""
        for _ in range(10):
            self.send(Segment(port, PORT, 999, 0, SYN, window, b"", TcpOptions(mss=1460)))
            with suppress(TimeoutError):  # our socket had no room for the answer
                ack = (self._answer(port) + 1) & MASK
                self.send(Segment(port, PORT, 1000, ack, ACK, window, b"", NO_OPTIONS))
                return 1000, ack
        raise TimeoutError(f"the server does not answer port {port}")

    def _answer(self, port: int) -> int:
        """The sequence number of the SYN-ACK to `port`. Its checksum may be the device's business, and not be there."""
        while True:
            _, packet = ethernet.parse(self._socket.recv(1 << 17))
            header, payload = ip.parse(packet)
            if header.src == SERVER and header.dst == MALLORY:
                _, to, seq, _, flags = _TCP.unpack_from(payload)
                if to == port and flags & (SYN | ACK) == SYN | ACK:
                    return int(seq)


def flood(wire: Wire, count: int) -> None:
    options = TcpOptions(mss=1460, sack_permitted=True, ts_val=1, ts_ecr=0)
    for number in range(count):
        segment = Segment(1024 + number % 60000, PORT, number * 7919 & MASK, 0, SYN, 65535, b"", options)
        wire.send(segment, MALLORY + number % 0xFFFF)


def guess(wire: Wire, address: str, port: int) -> None:
    victim, random_numbers = ipv4(address), random.Random(5961)
    for seq in range(0, 1 << 32, STEP):
        ack = random_numbers.getrandbits(32)
        for flags, text in ((RST, b""), (SYN, b""), (RST | ACK, b""), (ACK | PSH, b"GET /poison HTTP/1.1\r\n\r\n")):
            wire.send(Segment(port, PORT, seq, ack if flags & ACK else 0, flags, 512, text, NO_OPTIONS), victim)


def octets(wire: Wire, count: int) -> None:
    seq, ack = wire.open(5555, 65535)
    for number in range(count):
        wire.send(Segment(5555, PORT, (seq + 2 + 2 * number) & MASK, ack, ACK | PSH, 65535, b"x", NO_OPTIONS))


def deaf(wire: Wire, count: int) -> None:
    opened = {port: wire.open(port, 4096) for port in range(10_000, 10_000 + count)}
    for port, (seq, ack) in opened.items():
        wire.send(Segment(port, PORT, seq, ack, ACK | PSH, 4096, REQUEST, NO_OPTIONS))


def main() -> None:
    attacks: dict[str, Callable[..., None]] = {"flood": flood, "guess": guess, "octets": octets, "deaf": deaf}
    arguments = [int(each) if each.isdigit() else each for each in sys.argv[2:]]
    attacks[sys.argv[1]](Wire(), *arguments)
    print("done", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
