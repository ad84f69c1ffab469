"""What a script expects, and what was sent: in what they differ."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from stack.clock import MICROSECOND, Duration
from stack.pkt.packets import Flow
from stack.pkt.syntax import IcmpPacket, IpFields, Option, Packet, TcpPacket, UdpPacket
from stack.wire import tcp
from stack.wire.tcp_options import TIMESTAMPS

_TAIL: Final = tcp.FIN | tcp.PSH


def adopt(expected: Packet, actual: Packet, flow: Flow) -> Packet:
    """`actual` with the script's numbers for what it is free to name: our initial sequence number and time stamps."""
    if not isinstance(expected, TcpPacket) or not isinstance(actual, TcpPacket):
        return actual
    if actual.flags & expected.flags & tcp.SYN:
        flow.shown_isn = expected.seq
        actual = replace(actual, seq=expected.seq)
    asked, given = _stamp(expected), _stamp(actual)
    if asked is None or given is None:
        return actual
    live = (given.numbers[0] + (flow.stamp_shift or 0)) & 0xFFFF_FFFF
    flow.stamps[asked.numbers[0]] = live
    if flow.stamp_shift is None:
        flow.stamp_shift = (live - asked.numbers[0]) & 0xFFFF_FFFF
        options = actual.options or ()
        own = Option(TIMESTAMPS, (asked.numbers[0], given.numbers[1]))
        return replace(actual, options=tuple(own if each is given else each for each in options))
    return actual


def first_part(expected: Packet, actual: Packet) -> tuple[Packet, Packet | None]:
    """The part of `expected` that a shorter segment can be, and the rest: one line may stand for a run of segments."""
    if not isinstance(expected, TcpPacket) or not isinstance(actual, TcpPacket):
        return expected, None
    length = actual.length
    if not 0 < length < expected.length or actual.seq != expected.seq:
        return expected, None
    part = replace(expected, length=length, flags=expected.flags & ~_TAIL)
    return part, replace(expected, seq=expected.seq + length, length=expected.length - length)


def differences(expected: Packet, actual: Packet, tick: Duration, tolerance: Duration) -> Iterator[str]:
    """The names of the fields in which they differ. `tick` is that of our time stamps; 0: they are not looked at."""
    if type(expected) is not type(actual):
        yield "protocol"
        return
    yield from _ip_differences(expected.ip, actual.ip)
    if isinstance(expected, IcmpPacket) and isinstance(actual, IcmpPacket):
        if (expected.type, expected.code) != (actual.type, actual.code):
            yield "type"
        if expected.mtu not in (None, actual.mtu):
            yield "mtu"
        if expected.identifier not in (None, actual.identifier):
            yield "id"
    elif isinstance(expected, UdpPacket) and isinstance(actual, UdpPacket):
        if expected.length != actual.length:
            yield "length"
        if expected.ports not in (None, actual.ports):
            yield "ports"
    elif isinstance(expected, TcpPacket) and isinstance(actual, TcpPacket):
        yield from _tcp_differences(expected, actual, tick, tolerance)


def like(actual: Packet, expected: Packet | None) -> Packet:
    """`actual` with only those optional parts that `expected` has too: what is worth showing."""
    asked = expected.ip if expected is not None else IpFields()
    shown = {name: value if getattr(asked, name) is not None else None for name, value in _fields(actual.ip)}
    actual = replace(actual, ip=IpFields(**shown))
    if isinstance(actual, IcmpPacket):
        return actual
    ports = actual.ports if not isinstance(expected, IcmpPacket | None) and expected.ports is not None else None
    return replace(actual, ports=ports)


def _fields(ip: IpFields) -> Iterator[tuple[str, int | None]]:
    for name in IpFields.__slots__:
        yield name, getattr(ip, name)


def _ip_differences(expected: IpFields, actual: IpFields) -> Iterator[str]:
    for name, value in _fields(expected):
        if value not in (None, getattr(actual, name)):
            yield name


def _tcp_differences(expected: TcpPacket, actual: TcpPacket, tick: Duration, tolerance: Duration) -> Iterator[str]:
    for name in ("flags", "seq", "length"):
        if getattr(expected, name) != getattr(actual, name):
            yield name
    if expected.flags & actual.flags & tcp.ACK and expected.ack != actual.ack:
        yield "ack"
    if expected.window not in (None, actual.window):
        yield "win"
    if (expected.urgent or 0) != (actual.urgent or 0):
        yield "urg"
    if expected.ports not in (None, actual.ports):
        yield "ports"
    if expected.options is not None and not _same_options(expected, actual, tick, tolerance):
        yield "options"


def _same_options(expected: TcpPacket, actual: TcpPacket, tick: Duration, tolerance: Duration) -> bool:
    wanted, given = list(expected.options or ()), list(actual.options or ())
    asked, stamp = _stamp(expected), _stamp(actual)
    if asked is not None and stamp is not None:
        # RFC 7323 5.4: the clock ticks; how far it may be off is what the time may be off.
        apart = abs(asked.numbers[0] - stamp.numbers[0]) * tick * MICROSECOND
        if apart <= tolerance + tick * MICROSECOND:
            given[given.index(stamp)] = Option(TIMESTAMPS, (asked.numbers[0], stamp.numbers[1]))
    return wanted == given


def _stamp(packet: TcpPacket) -> Option | None:
    return next((each for each in packet.options or () if each.kind == TIMESTAMPS), None)
