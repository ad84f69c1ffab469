"""ICMP: echo, errors about what arrives, and errors about what we sent (RFC 792, RFC 1122 3.2.2, RFC 1812 4.3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from stack import fastpath
from stack.addresses import Ipv4Address, can_be_a_source
from stack.clock import SECOND, Instant
from stack.config import IcmpConfig
from stack.counters import Counters
from stack.errors import ChecksumMismatch, MalformedPacket
from stack.internet.ipv4 import Ipv4
from stack.internet.options import reflected
from stack.octets import Octets
from stack.wire import icmp, ipv4
from stack.wire.icmp import IcmpMessage
from stack.wire.ipv4 import PROTOCOL_ICMP, Ipv4Header

_QUOTE_LIMIT: Final = 576  # RFC 1812 4.3.2.3: quote as much as fits a datagram of 576 octets
_SENT: Final = {
    icmp.DESTINATION_UNREACHABLE: "IcmpOutDestUnreachs",
    icmp.TIME_EXCEEDED: "IcmpOutTimeExcds",
    icmp.PARAMETER_PROBLEM: "IcmpOutParmProbs",
}
_RECEIVED: Final = {
    icmp.DESTINATION_UNREACHABLE: "IcmpInDestUnreachs",
    icmp.TIME_EXCEEDED: "IcmpInTimeExcds",
    icmp.PARAMETER_PROBLEM: "IcmpInParmProbs",
}


@dataclass(slots=True)
class IcmpError:
    """An error about a datagram of ours; `quoted` is the start of that datagram's text, at least eight octets.

    `next_hop_mtu` is that of FRAGMENTATION_NEEDED (RFC 1191), 0 where the router did not say. `is_local`: nobody sent
    the error, our next hop does not answer ARP.
    """

    type: int
    code: int
    next_hop_mtu: int
    src: Ipv4Address
    dst: Ipv4Address
    is_local: bool
    quoted: Octets


ErrorHandler: TypeAlias = Callable[[IcmpError, Instant], None]


class Icmp:
    """ICMP of one host. `errors` has a handler per transport protocol; `on_echo_reply` is for whoever pings."""

    def __init__(self, config: IcmpConfig, counters: Counters, ipv4_layer: Ipv4) -> None:
        self.errors: dict[int, ErrorHandler] = {}
        self.on_echo_reply: Callable[[Ipv4Address, int, int, bytes, Instant], None] | None = None
        self._config = config
        self._counters = counters
        self._ipv4 = ipv4_layer
        self._tokens = config.error_burst * SECOND  # of a bucket, in nanoseconds times errors_per_second
        self._refilled_at: Instant = 0

    def receive(self, header: Ipv4Header, payload: memoryview, was_group: bool, now: Instant) -> None:
        """A message has arrived."""
        counters = self._counters
        counters["IcmpInMsgs"] += 1
        try:
            message = icmp.parse(payload, fastpath.checksum)
        except ChecksumMismatch:
            counters["IcmpInCsumErrors"] += 1
            return
        except MalformedPacket:
            counters["IcmpInErrors"] += 1
            return
        if message.type == icmp.ECHO_REQUEST:
            self._on_echo(header, message, was_group, now)
        elif message.type == icmp.ECHO_REPLY:
            counters["IcmpInEchoReps"] += 1
            if self.on_echo_reply is not None:
                identifier, sequence = message.rest >> 16, message.rest & 0xFFFF
                self.on_echo_reply(header.src, identifier, sequence, bytes(message.payload), now)
        elif message.type == icmp.REDIRECT:
            # Anybody on the link could send one and have our traffic; a host with one gateway has no use for them.
            counters["IcmpInRedirects"] += 1
        elif message.type in _RECEIVED:
            counters[_RECEIVED[message.type]] += 1
            self._on_error(message, now)
        else:
            counters["IcmpInUnknownType"] += 1  # source quench is deprecated (RFC 6633): it counts here

    def send_echo(self, dst: Ipv4Address, identifier: int, sequence: int, data: Octets, now: Instant) -> None:
        """Send an echo request. Raises OSError."""
        self._counters["IcmpOutEchos"] += 1
        rest = (identifier & 0xFFFF) << 16 | sequence & 0xFFFF
        self._send(dst, IcmpMessage(icmp.ECHO_REQUEST, 0, rest, data), now, None)

    def send_error(
        self, type: int, code: int, header: Ipv4Header, payload: Octets, was_group: bool, now: Instant, rest: int = 0
    ) -> None:
        """Report an error about the datagram of `header` and `payload` to its source, unless that is forbidden."""
        if self._is_forbidden(header, payload, was_group):
            self._counters["IcmpOutSuppressed"] += 1
            return
        if not self._take_token(now):
            self._counters["IcmpOutRateLimited"] += 1
            return
        room = _QUOTE_LIMIT - ipv4.HEADER_LENGTH - icmp.HEADER_LENGTH
        # The quote says the lengths that the datagram had, though it ends early.
        quote = ipv4.build(header, payload, fastpath.checksum)[:room]
        self._counters[_SENT[type]] += 1
        try:
            self._send(header.src, IcmpMessage(type, code, rest, quote), now, header.dst)
        except OSError:
            self._counters["IpOutDiscards"] += 1

    def on_next_hop_unreachable(self, packet: bytes, now: Instant) -> None:
        """The next hop of a datagram of ours does not answer: as if a router had said so (RFC 1122 2.3.2.2)."""
        header, payload = ipv4.parse(packet, fastpath.checksum)
        if header.fragment_offset or len(payload) < icmp.QUOTED_OCTETS:
            return
        report = IcmpError(
            icmp.DESTINATION_UNREACHABLE, icmp.HOST_UNREACHABLE, 0, header.src, header.dst, True, payload
        )
        self._hand_over(header.protocol, report, now)

    def _on_echo(self, header: Ipv4Header, message: IcmpMessage, was_group: bool, now: Instant) -> None:
        self._counters["IcmpInEchos"] += 1
        if was_group or not self._config.echo_reply:
            return  # RFC 1122 3.2.2.6 allows silence to a broadcast; answering would amplify
        self._counters["IcmpOutEchoReps"] += 1
        options = reflected(header.options, header.dst, now) if header.options else b""
        reply = IcmpMessage(icmp.ECHO_REPLY, 0, message.rest, message.payload)
        try:
            self._send(header.src, reply, now, header.dst, options)
        except OSError:
            self._counters["IpOutDiscards"] += 1

    def _on_error(self, message: IcmpMessage, now: Instant) -> None:
        try:
            header, quoted = icmp.parse_quoted(message.payload)
        except MalformedPacket:
            self._counters["IcmpInErrors"] += 1
            return
        if not self._ipv4.is_local(header.src) or header.fragment_offset:
            self._counters["IcmpInQuoteUnmatched"] += 1
            return
        mtu = 0
        if message.type == icmp.DESTINATION_UNREACHABLE and message.code == icmp.FRAGMENTATION_NEEDED:
            mtu = message.rest & 0xFFFF
        report = IcmpError(message.type, message.code, mtu, header.src, header.dst, False, quoted)
        self._hand_over(header.protocol, report, now)

    def _hand_over(self, protocol: int, report: IcmpError, now: Instant) -> None:
        handler = self.errors.get(protocol)
        if handler is None:
            self._counters["IcmpInQuoteUnmatched"] += 1
        else:
            handler(report, now)

    def _is_forbidden(self, header: Ipv4Header, payload: Octets, was_group: bool) -> bool:
        """RFC 1122 3.2.2, RFC 1812 4.3.2.7."""
        if was_group or header.fragment_offset or not can_be_a_source(header.src):
            return True
        if header.protocol != PROTOCOL_ICMP:
            return False
        return not payload or payload[0] in icmp.ERROR_TYPES or payload[0] > icmp.ADDRESS_MASK_REPLY

    def _take_token(self, now: Instant) -> bool:
        # A token bucket (RFC 1812 4.3.2.8): a token is worth SECOND, and time fills it errors_per_second times.
        full = self._config.error_burst * SECOND
        gained = (now - self._refilled_at) * self._config.errors_per_second
        self._tokens = min(full, self._tokens + gained)
        self._refilled_at = now
        if self._tokens < SECOND:
            return False
        self._tokens -= SECOND
        return True

    def _send(
        self, dst: Ipv4Address, message: IcmpMessage, now: Instant, src: Ipv4Address | None, options: bytes = b""
    ) -> None:
        self._counters["IcmpOutMsgs"] += 1
        self._ipv4.send(dst, PROTOCOL_ICMP, icmp.build(message, fastpath.checksum), now, src=src, options=options)
