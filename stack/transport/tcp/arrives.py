"""SEGMENT ARRIVES, in the order of RFC 9293 section 3.10.7.4.

First the sequence number, second the RST bit, third security (which nobody has), fourth the SYN bit, fifth the ACK
field, sixth the URG bit, seventh the text, eighth the FIN bit. The checks stand here once; what differs from state
to state is said at the step where it differs. Resets and SYNs are checked as RFC 5961 has it, and as RFC 9293 took
it over. Time stamps are checked as RFC 7323 section 5.3 says, before anything else.
"""

import errno
from typing import TYPE_CHECKING, Final

from stack.clock import MILLISECOND, SECOND, Duration, Instant
from stack.events import END_OF_STREAM, READABLE
from stack.transport.tcp import handshake, output, timeouts
from stack.transport.tcp.sack import take_blocks
from stack.transport.tcp.sequence import MASK, seq_diff, seq_le, seq_lt
from stack.transport.tcp.states import Cause, State
from stack.transport.tcp.urgent import on_urgent_segment
from stack.wire.ipv4 import CE
from stack.wire.tcp import ACK, CWR, ECE, FIN, RST, SYN, URG, Segment

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection

_PAWS_VALID: Final = 24 * 24 * 3600 * SECOND  # RFC 7323 5.5: an older TS.Recent says nothing
_TEXT_STATES: Final = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})


def on_segment(connection: "Connection", seg: Segment, now: Instant) -> None:
    """Process a segment that arrives for `connection`."""
    if connection.state is State.SYN_SENT:
        handshake.on_segment_in_syn_sent(connection, seg, now)
        return
    if connection.state is State.TIME_WAIT and handshake.reopens(connection, seg, now):
        return
    if connection.state is State.SYN_RECEIVED:
        handshake.take_crossing_syn_ack(connection, seg)
    if not _is_acceptable(connection, seg, now):  # first: the sequence number
        return
    flags = seg.flags
    if flags & RST:  # second
        _on_reset(connection, seg, now)
        return
    if flags & SYN:  # fourth
        _on_syn(connection, seg, now)
        return
    if not flags & ACK:  # fifth
        connection.counters["TcpNoAckBit"] += 1
        return
    connection.heard_at = now
    connection.received_tos = seg.tos
    connection.keep_alive_probes = 0
    if not _process_ack(connection, seg, now):
        return
    _update_timestamp(connection, seg, now)
    if connection.user_timeout_option is not None:
        connection.user_timeout_option.on_option(connection, seg.options.user_timeout)
    if connection.ecn and seg.payload:
        connection.receiver.on_ecn(bool(flags & CWR), seg.tos & CE == CE)
    if flags & URG:  # sixth
        on_urgent_segment(connection, seg)
    if seg.payload:  # seventh
        _process_text(connection, seg, now)
    if flags & FIN or connection.receiver.fin_at is not None:  # eighth
        _process_fin(connection, seg, now)
    if connection.ack_now or connection.sender.has_pending:
        connection.tcp.mark_dirty(connection)


def _is_acceptable(connection: "Connection", seg: Segment, now: Instant) -> bool:
    if connection.timestamps is not None and not _passes_paws(connection, seg, now):
        return False
    receiver = connection.receiver
    window = receiver.window
    offset = (seg.seq - receiver.nxt) & MASK
    length = seg.length
    if not length:
        acceptable = offset < window if window else not offset
    else:
        acceptable = window > 0 and (offset < window or (offset + length - 1) & MASK < window)
    if acceptable:
        return True
    connection.counters["TcpUnacceptable"] += 1
    if not window and not offset and not seg.flags & SYN:
        # "Special allowance should be made to accept valid ACKs, URGs, and RSTs" at a closed window.
        connection.counters["TcpRcvBeyondWindowOctets"] += len(seg.payload)
        seg.payload = b""
        seg.flags &= ~FIN
        connection.ack_now = True
        return True
    if not seg.flags & RST:
        _answer_unacceptable(connection, seg, now)
    return False


def _answer_unacceptable(connection: "Connection", seg: Segment, now: Instant) -> None:
    repeated = seg.flags & (SYN | ACK) == SYN and seg.seq == connection.receiver.irs
    if repeated and connection.state is State.SYN_RECEIVED:
        # Our SYN-ACK was lost. An ACK, which RFC 9293 asks for, does not help a peer in SYN-SENT; Linux repeats it.
        output.send_syn(connection, now)
        return
    if connection.state is State.TIME_WAIT and seg.flags & FIN:
        timeouts.start_linger(connection, 2 * connection.config.maximum_segment_lifetime, now)
    if seg.payload or seg.flags & FIN:
        receiver = connection.receiver
        old = min(seq_diff(receiver.nxt, seg.seq), len(seg.payload))
        if old > 0:
            receiver.note_duplicate(seg.seq, old)
        output.send_ack(connection, now)  # an octet that was sent twice: the first acknowledgment was lost
    else:
        _challenge(connection, now)  # limited, lest two ends answer each other's ACKs for ever


def _passes_paws(connection: "Connection", seg: Segment, now: Instant) -> bool:
    timestamps = connection.timestamps
    if timestamps is None or seg.flags & RST:  # RFC 7323 5.2: a RST is not subject to PAWS
        return True
    ts_val = seg.options.ts_val
    if ts_val is None:
        connection.counters["TcpExtPAWSEstab"] += 1  # RFC 7323 3.2: SHOULD be dropped in silence
        return False
    # R1 of RFC 7323 5.3 has no exception for an ACK without text that others have overtaken, as Linux has: it is
    # dropped here, and those that were faster have said more.
    if not seq_lt(ts_val, timestamps.recent) or now - timestamps.recent_at > _PAWS_VALID:
        return True
    connection.counters["TcpExtPAWSEstab"] += 1
    if seg.length:
        output.send_ack(connection, now)
    else:
        _challenge(connection, now)
    return False


def _update_timestamp(connection: "Connection", seg: Segment, now: Instant) -> None:
    # RFC 7323 4.3 (2): only from a segment that covers Last.ACK.sent, so that a delayed ACK echoes the earliest. And
    # only from one that the steps before this have not refused: a forged time stamp far ahead would end the
    # connection, since PAWS then drops whatever the peer sends.
    timestamps, ts_val = connection.timestamps, seg.options.ts_val
    if timestamps is None or ts_val is None or seg.flags & RST:
        return
    if seq_le(seg.seq, connection.receiver.acked):
        timestamps.recent = ts_val
        timestamps.recent_at = now


def _on_reset(connection: "Connection", seg: Segment, now: Instant) -> None:
    if seg.seq != connection.receiver.nxt:  # in the window, but a blind attacker's guess could be (RFC 5961 3.2)
        _challenge(connection, now)
        return
    connection.counters["TcpInRsts"] += 1
    state = connection.state
    error: OSError | None
    if state is State.SYN_RECEIVED:
        passive = connection.listener is not None
        error = None if passive else ConnectionRefusedError(errno.ECONNREFUSED, "the peer refused the connection")
    elif state is State.CLOSE_WAIT:
        error = BrokenPipeError(errno.EPIPE, "the peer reset the connection after closing its side")
    elif state in _TEXT_STATES:
        error = ConnectionResetError(errno.ECONNRESET, "the peer reset the connection")
    else:
        error = None  # CLOSING, LAST-ACK, TIME-WAIT: everything had been delivered
    connection.finish(Cause.RESET_ARRIVED, error, now)


def _on_syn(connection: "Connection", seg: Segment, now: Instant) -> None:
    if connection.state is State.SYN_RECEIVED and connection.listener is not None:
        connection.finish(Cause.RESET_ARRIVED, None, now)  # back to LISTEN, which the listener never left
        return
    _challenge(connection, now)  # RFC 5961 4.2


def _challenge(connection: "Connection", now: Instant) -> None:
    if now - connection.challenges_since >= SECOND:
        connection.challenges_since = now
        connection.challenges = 0
    if connection.challenges >= connection.config.challenge_acks_per_second:
        connection.counters["TcpExtTCPACKSkippedChallenge"] += 1
        return
    connection.challenges += 1
    connection.counters["TcpExtTCPChallengeACK"] += 1
    output.send_ack(connection, now)


def _process_ack(connection: "Connection", seg: Segment, now: Instant) -> bool:
    """The fifth step; False: the segment is dropped, or the connection is over."""
    sender = connection.sender
    ack = seg.ack
    if connection.state is State.SYN_RECEIVED:
        if not sender.is_acceptable_ack(ack):
            connection.counters["TcpUnacceptableAck"] += 1
            connection.tcp.reset_unacceptable(connection.key, seg, now)
            return False
        if not handshake.on_handshake_ack(connection, seg, now):
            return False
    elif not seq_le(ack, sender.max) or seq_diff(ack, sender.una) < -sender.max_wnd:
        # For something not yet sent, or older than any window (RFC 5961 5.2: blind data injection)
        connection.counters["TcpUnacceptableAck"] += 1
        _challenge(connection, now)
        return False
    advances = seq_lt(sender.una, ack)
    window = seg.window << sender.shift
    is_echo = connection.ecn and bool(seg.flags & ECE)
    if is_echo:
        sender.recovery.keep_reduction()
    sender.begin_ack(now)
    restarts_timer = False
    if advances:
        restarts_timer = sender.recovery.restarts_timer(sender.offset_of(ack))
        sender.on_ack(ack, now)
    if sender.recovery.has_sack:
        _judge_with_sack(connection, seg, now)
    elif advances:
        _judge(connection, seg, now)
    elif _is_duplicate(connection, seg, window):
        _on_duplicate(connection, now)
    if advances:
        follow_ack(connection, restarts_timer, now)
    if ack == sender.una:
        sender.update_window(seg.seq, ack, window, advances)
    if is_echo and sender.recovery.on_congestion_echo(sender.sample.flight, sender.congestion, now):
        sender.hold(now)
    return _after_our_fin(connection, now)


def follow_ack(connection: "Connection", restarts: bool, now: Instant) -> None:
    """Something new is acknowledged: the retransmission timer (RFC 6298 5.2, 5.3), and who has waited for room."""
    sender = connection.sender
    if sender.una == sender.max:
        connection.retransmit.disarm()
        connection.probing = False
    elif restarts:
        connection.retransmit.arm(connection.retransmission_deadline(now))
    connection.path.confirm(now)
    connection.on_room()
    if connection.is_released:
        timeouts.on_progress(connection, now)


def _judge_with_sack(connection: "Connection", seg: Segment, now: Instant) -> None:
    sender = connection.sender
    recovery, congestion, board = sender.recovery, sender.congestion, sender.board
    dsacked = take_blocks(connection, seg) if seg.options.sack_blocks else 0
    if not (board.delivered.octets or dsacked or board.una > sender.sample.una):
        if not seg.payload and seg.ack == sender.una:
            recovery.on_bare_duplicate()
        return
    echoed = _echoed_rtt(connection, seg, now)
    sample = sender.finish_ack(echoed)
    undone = recovery.undone
    again = recovery.on_ack_with_sack(sample, dsacked, echoed, sender.rtt.srtt, congestion)
    if recovery.undone == undone:  # else cwnd is what it was before, and that is enough
        _grow(connection, seg)
    timeouts.schedule_loss_timers(connection, again, now)


def _judge(connection: "Connection", seg: Segment, now: Instant) -> None:
    """An acknowledgment of something new from a peer without SACK."""
    sender = connection.sender
    sample = sender.finish_ack(_echoed_rtt(connection, seg, now))
    _grow(connection, seg)
    if sender.recovery.on_ack(sample, sender.congestion):
        output.retransmit_first(connection, now)


def _grow(connection: "Connection", seg: Segment) -> None:
    sender = connection.sender
    sample, congestion = sender.sample, sender.congestion
    sample.in_recovery |= sender.recovery.active  # this acknowledgment may have begun it
    holds = sample.in_recovery or (connection.ecn and seg.flags & ECE)  # RFC 3168 6.1.2
    if (sample.acked and not holds) or congestion.owns_recovery:
        congestion.on_ack(sample)
        sender.follow_cwnd()


def _on_duplicate(connection: "Connection", now: Instant) -> None:
    sender = connection.sender
    if sender.recovery.on_duplicate(sender.board.end, sender.flight, sender.congestion, now):
        connection.counters["TcpExtTCPRenoRecovery"] += 1
        output.retransmit_first(connection, now)
        connection.retransmit.arm(connection.retransmission_deadline(now))


def _is_duplicate(connection: "Connection", seg: Segment, window: int) -> bool:
    # RFC 5681 section 2, (a) to (e)
    sender = connection.sender
    return (
        sender.una == seg.ack
        and sender.una != sender.max
        and not seg.payload
        and not seg.flags & (SYN | FIN)
        and window == sender.wnd
        and not connection.probing
    )


def _echoed_rtt(connection: "Connection", seg: Segment, now: Instant) -> Duration | None:
    timestamps = connection.timestamps
    if timestamps is None or seg.options.ts_val is None or not seg.options.ts_ecr:
        return None
    elapsed = seq_diff(timestamps.clock(now), seg.options.ts_ecr)
    return elapsed * MILLISECOND if elapsed >= 0 else None


def _after_our_fin(connection: "Connection", now: Instant) -> bool:
    if not connection.sender.fin_acked:
        return True
    state = connection.state
    if state is State.LAST_ACK:
        connection.finish(Cause.FIN_ACKED, None, now)
        return False
    if state in (State.FIN_WAIT_1, State.CLOSING):
        connection.move(Cause.FIN_ACKED, now)
    return True


def _process_text(connection: "Connection", seg: Segment, now: Instant) -> None:
    if connection.state not in _TEXT_STATES:
        return  # after the peer's FIN there can be no text; it is ignored
    receiver = connection.receiver
    payload = memoryview(seg.payload)
    receiver.note_segment(-(-len(payload) // seg.segments))
    seq = seg.seq
    before = seq_diff(receiver.nxt, seq)
    if before > 0:  # its front is old
        receiver.note_duplicate(seq, min(before, len(payload)))
        payload = payload[before:]
        seq = receiver.nxt
    beyond = len(payload) - ((receiver.edge - seq) & MASK)
    if beyond > 0:  # its end straddles the window's right edge
        connection.counters["TcpRcvBeyondWindowOctets"] += beyond
        payload = payload[:-beyond]
    if receiver.fin_at is not None:  # nothing can lie behind the FIN
        payload = payload[: max(seq_diff(receiver.fin_at, seq), 0)]
    if not payload:
        connection.ack_now = True
        return
    if connection.is_released:  # nobody will read it: say so, rather than acknowledge it (RFC 9293 3.6.1)
        connection.counters["TcpExtTCPAbortOnData"] += 1
        connection.abort(now)
        return
    if seq != receiver.nxt:
        counter = "TcpExtTCPOFOQueue" if receiver.insert(seq, payload) else "TcpExtTCPOFODrop"
        connection.counters[counter] += 1
        for _ in range(1 if connection.sack else seg.segments):
            output.send_ack(connection, now)  # at once; without SACK the sender counts them (RFC 5681 3.2, 4.2)
        return
    fitting = receiver.fitting(len(payload))
    if fitting < len(payload):  # the host is full: as if lost on the way, so that it comes again, later
        connection.counters["TcpRcvQDropOctets"] += len(payload) - fitting
        payload = payload[:fitting]
        if not payload:
            return
    had_gap = receiver.has_gap
    receiver.ack_due += receiver.accept(payload)
    if had_gap:
        connection.ack_now = True
        connection.post(READABLE)
    else:
        follow_text(connection, seg.segments, now)


def follow_text(connection: "Connection", segments: int, now: Instant) -> None:
    """Text has arrived in order: acknowledge it, sooner or later, and tell the application."""
    receiver = connection.receiver
    if receiver.ack_due < 2 * receiver.segment_size:
        connection.tcp.mark_dirty(connection)  # an answer may carry the acknowledgment; if none does, it is delayed
    elif segments > 1:
        connection.ack_now = True  # one for all runs of a batch, and with the window that reading them opens
    else:
        # Not left to the end of the batch: the sender's window opens by the acknowledgment (RFC 5681 4.2).
        output.send_ack(connection, now)
    connection.post(READABLE)


def _process_fin(connection: "Connection", seg: Segment, now: Instant) -> None:
    receiver = connection.receiver
    if seg.flags & FIN and receiver.fin_at is None and connection.state in _TEXT_STATES:
        fin_at = (seg.seq + len(seg.payload)) & MASK
        if seq_le(receiver.nxt, fin_at) and seq_lt(fin_at, receiver.edge):
            receiver.fin_at = fin_at
    if receiver.has_finished or receiver.fin_at is None:
        if seg.flags & FIN and receiver.has_finished:  # a retransmission
            connection.ack_now = True
            if connection.state is State.TIME_WAIT:
                timeouts.start_linger(connection, 2 * connection.config.maximum_segment_lifetime, now)
        return
    if receiver.nxt != receiver.fin_at:
        if seg.flags & FIN and not seg.payload:
            output.send_ack(connection, now)  # ahead of a gap, as text would be
        return
    if connection.state not in _TEXT_STATES:
        return
    receiver.finish()
    connection.ack_now = True
    connection.post(END_OF_STREAM)
    connection.move(Cause.FIN_ARRIVED, now)
