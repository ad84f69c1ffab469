"""What a connection sends: data, acknowledgments, SYNs and resets (RFC 9293 sections 3.8 and 3.10)."""

import struct
from typing import TYPE_CHECKING, Final

from stack.clock import Instant
from stack.config import TcpConfig
from stack.octets import Octets
from stack.transport.flow import Path
from stack.transport.tcp.sent import Sent
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.wire import tcp_options
from stack.wire.ipv4 import ECT_0
from stack.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG
from stack.wire.tcp_options import TcpOptions

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection

HEADERS: Final = 40  # an IPv4 and a TCP header without options
TIMESTAMPS_LENGTH: Final = 12
MAXIMUM_OPTIONS: Final = 40
_USER_TIMEOUT_LENGTH: Final = 4
_TIMESTAMPS = struct.Struct("!III")
_TIMESTAMPS_LEAD: Final = 0x0101080A  # NOP, NOP, kind 8, length 10: the layout of RFC 7323 appendix A
_TRANSMITTING: Final = frozenset({State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK})
_RECEIVING: Final = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})


def announced_mss(path: Path, config: TcpConfig) -> int:
    """What our MSS option says: the interface's MTU less the fixed headers (RFC 6691), or less if configured so."""
    mss = path.link_mtu - HEADERS
    configured = config.maximum_segment_size
    return mss if configured is None else min(mss, configured)


def flush(connection: "Connection", now: Instant) -> bool:
    """Send what may be sent, and an acknowledgment if one is due and no data carried it; False: no room for all."""
    if connection.state in _TRANSMITTING and not transmit(connection, now):
        return False
    if connection.ack_now:
        return send_ack(connection, now)
    if connection.receiver.ack_due and connection.state in _RECEIVING:
        _delay_ack(connection, now)
    return True


def transmit(connection: "Connection", now: Instant) -> bool:
    """Send the data, and the FIN, that the windows allow; False when there was no room for all of it."""
    sender = connection.sender
    if connection.path.mtu(now) != connection.path_mtu:
        on_path_mtu(connection, now)
    if connection.receiver.has_news or connection.user_timeout_option is not None or sender.mss != sender.room:
        more = connection.receiver.sack_length(_sack_room(connection)) if connection.sack else 0
        sender.leave_room(more + _user_timeout_length(connection))
    before = sender.board.end
    has_room = _send_pending(connection, now)
    if sender.board.end != before:
        connection.schedule_tail_probe(now)
    return has_room


def _send_pending(connection: "Connection", now: Instant) -> bool:
    sender, cork = connection.sender, connection.cork
    is_corked = cork is not None and cork.holds
    nodelay = connection.nodelay or (cork is not None and cork.yields)
    if sender.nxt == sender.una and sender.has_pending:
        sender.restart_after_idle(now)
    while sender.has_pending:
        if sender.pace_at > now:
            connection.pace(sender.pace_at)
            return True
        if sender.board.lost and not (sender.recovery.prefers_new_data and sender.unsent > 0):
            record = sender.board.first_lost
            length = sender.repeat_length(record) if record is not None else 0
            if record is None or not length:
                break
            if not _repeat(connection, record, length, now):
                return False
            continue
        allowed = sender.may_send(nodelay, is_corked)
        if allowed is None:
            if cork is not None and is_corked and sender.unsent < sender.mss:
                cork.on_held(now)
                return True  # what waits does not wait for the peer's window
            break
        length, fin = allowed
        sent = _send_text(connection, length, fin, now)
        if sent < length:  # -1 even for a FIN alone
            return False
    else:
        if cork is not None:
            cork.on_all_sent()
        if sender.board.pipe < sender.congestion.cwnd:
            sender.note_application_limit()
        return True
    if connection.retransmit.deadline is None and sender.una != sender.iss:
        connection.probing = True
        sender.probes = 0
        connection.retransmit.arm(now + sender.rtt.rto)
    return True


def _delay_ack(connection: "Connection", now: Instant) -> None:
    """Acknowledge what has arrived in a while, unless something carries that before (RFC 9293 3.8.6.3)."""
    timer = connection.delayed_ack
    if timer is None:
        timer = connection.delayed_ack = connection.tcp.timer(_on_delayed_ack, connection)
    if timer.deadline is None:
        timer.arm(now + connection.config.delayed_ack)


def _on_delayed_ack(connection: "Connection", now: Instant) -> None:
    connection.counters["TcpExtDelayedACKs"] += 1
    send_ack(connection, now)


def retransmit_first(connection: "Connection", now: Instant) -> None:
    """Send the segment at SND.UNA again whatever cwnd says.

    The first time also whatever the peer's window says: it may have shrunk it with the segment on its way. After that
    not (RFC 7323 2.4).
    """
    sender = connection.sender
    record = sender.board.first
    if record is not None:
        length = min(record.end - record.start, sender.mss)
        if sender.retransmissions > 1:
            length = min(length, sender.wnd)
        if length:
            _repeat(connection, record, length, now)


def send_tail_probe(connection: "Connection", now: Instant) -> None:
    """A new segment, or the last one again, so that the peer says what it has (RFC 8985 7.3)."""
    sender = connection.sender
    board = sender.board
    length = min(sender.unsent, sender.mss, sender.wnd - (board.end - board.una))
    if length > 0:
        if _send_text(connection, length, False, now) < 0:
            return
    elif board.newest is None or not _repeat(connection, *board.tail(sender.mss), now):
        return
    connection.counters["TcpExtTCPLossProbes"] += 1
    sender.recovery.on_tail_probe(board.end, repeats=length <= 0)


def send_probe(connection: "Connection", now: Instant) -> None:
    """Probe a closed window with an octet beyond it, or fill one too small for a segment (RFC 9293 3.8.6.1)."""
    sender = connection.sender
    start, length, fin = sender.probe()
    payload = sender.buffer.peek(start, length) if length else b""
    if _send(connection, sender.seq_at(start), ACK | (FIN if fin else PSH), payload, now) >= 0:
        connection.counters["TcpExtTCPWinProbe"] += 1
        sender.on_probe(start, length + fin, now)


def send_ack(connection: "Connection", now: Instant) -> bool:
    """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>; False when there was no room for it."""
    if _send(connection, _current_seq(connection), ACK, b"", now) < 0:
        connection.ack_now = True
        connection.tcp.mark_dirty(connection)
        return False
    connection.counters["TcpOutSegs"] += 1
    return True


def send_keep_alive(connection: "Connection", now: Instant) -> None:
    """A segment just below the window, which the peer must answer (RFC 9293 3.8.4)."""
    connection.counters["TcpExtTCPKeepAlive"] += 1
    connection.counters["TcpOutSegs"] += 1
    _send(connection, (connection.sender.nxt - 1) & MASK, ACK, b"", now)


def send_reset(connection: "Connection", now: Instant) -> None:
    """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>."""
    connection.counters["TcpOutRsts"] += 1
    connection.counters["TcpOutSegs"] += 1
    _send(connection, _current_seq(connection), RST | ACK, b"", now)


def send_syn(connection: "Connection", now: Instant) -> None:
    """Our SYN, or SYN-ACK once the peer's SYN has arrived; the sequence number is ISS however often it is sent."""
    sender, receiver = connection.sender, connection.receiver
    timestamps, advice = connection.timestamps, connection.user_timeout_option
    answers = connection.state is not State.SYN_SENT
    offered = TcpOptions(
        mss=receiver.mss,
        window_scale=receiver.shift if connection.scaling else None,
        sack_permitted=connection.sack,
        ts_val=None if timestamps is None else timestamps.clock(now),
        ts_ecr=timestamps.recent if timestamps is not None and answers else 0,
        user_timeout=None if advice is None else advice.seconds,
    )
    flags = SYN | ACK if answers else SYN
    if connection.ecn:
        flags |= ECE if answers else ECE | CWR
    window = receiver.initial_window_field()
    options = tcp_options.build(offered)
    ack = receiver.nxt if answers else 0
    if sender.max == sender.iss:
        sender.on_syn_sent(now)
        connection.counters["TcpOutSegs"] += 1
    else:
        if not answers:
            flags &= ~(ECE | CWR)  # some middlebox may drop what asks for ECN (RFC 3168 6.1.1.1)
            connection.ecn = False
        sender.on_syn_repeated(now)
        connection.counters["TcpRetransSegs"] += 1
    connection.path.send(sender.iss, ack, flags, window, options, b"", receiver.mss, now, connection.ds_field)
    connection.retransmit.arm(now + sender.rtt.rto)


def on_path_mtu(connection: "Connection", now: Instant) -> None:
    """The path's MTU is another than it was: cut segments to fit (RFC 1191 6.4)."""
    connection.path_mtu = mtu = connection.path.mtu(now)
    options = TIMESTAMPS_LENGTH if connection.timestamps is not None else 0
    connection.sender.set_mss(max(min(connection.peer_mss, mtu - HEADERS) - options, 1))


def _send_text(connection: "Connection", length: int, fin: bool, now: Instant) -> int:
    sender = connection.sender
    payload: Octets = sender.buffer.peek(sender.board.end, length) if length else b""
    flags = ACK
    if length == sender.unsent:
        flags |= (PSH if length else 0) | (FIN if fin else 0)
    if connection.ecn and sender.reductions_told < sender.recovery.reductions:
        flags |= CWR  # the first new text after a reduction, whatever the reason (RFC 3168 6.1.2)
    sent = _send(connection, sender.nxt, flags, payload, now, ECT_0 if connection.ecn and length else 0)
    if sent < 0:
        return -1
    sender.reductions_told = sender.recovery.reductions
    connection.counters["TcpOutSegs"] += -(-sent // sender.mss) or 1
    sender.on_sent(sent + (fin and sent == length), now)
    if connection.retransmit.deadline is None or connection.probing:
        connection.probing = False
        connection.retransmit.arm(connection.retransmission_deadline(now))
    return sent


def _repeat(connection: "Connection", record: Sent, length: int, now: Instant) -> bool:
    """Send the first `length` of `record` again; False: there was no room for it."""
    sender = connection.sender
    offset = record.start - sender.board.una
    text = min(length, len(sender.buffer) - offset)  # the rest is the FIN
    fin = text < length
    payload = sender.buffer.peek(record.start, text) if text else b""
    flags = ACK | (FIN if fin else 0) | (PSH if text and offset + text == len(sender.buffer) else 0)
    sent = _send(connection, sender.seq_at(record.start), flags, payload, now)
    if sent < 0:
        return False
    connection.counters["TcpRetransSegs"] += -(-sent // sender.mss) or 1
    sender.on_retransmitted(record, sent + (fin and sent == text), now)
    is_first = not offset and sender.recovery.has_sack  # RFC 6582 has a rule of its own: restarts_timer()
    if is_first or connection.retransmit.deadline is None or connection.probing:
        connection.probing = False  # what the timer stands for, the first that is outstanding, has gone just now
        connection.retransmit.arm(connection.retransmission_deadline(now))
    return True


def _send(connection: "Connection", seq: int, flags: int, payload: Octets, now: Instant, ecn: int = 0) -> int:
    receiver = connection.receiver
    if receiver.echoes_congestion:
        flags |= ECE
    timestamps = connection.timestamps
    options = b""
    if timestamps is not None:
        options = _TIMESTAMPS.pack(_TIMESTAMPS_LEAD, timestamps.clock(now), timestamps.recent)
    mss = connection.sender.mss
    more = b""
    if connection.sack and receiver.has_news:
        more = receiver.sack_option(_sack_room(connection))
    advice = connection.user_timeout_option
    if advice is not None and advice.is_due:
        more += tcp_options.build(TcpOptions(user_timeout=advice.seconds))
    if more:
        options += more
        mss = min(mss, max(connection.sender.room - len(more), 1))
    window = receiver.window_field()
    urgent = 0
    if connection.urgency is not None and (urgent := connection.urgency.pointer(seq, connection.sender.una)):
        flags |= URG
    tos = connection.ds_field | ecn
    sent = connection.path.send(seq, receiver.nxt, flags, window, options, payload, mss, now, tos, urgent)
    if sent >= 0:
        if advice is not None:
            advice.is_due = False
        receiver.acked = receiver.nxt
        receiver.ack_due = 0
        connection.ack_now = False
        delayed = connection.delayed_ack
        if delayed is not None and delayed.deadline is not None:
            delayed.disarm()
    return sent


def _sack_room(connection: "Connection") -> int:
    room = MAXIMUM_OPTIONS - (TIMESTAMPS_LENGTH if connection.timestamps is not None else 0)
    return room - _user_timeout_length(connection)


def _user_timeout_length(connection: "Connection") -> int:
    advice = connection.user_timeout_option
    return _USER_TIMEOUT_LENGTH if advice is not None and advice.is_due else 0


def _current_seq(connection: "Connection") -> int:
    # The octet of a probe is beyond the window; once that has opened, `max` is what the peer may have received.
    sender = connection.sender
    return sender.nxt if connection.probing else sender.max
