"""Explicit Congestion Notification at a queue: CE in place of a drop (RFC 3168 section 5)."""

from typing import Final

from stack.wire.checksum import updated
from stack.wire.ethernet import ETHERTYPE_IPV4, ETHERTYPE_VLAN, HEADER_LENGTH, TAG_LENGTH

_MASK: Final = 3  # the two low bits of the octet that was the type of service
_NOT_ECT: Final = 0
_CE: Final = 3
_CHECKSUM_AT: Final = 10
_HEADER: Final = 20


def marked(frame: bytes) -> bytes | None:
    """`frame` with CE set, or as it is where it has CE already; None where its ends do not speak ECN."""
    start = HEADER_LENGTH
    ethertype = int.from_bytes(frame[start - 2 : start], "big")
    if ethertype == ETHERTYPE_VLAN:
        start += TAG_LENGTH
        ethertype = int.from_bytes(frame[start - 2 : start], "big")
    if ethertype != ETHERTYPE_IPV4 or len(frame) < start + _HEADER or frame[start] >> 4 != 4:
        return None
    codepoint = frame[start + 1] & _MASK
    if codepoint == _NOT_ECT:
        return None
    if codepoint == _CE:
        return frame
    octets = bytearray(frame)
    old = int.from_bytes(octets[start : start + 2], "big")
    field = slice(start + _CHECKSUM_AT, start + _CHECKSUM_AT + 2)
    # Not summed anew: that would make a header right that was corrupted on its way here (RFC 1624).
    octets[field] = updated(int.from_bytes(octets[field], "big"), old, old | _CE).to_bytes(2, "big")
    octets[start + 1] |= _CE
    return bytes(octets)
