"""SYN cookies: the state of a half-open connection, kept by the peer (RFC 4987 section 3.6).

Theory. While the SYN queue is full a SYN is answered, and forgotten. All that is needed to go on is in the sequence
number of our SYN-ACK, which the peer's ACK brings back: ISN = M + F(flow, secret) as ever (RFC 6528), but in place of
the clock, M is

    bits 31-29   the period of 64 s, so that sequence numbers go on with time, and a cookie is not good for ever
    bits 28-3    a keyed hash over the flow, the peer's ISN, the period and the index
    bits 2-0     index of the MSS

Two periods and eight indexes are accepted, so of the 2**32 numbers that an ACK out of the blue may carry 16 are right:
one in 2**28. Who has learned F, having once had the address, is still left with 26 bits of hash to guess.

Other options do not fit. When the peer sends time stamps it echoes ours, and their low six bits, which then do not
tell the time, carry them (as Linux's do); without time stamps the connection has to do without the other options.
"""

import struct
from bisect import bisect_right
from typing import Final

from stack.clock import SECOND, Duration, Instant
from stack.transport.flow import FlowKey
from stack.transport.tcp.isn import keyed_hash
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.terms import Terms
from stack.wire.tcp_options import TcpOptions

_PERIOD: Final = 64 * SECOND
_PERIODS: Final = 2  # in which a cookie is accepted: its own and the next
LIFETIME: Final[Duration] = _PERIODS * _PERIOD

# What is common out there, the least that is ever sent, and jumbo frames; an MSS is rounded down to one of these.
_SIZES: Final = (48, 536, 1220, 1360, 1400, 1440, 1460, 8960)

_PERIOD_SHIFT: Final = 29
_HASH_SHIFT: Final = 3
_HASH_MASK: Final = (1 << _PERIOD_SHIFT - _HASH_SHIFT) - 1
_INDEX_MASK: Final = (1 << _HASH_SHIFT) - 1
_MORE: Final = struct.Struct("!IqB")

_SHIFT_MASK: Final = 15  # of the low bits of a time stamp
_NO_SHIFT: Final = 15  # RFC 7323 2.3: no window is scaled by more than 14
_SACK: Final = 16
_ECN: Final = 32
_BITS: Final = 63


def cookie(secret: bytes, key: FlowKey, irs: int, terms: Terms, now: Instant) -> int:
    """The ISN for our answer to the SYN with sequence number `irs`."""
    index = max(bisect_right(_SIZES, terms.mss) - 1, 0)
    return _isn(secret, key, irs, now // _PERIOD, index)


def opened(isn: int, secret: bytes, key: FlowKey, irs: int, now: Instant) -> int | None:
    """The MSS, rounded, that the peer offered if we sent `isn` as a cookie not long ago; else None."""
    number = (isn - keyed_hash(secret, b"isn", key)) & MASK
    period = now // _PERIOD
    period -= (period - (number >> _PERIOD_SHIFT)) & (MASK >> _PERIOD_SHIFT)
    index = number & _INDEX_MASK
    is_ours = now // _PERIOD - period < _PERIODS and _isn(secret, key, irs, period, index) == isn
    return _SIZES[index] if is_ours else None


def carried(terms: Terms) -> Terms:
    """As much of `terms` as a cookie can carry."""
    return terms if terms.ts_val is not None else Terms(terms.mss)


def stamp(clock: int, terms: Terms) -> int:
    """The latest time stamp not after `clock` that carries the options of `terms`."""
    bits = _NO_SHIFT if terms.shift is None else terms.shift
    bits |= (_SACK if terms.sack else 0) | (_ECN if terms.ecn else 0)
    value = clock & ~_BITS | bits
    return (value if value <= clock else value - _BITS - 1) & MASK


def terms_of(mss: int, options: TcpOptions) -> Terms:
    """The terms that we agreed to, by the time stamps of the peer's answer to a cookie."""
    if options.ts_val is None:
        return Terms(mss)
    bits = options.ts_ecr
    shift = bits & _SHIFT_MASK
    return Terms(mss, None if shift == _NO_SHIFT else shift, bool(bits & _SACK), options.ts_val, bool(bits & _ECN))


def _isn(secret: bytes, key: FlowKey, irs: int, period: int, index: int) -> int:
    digest = keyed_hash(secret, b"cookie", key, _MORE.pack(irs, period, index)) & _HASH_MASK
    clock = period << _PERIOD_SHIFT | digest << _HASH_SHIFT | index
    return clock + keyed_hash(secret, b"isn", key) & MASK
