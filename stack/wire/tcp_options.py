"""TCP's options: RFC 9293 3.2 (MSS), RFC 7323 (window scale, timestamps), RFC 2018 (SACK), RFC 5482 (user timeout)."""

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
USER_TIMEOUT: Final = 28

MAXIMUM_LENGTH: Final = 40
MAXIMUM_SHIFT: Final = 14

_IN_MINUTES: Final = 1 << 15  # the G bit of the user timeout (RFC 5482 3.3)

_U16: Final = struct.Struct("!H")
_PAIR: Final = struct.Struct("!II")
_KIND_LENGTH_U16: Final = struct.Struct("!BBH")
_WINDOW_SCALE: Final = struct.Struct("!BBBB")
_TIMESTAMPS: Final = struct.Struct("!BBBBII")
_ALIGNED_SACK_PERMITTED: Final = bytes((NOP, NOP, SACK_PERMITTED, 2))
_ALIGNED_TIMESTAMPS: Final = bytes((NOP, NOP, TIMESTAMPS, 10))


@dataclass(slots=True, unsafe_hash=True)  # hashable: a dataclass then takes NO_OPTIONS for a default
class TcpOptions:
    """The options of one segment. A SACK block is its left and right edge; `ts_ecr` means nothing without `ts_val`."""

    mss: int | None = None
    window_scale: int | None = None
    sack_permitted: bool = False
    sack_blocks: tuple[tuple[int, int], ...] = ()
    ts_val: int | None = None
    ts_ecr: int = 0
    user_timeout: int | None = None  # seconds; above 32,767 a number of whole minutes


NO_OPTIONS: Final = TcpOptions()
"""Shared by all segments without options, and never modified."""


def parse(octets: Octets) -> TcpOptions:
    """The options in what a segment has between header and data. Raises MalformedPacket for an illegal length.

    Of an option that comes twice, the last counts.
    """
    size = len(octets)
    if size == 0:
        return NO_OPTIONS
    # Nearly every segment of a connection with timestamps: the layout of RFC 7323 Appendix A.
    if size == 12 and octets[:4] == _ALIGNED_TIMESTAMPS:
        ts_val, ts_ecr = _PAIR.unpack_from(octets, 4)
        return TcpOptions(ts_val=ts_val, ts_ecr=ts_ecr)
    options = TcpOptions()
    at = 0
    while at < size and (kind := octets[at]) != END:
        if kind == NOP:
            at += 1
            continue
        # A length that cannot be (0, 1, beyond the header) leaves nothing to go on from. MUST-7 of RFC 9293 3.1 leaves
        # open what to do and suggests a reset, which would let anybody who can forge a segment end a connection: the
        # segment is dropped.
        left = size - at
        length = octets[at + 1] if left > 1 else 0
        if not 2 <= length <= left:
            raise MalformedPacket(f"TCP: option {kind} has length {length}, with {left} octets of options left")
        _take(options, kind, octets, at, length)
        at += length
    return options


def _take(options: TcpOptions, kind: int, octets: Octets, at: int, length: int) -> None:
    """Store the option at `octets[at : at + length]`.

    A kind that we know with a length that it does not have is skipped, as one that we do not know (MUST-6): it says
    where it ends, so the rest can be trusted as much as before. Linux does the same, and a peer that one day sends a
    longer form of an option gets a connection without it rather than none.
    """
    if kind == TIMESTAMPS and length == 10:
        options.ts_val, options.ts_ecr = _PAIR.unpack_from(octets, at + 2)
    elif kind == SACK and length % 8 == 2:
        options.sack_blocks = tuple(_PAIR.iter_unpack(octets[at + 2 : at + length]))
    elif kind == MSS and length == 4:
        options.mss = _U16.unpack_from(octets, at + 2)[0]
    elif kind == WINDOW_SCALE and length == 3:
        options.window_scale = min(octets[at + 2], MAXIMUM_SHIFT)  # RFC 7323 2.3: a greater one is used as 14
    elif kind == SACK_PERMITTED and length == 2:
        options.sack_permitted = True
    elif kind == USER_TIMEOUT and length == 4:
        field = _U16.unpack_from(octets, at + 2)[0]
        options.user_timeout = (field & _IN_MINUTES - 1) * 60 if field & _IN_MINUTES else field


def build(options: TcpOptions) -> bytes:
    """The octets, padded with NOPs to whole words. Raises ValueError above 40 octets.

    As long as Linux's; a SYN has window scale behind MSS, where Linux has it last.
    """
    if options is NO_OPTIONS:
        return b""
    octets = b""
    if options.mss is not None:
        octets += _KIND_LENGTH_U16.pack(MSS, 4, options.mss)
    if options.window_scale is not None:
        octets += _WINDOW_SCALE.pack(NOP, WINDOW_SCALE, 3, options.window_scale)
    if options.ts_val is not None:
        # SACK-permitted fits where the padding of the timestamps would be.
        first, second = (SACK_PERMITTED, 2) if options.sack_permitted else (NOP, NOP)
        octets += _TIMESTAMPS.pack(first, second, TIMESTAMPS, 10, options.ts_val, options.ts_ecr)
    elif options.sack_permitted:
        octets += _ALIGNED_SACK_PERMITTED
    if options.user_timeout is not None:
        octets += _user_timeout(options.user_timeout)
    if options.sack_blocks:
        octets += bytes((NOP, NOP, SACK, 2 + 8 * len(options.sack_blocks)))
        octets += b"".join([_PAIR.pack(left, right) for left, right in options.sack_blocks])
    if len(octets) > MAXIMUM_LENGTH:
        raise ValueError(f"TCP: options have {len(octets)} octets, a header takes {MAXIMUM_LENGTH}")
    return octets


def _user_timeout(seconds: int) -> bytes:
    field = seconds if seconds < _IN_MINUTES else _IN_MINUTES | seconds // 60
    return _KIND_LENGTH_U16.pack(USER_TIMEOUT, 4, field)
