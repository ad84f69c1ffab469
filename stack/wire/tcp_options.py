"""TCP options: RFC 9293 section 3.2, RFC 7323 (window scale, time stamps), RFC 2018 (SACK)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.errors import MalformedPacket
from stack.octets import Octets

END: Final = 0
NOP: Final = 1
MSS: Final = 2
WINDOW_SCALE: Final = 3
SACK_PERMITTED: Final = 4
SACK: Final = 5
TIMESTAMPS: Final = 8

MAXIMUM_LENGTH: Final = 40
MAXIMUM_SHIFT: Final = 14  # RFC 7323 2.3: a larger one is taken as this

_MSS = struct.Struct("!BBH")
_TIMESTAMPS = struct.Struct("!BBBBII")
_PAIR = struct.Struct("!II")


@dataclass(slots=True)
class TcpOptions:
    """The options of one segment; `ts_val` is None where there are no time stamps."""

    mss: int | None = None
    window_scale: int | None = None
    sack_permitted: bool = False
    sack_blocks: tuple[tuple[int, int], ...] = ()
    ts_val: int | None = None
    ts_ecr: int = 0


NO_OPTIONS: Final = TcpOptions()
"""What a segment without options has; shared, so never to be changed."""


def parse(octets: Octets) -> TcpOptions:
    """The options. Raises MalformedPacket where a length is impossible.

    An unknown kind is skipped by its length (MUST-6). So is a known kind whose length is not its own: it is then
    not the option that we know.
    """
    options = TcpOptions()
    position, end = 0, len(octets)
    while position < end:
        kind = octets[position]
        if kind == END:
            break
        if kind == NOP:
            position += 1
            continue
        if position + 1 == end:
            raise MalformedPacket(f"TCP: option {kind} at octet {position} of {end} has no length")
        length = octets[position + 1]
        if length < 2 or position + length > end:
            raise MalformedPacket(f"TCP: option {kind} says {length} octets, there are {end - position}")
        _take(options, kind, bytes(octets[position + 2 : position + length]))
        position += length
    return options


def _take(options: TcpOptions, kind: int, data: bytes) -> None:
    size = len(data)
    if kind == TIMESTAMPS and size == 8:
        options.ts_val, options.ts_ecr = _PAIR.unpack(data)
    elif kind == MSS and size == 2:
        options.mss = int.from_bytes(data, "big")
    elif kind == WINDOW_SCALE and size == 1:
        options.window_scale = min(data[0], MAXIMUM_SHIFT)
    elif kind == SACK_PERMITTED and size == 0:
        options.sack_permitted = True
    elif kind == SACK and size and size % 8 == 0:
        options.sack_blocks = tuple(_PAIR.iter_unpack(data))


def build(options: TcpOptions) -> bytes:
    """The octets, a multiple of four, in the order MSS, window scale, SACK-permitted, time stamps, SACK.

    Raises MalformedPacket when they are more than 40.
    """
    parts = []
    if options.mss is not None:
        parts.append(_MSS.pack(MSS, 4, options.mss))
    if options.window_scale is not None:
        parts.append(bytes((NOP, WINDOW_SCALE, 3, options.window_scale)))
    if options.ts_val is not None:
        # SACK-permitted fills the two octets that align the time stamps, where both are sent (RFC 7323 appendix A).
        lead = (SACK_PERMITTED, 2) if options.sack_permitted else (NOP, NOP)
        parts.append(_TIMESTAMPS.pack(*lead, TIMESTAMPS, 10, options.ts_val, options.ts_ecr))
    elif options.sack_permitted:
        parts.append(bytes((NOP, NOP, SACK_PERMITTED, 2)))
    if options.sack_blocks:
        parts.append(bytes((NOP, NOP, SACK, 2 + 8 * len(options.sack_blocks))))
        parts.extend(_PAIR.pack(*block) for block in options.sack_blocks)
    octets = b"".join(parts)
    if len(octets) > MAXIMUM_LENGTH:
        raise MalformedPacket(f"TCP: options have at most {MAXIMUM_LENGTH} octets, not {len(octets)}")
    return octets
