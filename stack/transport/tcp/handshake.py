"""How connections are opened: SEGMENT ARRIVES in SYN-SENT, and the way from SYN-RECEIVED to ESTABLISHED.

RFC 9293 sections 3.5 and 3.10.7.3; reuse of a TIME-WAIT by RFC 6191. LISTEN is in listener.py.
"""

import errno
from typing import TYPE_CHECKING, Final

from stack.clock import SECOND, Instant
from stack.events import ESTABLISHED
from stack.transport.tcp import output, timeouts
from stack.transport.tcp.half_open import HalfOpen
from stack.transport.tcp.isn import timestamp_offset
from stack.transport.tcp.sequence import seq_lt
from stack.transport.tcp.states import Cause
from stack.transport.tcp.terms import Terms, terms
from stack.transport.tcp.timestamps import Timestamps
from stack.wire.tcp import ACK, CWR, ECE, FIN, RST, SYN, Segment

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection

_RTO_AFTER_SYN_LOSS: Final = 3 * SECOND  # RFC 6298 5.7


def open_actively(connection: "Connection", now: Instant) -> None:
    """The active OPEN (RFC 9293 3.10.1): send a SYN."""
    connection.counters["TcpActiveOpens"] += 1
    connection.move(Cause.ACTIVE_OPEN, now)
    _offer_timestamps(connection, now)
    connection.ecn = connection.config.ecn == "request"
    output.send_syn(connection, now)


def resume(connection: "Connection", half_open: HalfOpen, now: Instant) -> None:
    """The passive OPEN, from where the listener has brought it to (RFC 9293 3.10.7.2): its SYN has been answered."""
    sender = connection.sender
    connection.move(Cause.PASSIVE_OPEN, now)
    _offer_timestamps(connection, now)
    connection.receiver.start(half_open.irs)
    _negotiate(connection, half_open.terms, now)
    connection.ecn = half_open.terms.ecn
    connection.move(Cause.SYN_ARRIVED, now)
    sender.on_syn_sent(half_open.began_at)
    sender.last_sent_at = half_open.sent_at
    sender.retransmissions = sender.rtt.backoff = half_open.timeouts
    timer = half_open.release_timer()
    if timer is None:  # the answer was a cookie
        connection.retransmit.arm(now + sender.rtt.rto)
    else:
        timer.hand_over(timeouts.on_retransmit, connection)
        connection.retransmit = timer


def on_segment_in_syn_sent(connection: "Connection", seg: Segment, now: Instant) -> None:
    """SEGMENT ARRIVES in SYN-SENT (RFC 9293 3.10.7.3)."""
    sender = connection.sender
    flags = seg.flags
    if flags & ACK and not sender.is_acceptable_ack(seg.ack):  # first: the ACK bit
        connection.counters["TcpUnacceptableAck"] += 1
        if not flags & RST:
            connection.tcp.reset_unacceptable(connection.key, seg, now)
        return
    if flags & RST:  # second: believed only with an acceptable ACK
        if flags & ACK:
            connection.counters["TcpInRsts"] += 1
            refused = ConnectionRefusedError(errno.ECONNREFUSED, "the peer refused the connection")
            connection.finish(Cause.RESET_ARRIVED, refused, now)
        return
    if not flags & SYN:  # fifth
        return
    connection.receiver.start(seg.seq)  # fourth
    connection.heard_at = now
    _negotiate(connection, terms(connection.config, seg), now)
    connection.ecn = connection.ecn and flags & (ACK | ECE | CWR) == ACK | ECE
    sender.set_window(seg.seq, seg.ack if flags & ACK else sender.iss, seg.window)
    if not flags & ACK:
        connection.move(Cause.SYN_ARRIVED, now)
        output.send_syn(connection, now)
        return
    _acknowledge_syn(connection, seg, now)
    connection.move(Cause.SYN_ACK_ARRIVED, now)
    connection.post(ESTABLISHED)
    connection.path.confirm(now)
    connection.ack_now = True
    if seg.payload or flags & FIN:
        # "Continue processing at the sixth step": its text now begins at RCV.NXT.
        seg.flags &= ~SYN
        seg.seq = connection.receiver.nxt
        connection.tcp.process(connection, seg, now)
    connection.tcp.mark_dirty(connection)


def on_handshake_ack(connection: "Connection", seg: Segment, now: Instant) -> bool:
    """Our SYN is acknowledged in SYN-RECEIVED: the connection is established; False: there is no room for it yet."""
    sender, listener = connection.sender, connection.listener
    if listener is not None and listener.is_full:
        connection.counters["TcpExtListenOverflows"] += 1
        return False
    _acknowledge_syn(connection, seg, now)
    sender.set_window(seg.seq, seg.ack, seg.window << sender.shift)
    connection.move(Cause.SYN_ACKED, now)
    if sender.fin_queued:  # shutdown() was called meanwhile, and text had to go first
        connection.move(Cause.CLOSE_CALLED, now)
    if listener is not None:
        listener.on_established(connection)
    else:
        connection.post(ESTABLISHED)
    return True


def take_crossing_syn_ack(connection: "Connection", seg: Segment) -> None:
    """Make an ACK of the SYN-ACK that answers our SYN while its own crossed it (RFC 9293 3.5, figure 7).

    3.10.7.4 alone would find the SYN, which we have, below the window, and drop the acknowledgment with it.
    """
    repeats = seg.flags & (SYN | ACK | RST) == SYN | ACK and seg.seq == connection.receiver.irs
    if repeats and connection.listener is None:
        seg.flags &= ~SYN
        seg.seq = connection.receiver.nxt


def reopens(connection: "Connection", seg: Segment, now: Instant) -> bool:
    """Whether `seg` is a SYN that may replace `connection`, which is in TIME-WAIT (RFC 6191 section 2); done if so."""
    if seg.flags & (SYN | ACK | RST) != SYN:
        return False
    listener = connection.tcp.listener_for(connection.key.local_addr, connection.key.local_port)
    if listener is None:
        return False
    beyond = seq_lt(connection.receiver.nxt, seg.seq)
    timestamps, ts_val = connection.timestamps, seg.options.ts_val
    if ts_val is None or not listener.config.timestamps:
        newer = beyond
    elif timestamps is None:
        newer = True  # whatever is old has no time stamp, and PAWS will drop it
    else:
        newer = seq_lt(timestamps.recent, ts_val) or (timestamps.recent == ts_val and beyond)
    if not newer:
        return False
    connection.counters["TcpExtTWRecycled"] += 1
    connection.finish(Cause.TIME_WAIT_OVER, None, now)
    listener.on_syn(connection.key, seg, now, connection.sender.nxt)
    return True


def _acknowledge_syn(connection: "Connection", seg: Segment, now: Instant) -> None:
    sender = connection.sender
    lost = sender.retransmissions > 0
    sender.on_syn_acked(seg.ack, now)
    connection.retransmit.disarm()
    if lost:
        sender.rtt.after_syn_timeout(_RTO_AFTER_SYN_LOSS)
        sender.congestion.cwnd = sender.mss  # RFC 5681 3.1: the initial window after a lost SYN


def _negotiate(connection: "Connection", common: Terms, now: Instant) -> None:
    sender, timestamps = connection.sender, connection.timestamps
    if common.shift is None:
        connection.scaling = False
        connection.receiver.shift = 0
    else:
        sender.shift = common.shift
    connection.sack = sender.recovery.has_sack = common.sack
    if common.ts_val is None:
        connection.timestamps = None
    elif timestamps is not None:
        timestamps.recent = common.ts_val
        timestamps.recent_at = now
    if connection.user_timeout_option is not None:
        connection.user_timeout_option.on_option(connection, common.user_timeout)
    connection.peer_mss = common.mss
    output.on_path_mtu(connection, now)
    sender.open_congestion(connection.config)


def _offer_timestamps(connection: "Connection", now: Instant) -> None:
    if connection.config.timestamps:
        connection.timestamps = Timestamps(timestamp_offset(connection.tcp.secret, connection.key), 0, now)
