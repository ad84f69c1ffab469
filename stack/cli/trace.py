"""The segments of one connection, read from a capture, as steps to be told one by one."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from stack.addresses import Ipv4Address
from stack.application.dissect import Dissection, dissect, flags_of
from stack.io.capture import CapturedFrame
from stack.wire.tcp import ACK, FIN, PSH, SYN, Segment

_MASK: Final = 0xFFFF_FFFF
_START_LINE: Final = re.compile(rb"(HTTP/1\.\d \d{3} [ -~]{0,60}|[A-Z]{3,7} [!-~]{1,60} HTTP/1\.\d)\r\n")
_QUIET: Final = ACK | PSH  # a segment with no other flags is data or an acknowledgment


@dataclass(frozen=True, slots=True)
class Step:
    """One segment, or a run of `segments` that only carry on; `received`: by the stack."""

    milliseconds: float
    received: bool
    flags: str
    octets: int
    what: str
    has_data: bool
    carries_on: bool
    segments: int = 1


def steps(frames: Iterable[CapturedFrame], server: Ipv4Address, client_port: int) -> list[Step]:
    """What happened on the connection between `server` and `client_port`."""
    found = [
        (frame, dissection)
        for frame in frames
        if (dissection := dissect(frame.octets)) and client_port in (dissection.tcp.src_port, dissection.tcp.dst_port)
    ]
    if not found:
        return []
    began = found[0][0].at
    bases = {each.ipv4.src: each.tcp.seq for _, each in reversed(found)}
    every = [step(frame, each, began, bases, each.ipv4.dst == server) for frame, each in found]
    return list(_shortened(every))


def step(frame: CapturedFrame, each: Dissection, began: int, bases: dict[Ipv4Address, int], received: bool) -> Step:
    """What `frame`, which is `each`, does; `bases` are the initial sequence numbers, by who has chosen them."""
    segment = each.tcp
    seq = segment.seq - bases[each.ipv4.src] & _MASK
    ack = segment.ack - bases.get(each.ipv4.dst, 0) & _MASK
    start = _START_LINE.match(segment.payload)
    start_line = start[1].decode() if start else None
    return Step(
        milliseconds=(frame.at - began) / 1e6,
        received=received,
        flags=" ".join(flags_of(segment)),
        octets=len(frame.octets),
        what=start_line or _numbers(segment, seq, ack),
        has_data=bool(segment.payload),
        carries_on=start_line is None and seq > 1 and not segment.flags & ~_QUIET,
    )


def _numbers(segment: Segment, seq: int, ack: int) -> str:
    if segment.flags & SYN:
        options = segment.options
        offers = [
            f"window {segment.window:,}",
            f"MSS {options.mss}" if options.mss is not None else "",
            f"scale {options.window_scale}" if options.window_scale is not None else "",
            "timestamps" if options.ts_val is not None else "",
            "SACK" if options.sack_permitted else "",
        ]
        return ", ".join(filter(None, offers))
    if segment.payload:
        return f"octets {seq:,} to {seq + len(segment.payload) - 1:,}"
    acknowledged = f"acknowledges all before octet {ack:,}" if segment.flags & ACK else ""
    return f"no more data; {acknowledged}" if segment.flags & FIN else acknowledged


def _shortened(every: list[Step]) -> Iterator[Step]:
    """Runs of more than three segments that only carry on are told as one step."""
    index = 0
    while index < len(every):
        end = index
        while end < len(every) and every[end].carries_on:
            end += 1
        run = every[index:end]
        if len(run) > 3:
            data = sum(each.has_data for each in run)
            what = f"{data} segments of data, {len(run) - data} acknowledgments"
            octets = sum(each.octets for each in run)
            yield replace(run[0], flags="...", octets=octets, what=what, segments=len(run))
        else:
            yield from run
        if end == index:
            yield every[index]
            end += 1
        index = end
