"""The Internet checksum (RFC 1071), in plain Python.

The one's complement sum of 16-bit words is the number that the octets spell, modulo 65535: 2**16 is 1 there, so each
word counts as it is. Only zero needs care: a sum that is not zero but a multiple of 65535 is 0xFFFF, never 0.
"""

import struct
from collections.abc import Callable
from typing import TypeAlias

from stack.octets import Octets

Checksum: TypeAlias = Callable[[Octets, int], int]
"""checksum(data, initial): what the layers hand to the parsers, so that the fastpath can do the work."""

_PSEUDO_HEADER = struct.Struct("!IIHH")


def internet_checksum(data: Octets, initial: int = 0) -> int:
    """The checksum of `data`, an odd last octet padded with zero; `initial` is a partial sum to add.

    Octets that contain their own right checksum give 0.
    """
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8
    total += initial
    folded = total % 0xFFFF
    if not folded and total:
        folded = 0xFFFF
    return 0xFFFF ^ folded


def pseudo_header(src: int, dst: int, protocol: int, length: int) -> int:
    """The partial sum of the pseudo header of UDP and TCP (RFC 768, RFC 9293 3.1)."""
    return (src >> 16) + (src & 0xFFFF) + (dst >> 16) + (dst & 0xFFFF) + protocol + length
