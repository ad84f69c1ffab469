"""What a script says, as values; a packet shows itself in packetdrill's notation.

Times are in nanoseconds. Sequence numbers are relative: of a segment with SYN as the script writes them, of all others
to the initial sequence number of their side, so that 1 is the first octet of text.
"""

import ast
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Final, TypeAlias

from stack.clock import Duration
from stack.errors import StackError
from stack.wire import icmp, tcp, tcp_options

Value: TypeAlias = "int | str | bytes | EllipsisType | list[Value] | dict[str, Value]"
"""An argument or a result of a call: `...` is EllipsisType, an array or `{..., 5}` a list, `{fd=3}` a dict."""

FLAGS: Final = {
    "S": tcp.SYN, "F": tcp.FIN, "R": tcp.RST, "P": tcp.PSH, "U": tcp.URG, "E": tcp.ECE, "W": tcp.CWR, ".": tcp.ACK,
}  # fmt: skip
OPTIONS: Final = {
    "eol": tcp_options.END, "nop": tcp_options.NOP, "mss": tcp_options.MSS, "wscale": tcp_options.WINDOW_SCALE,
    "sackOK": tcp_options.SACK_PERMITTED, "sack": tcp_options.SACK, "TS": tcp_options.TIMESTAMPS,
}  # fmt: skip
ECN: Final = {"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}  # RFC 3168 section 5
ICMP_TYPES: Final = {
    "echo_reply": icmp.ECHO_REPLY, "unreachable": icmp.DESTINATION_UNREACHABLE, "source_quench": icmp.SOURCE_QUENCH,
    "redirect": icmp.REDIRECT, "echo_request": icmp.ECHO_REQUEST, "time_exceeded": icmp.TIME_EXCEEDED,
    "parameter_problem": icmp.PARAMETER_PROBLEM,
}  # fmt: skip
ICMP_CODES: Final = {
    icmp.DESTINATION_UNREACHABLE: (
        "net_unreachable", "host_unreachable", "protocol_unreachable", "port_unreachable", "frag_needed",
        "source_route_failed", "net_unknown", "host_unknown", "source_host_isolated", "net_prohibited",
        "host_prohibited", "net_unreachable_for_tos", "host_unreachable_for_tos", "packet_filtered",
        "precedence_violation", "precedence_cutoff",
    ),
}  # fmt: skip


class ScriptError(StackError):
    """A script that cannot be read: `file:line: what was expected, what was found`."""


class ScriptFailure(StackError):
    """A script with which the stack does not comply: what was expected, what happened, and when."""


@dataclass(frozen=True, slots=True)
class When:
    """When an event happens: from `earliest` to `latest` (None: whenever), since the start or since the one before."""

    earliest: Duration
    latest: Duration | None
    is_relative: bool


@dataclass(frozen=True, slots=True)
class Option:
    """A TCP option by its kind; the numbers of a `sack` are its edges, those of `TS` val and ecr."""

    kind: int
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        name = next((name for name, kind in OPTIONS.items() if kind == self.kind), f"option-{self.kind}")
        if self.kind == tcp_options.TIMESTAMPS and len(self.numbers) == 2:
            return f"TS val {self.numbers[0]} ecr {self.numbers[1]}"
        if self.kind == tcp_options.SACK:
            edges = zip(self.numbers[::2], self.numbers[1::2], strict=False)
            return " ".join([name, *(f"{left}:{right}" for left, right in edges)])
        return " ".join([name, *map(str, self.numbers)])


@dataclass(frozen=True, slots=True)
class IpFields:
    """What a packet says of its IP header; None: as usual, or not looked at."""

    ecn: int | None = None
    tos: int | None = None
    ttl: int | None = None

    def __str__(self) -> str:
        ecn = [name for name, value in ECN.items() if value == self.ecn]
        tos = [f"tos {self.tos:#x}"] if self.tos is not None else []
        ttl = [f"ttl {self.ttl}"] if self.ttl is not None else []
        shown = ",".join(ecn + tos + ttl)
        return f"[{shown}] " if shown else ""


@dataclass(frozen=True, slots=True)
class TcpPacket:
    """A TCP segment; `ports` are source and destination, and what is None is not looked at."""

    inbound: bool
    flags: int
    seq: int
    length: int
    ack: int = 0
    window: int | None = None
    urgent: int | None = None
    options: tuple[Option, ...] | None = ()
    ip: IpFields = IpFields()
    ports: tuple[int, int] | None = None

    def __str__(self) -> str:
        flags = "".join(name for name, bit in FLAGS.items() if self.flags & bit) or "-"
        text = f"{show_head(self)}{flags} {_octets(self.seq, self.length)}"
        if self.flags & tcp.ACK:
            text += f" ack {self.ack}"
        if self.window is not None:
            text += f" win {self.window}"
        if self.urgent:
            text += f" urg {self.urgent}"
        if self.options is None:
            return f"{text} <...>"
        return f"{text} <{','.join(map(str, self.options))}>" if self.options else text


@dataclass(frozen=True, slots=True)
class UdpPacket:
    """A datagram with `length` octets of data."""

    inbound: bool
    length: int
    ip: IpFields = IpFields()
    ports: tuple[int, int] | None = None

    def __str__(self) -> str:
        way, _, ports = show_head(self).partition(" ")
        return f"{way} udp {ports}({self.length})"


@dataclass(frozen=True, slots=True)
class IcmpPacket:
    """An ICMP message; `quoted` is first octet and length of the segment that it quotes (None: the one sent last)."""

    inbound: bool
    type: int
    code: int = 0
    mtu: int | None = None
    identifier: int | None = None
    quoted: tuple[int, int] | None = None
    ip: IpFields = IpFields()

    def __str__(self) -> str:
        kind = next((name for name, value in ICMP_TYPES.items() if value == self.type), str(self.type))
        codes = ICMP_CODES.get(self.type, ())
        code = f" {codes[self.code]}" if self.code < len(codes) else f" {self.code}" if self.code else ""
        mtu = f" mtu {self.mtu}" if self.mtu else ""
        identifier = f" id {self.identifier}" if self.identifier is not None else ""
        quoted = f" [{_octets(*self.quoted)}]" if self.quoted is not None else ""
        return f"{'<' if self.inbound else '>'} {self.ip}icmp {kind}{code}{mtu}{identifier}{quoted}"


Packet: TypeAlias = TcpPacket | UdpPacket | IcmpPacket


@dataclass(frozen=True, slots=True)
class Call:
    """A system call; `error` names the expected errno (None: any), `ends` says when a call that waits is to return."""

    name: str
    arguments: tuple[Value, ...]
    result: Value
    error: str | None
    ends: Duration | None
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Assertion:
    """`%{ assert condition, message }%`: the statements, and each as it was written."""

    statements: tuple[tuple[ast.Assert, str], ...]

    def __str__(self) -> str:
        return f"%{{ {'; '.join(text for _, text in self.statements)} }}%"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens, or is to happen."""

    line: int
    when: When
    action: Packet | Call | Assertion


@dataclass(frozen=True, slots=True)
class Script:
    """A whole script; `options` and `sysctls` are (line, name, value)."""

    name: str
    options: list[tuple[int, str, str]] = field(default_factory=list)
    sysctls: list[tuple[int, str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def _octets(start: int, length: int) -> str:
    return f"{start}:{(start + length) & 0xFFFF_FFFF}({length})"


def show_head(packet: TcpPacket | UdpPacket) -> str:
    """Direction, IP fields and ports, as far as they are told."""
    ports = f"{packet.ports[0]} > {packet.ports[1]} " if packet.ports is not None else ""
    return f"{'<' if packet.inbound else '>'} {packet.ip}{ports}"
