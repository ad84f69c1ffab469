"""What workers tell each other: answers to ARP requests, and errors; nothing that would be answered twice."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from stack.addresses import BROADCAST_MAC, MacAddress, ipv4, mac
from stack.config import HostConfig, InterfaceConfig
from stack.fastpath.ring import FrameRing
from stack.host import Host
from stack.io.sharing import Sharing, concerns_all, mailboxes
from stack.wire import arp, ethernet, icmp
from stack.wire import ipv4 as ipv4_wire
from stack.wire.arp import ArpPacket
from stack.wire.ethernet import ETHERTYPE_ARP, ETHERTYPE_IPV4, EthernetHeader
from stack.wire.ipv4 import PROTOCOL_ICMP, PROTOCOL_UDP, Ipv4Header

OURS, THEIRS = mac("02:00:00:00:00:02"), mac("02:00:00:00:00:01")
OUR_ADDRESS, THEIR_ADDRESS = ipv4("10.77.0.2"), ipv4("10.77.0.1")


def arp_frame(operation: int, sender: int = THEIR_ADDRESS, target: int = OUR_ADDRESS) -> bytes:
    packet = ArpPacket(operation, THEIRS, ipv4("0.0.0.0"), MacAddress(bytes(6)), ipv4("0.0.0.0"))
    packet = replace(packet, sender_address=sender, target_address=target)
    return ethernet.build(EthernetHeader(OURS, THEIRS, ETHERTYPE_ARP), arp.build(packet))


def ip_frame(protocol: int, payload: bytes, options: bytes = b"") -> bytes:
    header = Ipv4Header(THEIR_ADDRESS, OUR_ADDRESS, protocol, options=options)
    return ethernet.build(EthernetHeader(OURS, THEIRS, ETHERTYPE_IPV4), ipv4_wire.build(header, payload))


def icmp_frame(kind: int, options: bytes = b"") -> bytes:
    return ip_frame(PROTOCOL_ICMP, bytes((kind, 0, 0, 0)) + bytes(24), options)


@pytest.mark.parametrize(
    ("frame", "shared"),
    [
        (arp_frame(arp.REPLY), True),
        (arp_frame(arp.REQUEST, THEIR_ADDRESS, THEIR_ADDRESS), True),
        (arp_frame(arp.REQUEST), False),
        (icmp_frame(icmp.DESTINATION_UNREACHABLE), True),
        (icmp_frame(icmp.TIME_EXCEEDED), True),
        (icmp_frame(icmp.PARAMETER_PROBLEM, options=bytes((1, 1, 1, 0))), True),
        (icmp_frame(icmp.ECHO_REQUEST), False),
        (icmp_frame(icmp.ECHO_REPLY), False),
        (ip_frame(PROTOCOL_UDP, bytes((icmp.DESTINATION_UNREACHABLE,)) * 8), False),
        (bytes(60), False),
        (b"", False),
    ],
)
def test_what_is_shared(frame: bytes, shared: bool) -> None:
    assert concerns_all(frame) == shared
    assert concerns_all(memoryview(frame)) == shared


def test_no_frame_however_short_is_too_much() -> None:
    for frame in (arp_frame(arp.REPLY), icmp_frame(icmp.DESTINATION_UNREACHABLE, bytes(4))):
        for size in range(len(frame)):
            concerns_all(frame[:size])


class Worker:
    def __init__(self, number: int, boxes: list) -> None:
        self.sharing = Sharing(number, boxes)
        interface = InterfaceConfig(OURS, OUR_ADDRESS, 24)
        config = HostConfig((interface,))
        self.host = Host(config, secret=bytes(32), random=random.Random(number), observers=[self.sharing])
        self.host.take_frames().clear()

    def sent(self) -> list[bytes]:
        ring = self.host.take_frames()
        frames = [bytes(frame) for frame in ring]
        ring.clear()
        return frames


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    boxes = mailboxes(3)
    yield [Worker(number, boxes) for number in range(3)]
    for pair in boxes:
        for end in pair:
            end.close()


def test_an_answer_reaches_the_one_who_asked(workers: list[Worker]) -> None:
    """Worker 1 has something for a neighbour; the answer to its ARP request comes by worker 2's queue."""
    asking, other = workers[1], workers[2]
    asking.host.ping(THEIR_ADDRESS, 1, 1, b"data", 1)
    [request] = asking.sent()
    assert request[:6] == BROADCAST_MAC
    other.host.receive(0, [arp_frame(arp.REPLY)], 2)
    assert other.sent() == []
    for worker in workers:
        worker.sharing.deliver(worker.host, 3)
    [ping] = asking.sent()
    assert ping[:6] == THEIRS and ping[12:14] == b"\x08\x00"
    assert workers[0].sent() == other.sent() == []


def test_what_was_shared_is_not_shared_again(workers: list[Worker]) -> None:
    workers[0].host.receive(0, [icmp_frame(icmp.DESTINATION_UNREACHABLE)], 1)
    for _ in range(3):
        for worker in workers:
            worker.sharing.deliver(worker.host, 2)
    assert [worker.host.counters["EthInFrames"] for worker in workers] == [1, 1, 1]


def test_a_request_is_answered_once(workers: list[Worker]) -> None:
    workers[0].host.receive(0, [arp_frame(arp.REQUEST)], 1)
    assert len(workers[0].sent()) == 1
    for worker in workers:
        worker.sharing.deliver(worker.host, 2)
        assert worker.sent() == []


def test_what_is_sent_is_nobodys_business(workers: list[Worker]) -> None:
    ring = FrameRing(200, 1)
    ring.append(arp_frame(arp.REPLY))
    workers[0].sharing.observe(False, 0, ring, 1)
    workers[1].sharing.deliver(workers[1].host, 2)
    assert workers[1].host.counters["EthInFrames"] == 0


def test_who_does_not_read_does_not_hold_up_the_others(workers: list[Worker]) -> None:
    for instant in range(2000):
        workers[0].host.receive(0, [arp_frame(arp.REPLY)], instant)
    workers[1].sharing.deliver(workers[1].host, 5000)
    assert 0 < workers[1].host.counters["EthInFrames"] <= 64, "a turn's work is bounded"
