"""The segment that was expected: a short way for what nearly every segment is (header prediction, Jacobson 1990).

Nothing is missing in either direction, the segment is the next in order, and it acknowledges what was sent once and in
order, or nothing new. The steps of SEGMENT ARRIVES (arrives.py) then come down to the assignments that are made here,
in the same order and with the same outcome; a test compares the two, octet for octet. Whatever is not expected is left
untouched for the long way, which says what each step is for.
"""

from typing import TYPE_CHECKING, Final

from stack.clock import Instant
from stack.octets import Octets
from stack.transport.tcp import arrives, timeouts
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.wire.ipv4 import CE
from stack.wire.tcp import ACK, PSH

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection

_ESTABLISHED: Final = State.ESTABLISHED
_PLAIN: Final = ~PSH
_HALF: Final = 1 << 31


def take(
    connection: "Connection",
    flags: int,
    seq: int,
    ack: int,
    window: int,
    tos: int,
    ts_val: int,
    payload: Octets,
    segments: int,
    now: Instant,
) -> bool:
    """Process a segment with time stamps and no other option; False: it is not the one that was expected."""
    receiver, sender, timestamps = connection.receiver, connection.sender, connection.timestamps
    length = len(payload)
    acked = (ack - sender.una) & MASK
    if (
        seq != receiver.nxt
        or flags & _PLAIN != ACK
        or connection.state is not _ESTABLISHED
        or timestamps is None
        or (ts_val - timestamps.recent) & MASK >= _HALF
        or length > (receiver.edge - seq) & MASK
        or not (length or acked)
        or receiver.is_waiting
        or not sender.recovery.is_calm
        or connection.probing
        or (connection.ecn and tos & CE == CE)
        or (length and (connection.is_released or receiver.fitting(length) < length))
    ):
        return False
    if acked:
        newest = sender.board.newest_in_order(sender.board.una + acked)
        if newest is None:
            return False
        sender.take_ack(newest, acked, ack, now)
        arrives.follow_ack(connection, True, now)
        timeouts.schedule_loss_timers(connection, None, now)
    connection.heard_at = now
    connection.received_tos = tos
    connection.keep_alive_probes = 0
    sender.update_window(seq, ack, window << sender.shift, acked > 0)
    if (receiver.acked - seq) & MASK < _HALF:
        timestamps.recent = ts_val
        timestamps.recent_at = now
    if length:
        if length > receiver.segment_size:
            receiver.note_segment(-(-length // segments))
        receiver.ack_due += receiver.accept(payload)
        arrives.follow_text(connection, segments, now)
    if connection.ack_now or sender.has_pending:
        connection.tcp.mark_dirty(connection)
    return True
