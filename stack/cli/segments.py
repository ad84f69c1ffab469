"""What `tapstack fetch -v` shows: every frame at the moment at which it passes, in the order of the layers."""

from typing import Final, TextIO

from stack.addresses import Ipv4Address, show_ipv4, show_mac
from stack.application.dissect import dissect
from stack.cli.trace import step
from stack.clock import Instant
from stack.errors import MalformedPacket
from stack.fastpath.offload import wire_frames
from stack.fastpath.ring import FrameRing
from stack.io.capture import CapturedFrame
from stack.octets import Octets
from stack.wire import arp, ethernet, ipv4, udp

# Escape sequences rather than rich: what takes a millisecond a line changes what is shown.
_SENT, _RECEIVED, _NOTE, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
_PROTOCOLS: Final = {ipv4.PROTOCOL_ICMP: "ICMP", ipv4.PROTOCOL_UDP: "UDP"}


class Segments:
    """An observer of a host; prints to `stream`. Instants are told since the first frame."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._coloured = stream.isatty()
        self._began: Instant | None = None
        self._bases: dict[Ipv4Address, int] = {}

    def observe(self, received: bool, port: int, frames: FrameRing, now: Instant) -> None:
        """See stack.host.Observer."""
        for octets in wire_frames(frames):
            said = self._of_tcp(octets, received, now) or _of_others(octets)
            if said is not None:
                self._say(received, now, len(octets), *said)

    def note(self, text: str) -> None:
        """Something that is no frame, between them."""
        self._print(f"{'*':>12} {text}", _NOTE)

    def _of_tcp(self, octets: bytes, received: bool, now: Instant) -> tuple[str, str] | None:
        found = dissect(octets)
        if found is None:
            return None
        self._bases.setdefault(found.ipv4.src, found.tcp.seq)
        began = now if self._began is None else self._began
        told = step(CapturedFrame(now, octets), found, began, self._bases, received)
        return told.flags, told.what

    def _say(self, received: bool, now: Instant, length: int, kind: str, what: str) -> None:
        self._began = now if self._began is None else self._began
        passed = (now - self._began) / 1e6
        self._print(
            f"{passed:10.3f} {'<' if received else '>'} {kind:<12} {length:6,}  {what}",
            _RECEIVED if received else _SENT,
        )

    def _print(self, text: str, colour: str) -> None:
        print(f"{colour}{text}{_PLAIN}" if self._coloured else text, file=self._stream, flush=True)


def _of_others(octets: bytes) -> tuple[str, str] | None:
    """What is no segment of TCP: its kind, and what it says; None for what the stack does not know either."""
    try:
        header, payload = ethernet.parse(octets)
        if header.ethertype == ethernet.ETHERTYPE_ARP:
            return "ARP", _arp(payload)
        if header.ethertype != ethernet.ETHERTYPE_IPV4:
            return None
        internet, data = ipv4.parse(payload, _verified)
        ends = f"{show_ipv4(internet.src)} to {show_ipv4(internet.dst)}"
        if internet.protocol == ipv4.PROTOCOL_UDP and not internet.fragment_offset:
            ports = udp.parse(data, internet.src, internet.dst, _verified)[0]
            ends = f"{show_ipv4(internet.src)}:{ports.src_port} to {show_ipv4(internet.dst)}:{ports.dst_port}"
        return _PROTOCOLS.get(internet.protocol, f"IP {internet.protocol}"), ends
    except MalformedPacket as error:
        return "malformed", str(error)


def _arp(payload: Octets) -> str:
    packet = arp.parse(payload)
    if packet.operation == arp.REPLY:
        return f"{show_ipv4(packet.sender_address)} is at {show_mac(packet.sender_mac)}"
    return f"who has {show_ipv4(packet.target_address)}? tell {show_ipv4(packet.sender_address)}"


def _verified(data: Octets, initial: int = 0) -> int:
    """The checksum of what has been verified, or made, by the stack already."""
    return 0
