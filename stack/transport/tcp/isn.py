"""Initial sequence numbers and time stamp offsets that nobody outside can guess (RFC 6528, RFC 7323 5.4)."""

import struct
from hashlib import blake2s
from typing import Final

from stack.clock import MICROSECOND, Instant
from stack.transport.flow import FlowKey
from stack.transport.tcp.sequence import MASK, seq_lt

_TICK: Final = 4 * MICROSECOND  # M of RFC 6528 section 3
_BEYOND: Final = 1 << 16  # more than what may still be on its way beyond SND.NXT: nothing but a probe
_FLOW: Final = struct.Struct("!IHIH")


def initial_sequence_number(secret: bytes, key: FlowKey, now: Instant) -> int:
    """ISN = M + F(localip, localport, remoteip, remoteport, secretkey), with BLAKE2s for F."""
    return now // _TICK + keyed_hash(secret, b"isn", key) & MASK


def beyond_incarnation(isn: int, snd_nxt: int) -> int:
    """`isn`, unless the last incarnation has come further than that, up to `snd_nxt` (RFC 9293 3.6.1, MAY-2).

    The clock goes on by 250,000 a second, which a connection of any speed overtakes.
    """
    return isn if seq_lt(snd_nxt, isn) else (snd_nxt + _BEYOND) & MASK


def timestamp_offset(secret: bytes, key: FlowKey) -> int:
    """What is added to the clock of 1 ms in this connection's time stamps: it hides how long we have been up."""
    return keyed_hash(secret, b"ts", key)


def keyed_hash(secret: bytes, purpose: bytes, key: FlowKey, more: bytes = b"") -> int:
    """32 bits that only who knows the secret can tell from the flow and `more`; another `purpose`, other bits."""
    digest = blake2s(_FLOW.pack(*key) + more, digest_size=4, key=secret[:32], person=purpose)
    return int.from_bytes(digest.digest(), "big")
