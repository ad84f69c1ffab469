"""The Internet checksum (RFC 1071) and TCP's and UDP's pseudo-header."""

from collections.abc import Callable
from typing import TypeAlias

from stack.errors import ChecksumMismatch
from stack.octets import Octets

Checksum: TypeAlias = Callable[[Octets, int], int]
"""(data, initial) -> checksum: the parameter by which the layers above pass a faster one."""


def internet_checksum(data: Octets, initial: int = 0) -> int:
    """The 16-bit complement of the ones' complement sum of `data`, padded to even length, and of `initial`.

    `initial` is a sum of 16-bit words that need not be folded. A datum that holds its own right checksum gives 0.
    """
    # 2**16 is 1 modulo 65535, so the octets as one big integer are congruent to the sum of their 16-bit words, and
    # the division is one loop in C. It leaves 0 for a folded sum of 0xFFFF too; only all zeros sum to a true 0.
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8  # RFC 9293 3.1: padded on the right with zeros, for the sum only
    total += initial
    folded = total % 0xFFFF
    return 0xFFFF - folded if folded or not total else 0


def pseudo_header(src: int, dst: int, protocol: int, length: int) -> int:
    """The sum over the pseudo-header of RFC 9293 3.1 and RFC 768, to be passed as `initial`."""
    return (src >> 16) + (src & 0xFFFF) + (dst >> 16) + (dst & 0xFFFF) + protocol + length


def updated(checksum: int, old: int, new: int) -> int:
    """What `checksum` becomes when one 16-bit word of the data changes from `old` to `new` (RFC 1624 equation 3)."""
    total = (checksum ^ 0xFFFF) + (old ^ 0xFFFF) + new
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16) ^ 0xFFFF


def mismatch(layer: str, field: int, residue: int) -> ChecksumMismatch:
    """The exception for a packet whose checksum field is `field` and over all of which the checksum is `residue`."""
    right = field + residue
    right = (right & 0xFFFF) + (right >> 16)
    return ChecksumMismatch(f"{layer}: checksum is {field:#06x}, what arrived sums to {right:#06x}")
