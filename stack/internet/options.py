"""IPv4 options of an echo request that come back in the reply, this host entered (RFC 791 3.1, RFC 1122 3.2.2.6)."""

from typing import Final

from stack.addresses import Ipv4Address
from stack.clock import MILLISECOND, Instant
from stack.wire import ipv4

_TYPE_AND_LENGTH: Final = 2
_SLOT: Final = 4  # octets of an address, and of a timestamp
_ROUTE_STARTS: Final = 4  # the least pointer, counted from 1 as both options count
_STAMPS_START: Final = 5
_ADDRESSES_TOO, _PRESCRIBED = 1, 3  # flags of the timestamp option
_NOT_UNIVERSAL_TIME: Final = 1 << 31
_OVERFLOWS: Final = 15


def reflected(options: bytes, us: Ipv4Address, now: Instant) -> bytes:
    """The Record Route and Timestamp options among `options`; those that contradict themselves, and others, are not."""
    back = bytearray()
    for kind, data in ipv4.parse_options(options):
        if kind == ipv4.OPTION_RECORD_ROUTE:
            entered = _record_route(data, us)
        elif kind == ipv4.OPTION_TIMESTAMP:
            entered = _record_time(data, us, now)
        else:
            continue
        if entered:
            back += bytes((kind, len(entered) + _TYPE_AND_LENGTH)) + entered
    return bytes(back)


def _record_route(data: bytes, us: Ipv4Address) -> bytes:
    """`data` (pointer, addresses) with our address; as it is when there is no room left; empty when malformed."""
    if not data or data[0] < _ROUTE_STARTS:
        return b""
    at = data[0] - _TYPE_AND_LENGTH - 1
    if at >= len(data):
        return data
    return _enter(data, at, us.to_bytes(_SLOT, "big"))


def _record_time(data: bytes, us: Ipv4Address, now: Instant) -> bytes:
    """`data` (pointer, overflow and flag, stamps) with our time, or counted as one that found no room."""
    if len(data) < 2 or data[0] < _STAMPS_START:
        return b""
    at = data[0] - _TYPE_AND_LENGTH - 1
    overflows, flag = data[1] >> 4, data[1] & 0xF
    address = us.to_bytes(_SLOT, "big")
    if flag == _PRESCRIBED and data[at : at + _SLOT] != address:
        return data  # somebody else's turn, or all are done
    if at >= len(data):
        return data[:1] + bytes(((overflows + 1) << 4 | flag,)) + data[2:] if overflows < _OVERFLOWS else b""
    # Of the time of day a host knows nothing here; any other time has the high-order bit set.
    stamp = (now // MILLISECOND % _NOT_UNIVERSAL_TIME | _NOT_UNIVERSAL_TIME).to_bytes(_SLOT, "big")
    return _enter(data, at, address + stamp if flag in (_ADDRESSES_TOO, _PRESCRIBED) else stamp)


def _enter(data: bytes, at: int, record: bytes) -> bytes:
    """`data` with `record` at `at` and the pointer behind it; empty when it does not fit in whole."""
    end = at + len(record)
    if end > len(data):
        return b""
    return bytes((data[0] + len(record),)) + data[1:at] + record + data[end:]
