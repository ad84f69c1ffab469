"""How connections are opened: SEGMENT ARRIVES in LISTEN and SYN-SENT, and what the SYNs negotiate.

RFC 9293 sections 3.5, 3.10.7.2 and 3.10.7.3; options by RFC 7323; reuse of a TIME-WAIT by RFC 6191.
"""

import errno
from typing import TYPE_CHECKING, Final

from stack.clock import SECOND, Instant
from stack.events import ESTABLISHED
from stack.transport.tcp import output
from stack.transport.tcp.isn import timestamp_offset
from stack.transport.tcp.sender import DEFAULT_MSS
from stack.transport.tcp.sequence import seq_lt
from stack.transport.tcp.states import Cause
from stack.transport.tcp.timestamps import Timestamps
from stack.wire.tcp import ACK, CWR, ECE, FIN, RST, SYN, Segment
from stack.wire.tcp_options import TcpOptions

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


def open_passively(connection: "Connection", seg: Segment, now: Instant) -> None:
    """A SYN for a listener (RFC 9293 3.10.7.2): answer it. Text that comes with it is left to be sent again."""
    connection.counters["TcpPassiveOpens"] += 1
    connection.move(Cause.PASSIVE_OPEN, now)
    _offer_timestamps(connection, now)
    connection.receiver.start(seg.seq)
    _negotiate(connection, seg.options, now)
    connection.ecn = connection.config.ecn != "off" and seg.flags & (ECE | CWR) == ECE | CWR
    connection.sender.set_window(seg.seq, connection.sender.iss, seg.window)
    connection.move(Cause.SYN_ARRIVED, now)
    output.send_syn(connection, now)


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
    _negotiate(connection, seg.options, now)
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


def on_handshake_ack(connection: "Connection", seg: Segment, now: Instant) -> None:
    """Our SYN is acknowledged in SYN-RECEIVED: the connection is established."""
    sender = connection.sender
    _acknowledge_syn(connection, seg, now)
    sender.set_window(seg.seq, seg.ack, seg.window << sender.shift)
    connection.move(Cause.SYN_ACKED, now)
    if sender.fin_queued:  # shutdown() was called meanwhile, and text had to go first
        connection.move(Cause.CLOSE_CALLED, now)
    if connection.listener is not None:
        connection.listener.on_established(connection)
    else:
        connection.post(ESTABLISHED)


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
    if ts_val is None:
        newer = beyond
    elif timestamps is None:
        newer = beyond or listener.config.timestamps  # whatever is old has no time stamp, and PAWS will drop it
    else:
        newer = seq_lt(timestamps.recent, ts_val) or (timestamps.recent == ts_val and beyond)
    if not newer:
        return False
    connection.counters["TcpTimeWaitRecycled"] += 1
    connection.finish(Cause.TIME_WAIT_OVER, None, now)
    connection.tcp.on_syn(listener, connection.key, seg, now)
    return True


def _acknowledge_syn(connection: "Connection", seg: Segment, now: Instant) -> None:
    sender = connection.sender
    lost = sender.retransmissions > 0
    sender.on_syn_acked(seg.ack, now)
    connection.retransmit.disarm()
    if lost:
        sender.rtt.after_syn_timeout(_RTO_AFTER_SYN_LOSS)
        sender.congestion.cwnd = sender.mss  # RFC 5681 3.1: the initial window after a lost SYN


def _negotiate(connection: "Connection", options: TcpOptions, now: Instant) -> None:
    config, sender = connection.config, connection.sender
    if options.window_scale is None or not connection.scaling:
        connection.scaling = False
        connection.receiver.shift = 0
    else:
        sender.shift = options.window_scale
    connection.sack = sender.recovery.has_sack = connection.sack and options.sack_permitted
    timestamps = connection.timestamps
    if options.ts_val is None:
        connection.timestamps = None
    elif timestamps is not None:
        timestamps.recent = options.ts_val
        timestamps.recent_at = now
    offered = DEFAULT_MSS if options.mss is None else options.mss
    connection.peer_mss = max(offered, config.minimum_send_mss)
    output.on_path_mtu(connection, now)
    sender.open_congestion(config)


def _offer_timestamps(connection: "Connection", now: Instant) -> None:
    if connection.config.timestamps:
        connection.timestamps = Timestamps(timestamp_offset(connection.tcp.secret, connection.key), 0, now)
