"""Sequence numbers: arithmetic modulo 2**32 (RFC 9293 section 3.4).

Plain ints and plain functions; `a` and `b` are always within 2**31 of one another.
"""

from typing import Final

MODULUS: Final = 1 << 32
MASK: Final = MODULUS - 1
_HALF: Final = 1 << 31


def seq_lt(a: int, b: int) -> bool:
    """Whether `a` comes before `b`."""
    return (a - b) & MASK >= _HALF


def seq_le(a: int, b: int) -> bool:
    """Whether `a` comes before `b` or is `b`."""
    return (b - a) & MASK < _HALF


def seq_diff(a: int, b: int) -> int:
    """How far `a` lies beyond `b`; negative when it comes before."""
    return ((a - b + _HALF) & MASK) - _HALF
