"""What the workers of one device tell each other.

The kernel hands every frame to one queue of a device, and a connection's frames always to the same: by a hash of
addresses and ports. Two kinds of frame concern a worker whose queue they do not come by: an ARP reply to what another
worker has asked, or an announcement; and an ICMP error about a connection of another. Whoever gets one gives the
others a copy. Everything else, requests above all, is the business of the one who got it: so it is answered once.
"""

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from stack.clock import Instant
from stack.errors import MalformedPacket
from stack.fastpath.ring import FRAME_OVERHEAD, FrameRing
from stack.host import Host
from stack.octets import Octets
from stack.wire import arp, ethernet, icmp
from stack.wire.ipv4 import HEADER_LENGTH, PROTOCOL_ICMP

_LONGEST: Final = 1500 + FRAME_OVERHEAD  # an ICMP error is not longer than 576 octets (RFC 1812 4.3.2.3)
_ARP: Final = ethernet.ETHERTYPE_ARP.to_bytes(2, "big")
_IPV4: Final = ethernet.ETHERTYPE_IPV4.to_bytes(2, "big")
_TYPE_AT: Final = 12
_IP_AT: Final = ethernet.HEADER_LENGTH
_PROTOCOL_AT: Final = _IP_AT + 9
_ERRORS: Final = frozenset({icmp.DESTINATION_UNREACHABLE, icmp.TIME_EXCEEDED, icmp.PARAMETER_PROBLEM})


def mailboxes(count: int) -> list[tuple[socket.socket, socket.socket]]:
    """For each of `count` workers the end from which it reads, and the one to which all others write."""
    made = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count)]
    for pair in made:
        for end in pair:
            end.setblocking(False)
    return made


def concerns_all(frame: Octets) -> bool:
    """Whether `frame` may concern another worker than the one who got it."""
    kind = frame[_TYPE_AT:_IP_AT]
    if kind == _IPV4:
        at = _IP_AT + (frame[_IP_AT] & 0xF) * 4 if len(frame) > _IP_AT + HEADER_LENGTH else len(frame)
        return at < len(frame) <= _LONGEST and frame[_PROTOCOL_AT] == PROTOCOL_ICMP and frame[at] in _ERRORS
    if kind != _ARP:
        return False
    try:
        packet = arp.parse(frame[_IP_AT:])
    except MalformedPacket:
        return False
    return packet.operation == arp.REPLY or packet.sender_address == packet.target_address


class Sharing:
    """Worker `number`'s part in it, as an observer of its host; `boxes` are everybody's mailboxes()."""

    def __init__(self, number: int, boxes: Sequence[tuple[socket.socket, socket.socket]]) -> None:
        self._box = boxes[number][0]
        self._others = [theirs for other, (_, theirs) in enumerate(boxes) if other != number]
        self._is_delivering = False

    def fileno(self) -> int:
        """The file descriptor by which frames of others come, for a selector."""
        return self._box.fileno()

    def observe(self, received: bool, port: int, frames: FrameRing, now: Instant) -> None:
        """See stack.host.Observer."""
        if not received or self._is_delivering:
            return
        for frame in frames:
            if concerns_all(frame):
                for other in self._others:
                    with suppress(OSError):  # one who does not read has more urgent worries
                        other.send(frame)

    def deliver(self, host: Host, now: Instant) -> None:
        """Give `host` what others have shared."""
        frames: list[bytes] = []
        with suppress(BlockingIOError):
            while len(frames) < 64:
                frames.append(self._box.recv(_LONGEST))
        self._is_delivering = True
        try:
            host.receive(0, frames, now)
        finally:
            self._is_delivering = False
