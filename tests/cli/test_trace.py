"""A capture becomes a story: one step a segment, and runs that only carry on as one."""

from stack.addresses import ipv4, mac
from stack.cli.trace import Step, steps
from stack.io.capture import CapturedFrame
from stack.wire import ethernet, tcp
from stack.wire import ipv4 as ipv4_wire
from stack.wire.ethernet import EthernetHeader
from stack.wire.ipv4 import PROTOCOL_TCP, Ipv4Header
from stack.wire.tcp import ACK, FIN, PSH, SYN, Segment
from stack.wire.tcp_options import TcpOptions

KERNEL, STACK = ipv4("10.77.0.1"), ipv4("10.77.0.2")
CLIENT, SERVER = 0xFFFF_FFF0, 1000  # first sequence numbers; the client's wraps
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\n\r\n".ljust(1448, b".")
MORE = b"HTTP/1.1 200 OK is what the page says".ljust(1448, b".")


class Tape:
    def __init__(self) -> None:
        self.frames: list[CapturedFrame] = []

    def put(self, inbound: bool, seq: int, ack: int, flags: int, payload: bytes = b"", port: int = 5000) -> None:
        src, dst = (KERNEL, STACK) if inbound else (STACK, KERNEL)
        ports = (port, 80) if inbound else (80, port)
        bases = (CLIENT, SERVER) if inbound else (SERVER, CLIENT)
        options = TcpOptions(mss=1460, window_scale=7) if flags & SYN else TcpOptions()
        numbers = (bases[0] + seq & 0xFFFF_FFFF, bases[1] + ack & 0xFFFF_FFFF)
        segment = Segment(*ports, *numbers, flags, 65535, payload, options)
        packet = ipv4_wire.build(Ipv4Header(src, dst, PROTOCOL_TCP), tcp.build(segment, src, dst))
        header = EthernetHeader(mac("02:00:00:00:00:01"), mac("02:00:00:00:00:02"), ethernet.ETHERTYPE_IPV4)
        at = 1_700_000_000_000_000_000 + 250_000 * len(self.frames)
        self.frames.append(CapturedFrame(at, ethernet.build(header, packet)))

    def told(self) -> list[Step]:
        return steps(self.frames, STACK, 5000)


def conversation() -> Tape:
    tape = Tape()
    tape.put(True, 0, 0, SYN)
    tape.put(False, 0, 1, SYN | ACK)
    tape.put(True, 1, 1, ACK)
    tape.put(True, 1, 1, ACK | PSH, REQUEST)
    tape.put(False, 1, 28, ACK, ANSWER)
    for number in range(1, 6):
        tape.put(False, 1 + 1448 * number, 28, ACK, MORE)
        tape.put(True, 28, 1 + 1448 * (number + 1), ACK)
    tape.put(True, 28, 8689, FIN | ACK)
    tape.put(False, 8689, 29, FIN | ACK)
    return tape


def test_every_step_is_told() -> None:
    tape = conversation()
    tape.put(True, 5, 5, ACK, b"of another connection", port=5001)
    told = tape.told()
    assert [(step.received, step.flags, step.what, step.segments) for step in told] == [
        (True, "SYN", "window 65,535, MSS 1460, scale 7", 1),
        (False, "SYN ACK", "window 65,535, MSS 1460, scale 7", 1),
        (True, "ACK", "acknowledges all before octet 1", 1),
        (True, "PSH ACK", "GET / HTTP/1.1", 1),
        (False, "ACK", "HTTP/1.1 200 OK", 1),
        (False, "...", "5 segments of data, 5 acknowledgments", 10),
        (True, "FIN ACK", "no more data; acknowledges all before octet 8,689", 1),
        (False, "FIN ACK", "no more data; acknowledges all before octet 29", 1),
    ]
    assert [step.milliseconds for step in told[:3]] == [0.0, 0.25, 0.5]
    assert told[5].octets == 5 * (14 + 20 + 20 + 1448) + 5 * (14 + 20 + 20)


def test_three_that_carry_on_are_told_each() -> None:
    tape = conversation()
    del tape.frames[8:15]
    assert [step.segments for step in tape.told()] == [1] * 10


def test_nothing_to_tell() -> None:
    assert steps([], STACK, 5000) == []
