"""What a connection sends: data, acknowledgments, SYNs and resets (RFC 9293 sections 3.8 and 3.10)."""

import struct
from typing import TYPE_CHECKING, Final

from stack.clock import MILLISECOND, Instant
from stack.octets import Octets
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.wire import tcp_options
from stack.wire.tcp import ACK, FIN, PSH, RST, SYN
from stack.wire.tcp_options import TcpOptions

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection

HEADERS: Final = 40  # an IPv4 and a TCP header without options
TIMESTAMPS_LENGTH: Final = 12
_TIMESTAMPS = struct.Struct("!III")
_TIMESTAMPS_LEAD: Final = 0x0101080A  # NOP, NOP, kind 8, length 10: the layout of RFC 7323 appendix A
_TRANSMITTING: Final = frozenset({State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK})


def announced_mss(connection: "Connection") -> int:
    """What our MSS option says: the interface's MTU less the fixed headers (RFC 6691), or less if configured so."""
    mss = connection.path.link_mtu - HEADERS
    configured = connection.config.maximum_segment_size
    return mss if configured is None else min(mss, configured)


def timestamp_clock(now: Instant) -> int:
    """The clock of time stamps: milliseconds (RFC 7323 5.4 asks for a tick of 1 ms to 1 s)."""
    return now // MILLISECOND & MASK


def flush(connection: "Connection", now: Instant) -> bool:
    """Send what may be sent, and an acknowledgment if one is due and no data carried it; False: no room for all."""
    if connection.state in _TRANSMITTING and not transmit(connection, now):
        return False
    return not connection.ack_now or send_ack(connection, now)


def transmit(connection: "Connection", now: Instant) -> bool:
    """Send the data, and the FIN, that the windows allow; False when there was no room for all of it."""
    sender = connection.sender
    if connection.path.mtu(now) != connection.path_mtu:
        on_path_mtu(connection, now)
    while (allowed := sender.may_send(connection.nodelay)) is not None:
        length, fin = allowed
        sent = _send_text(connection, length, fin, now)
        if sent < length:  # -1 even for a FIN alone
            return False
    if connection.retransmit.deadline is None and sender.has_pending and sender.una != sender.iss:
        connection.probing = True
        sender.probes = 0
        connection.retransmit.arm(now + sender.rtt.rto)
    return True


def retransmit_first(connection: "Connection", now: Instant) -> None:
    """Send the segment at SND.UNA again, whatever the windows say; SND.NXT stays."""
    sender = connection.sender
    length = min(sender.mss, len(sender.buffer))
    fin = sender.fin_queued and length == len(sender.buffer) and (sender.max - sender.base) & MASK > length
    if not length and not fin:
        return
    payload = sender.buffer.peek(0, length) if length else b""
    if _send(connection, sender.base, ACK | (FIN if fin else 0), payload, now) >= 0:
        connection.counters["TcpRetransSegs"] += 1
        sender.on_retransmitted(now)


def send_probe(connection: "Connection", now: Instant) -> None:
    """Probe a closed window with an octet beyond it, or fill one too small for a segment (RFC 9293 3.8.6.1)."""
    sender = connection.sender
    length = sender.probe_length()
    fin = sender.fin_queued and not length
    payload = sender.buffer.peek((sender.nxt - sender.base) & MASK, length) if length else b""
    if _send(connection, sender.nxt, ACK | (FIN if fin else PSH), payload, now) >= 0:
        connection.counters["TcpZeroWindowProbes"] += 1
        sender.on_probe(length + fin, now)


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
    connection.counters["TcpKeepAliveProbes"] += 1
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
    timestamps = connection.timestamps
    answers = connection.state is not State.SYN_SENT
    offered = TcpOptions(
        mss=receiver.mss,
        window_scale=receiver.shift if connection.scaling else None,
        ts_val=None if timestamps is None else (timestamp_clock(now) + timestamps.offset) & MASK,
        ts_ecr=timestamps.recent if timestamps is not None and answers else 0,
    )
    flags = SYN | ACK if answers else SYN
    window = receiver.initial_window_field()
    options = tcp_options.build(offered)
    ack = receiver.nxt if answers else 0
    if sender.max == sender.iss:
        sender.on_sent(1, now)
        connection.counters["TcpOutSegs"] += 1
    else:
        sender.on_retransmitted(now)
        connection.counters["TcpRetransSegs"] += 1
    connection.path.send(sender.iss, ack, flags, window, options, b"", receiver.mss, now)
    connection.retransmit.arm(now + sender.rtt.rto)


def on_path_mtu(connection: "Connection", now: Instant) -> None:
    """The path's MTU is another than it was: cut segments to fit (RFC 1191 6.4)."""
    connection.path_mtu = mtu = connection.path.mtu(now)
    options = TIMESTAMPS_LENGTH if connection.timestamps is not None else 0
    connection.sender.set_mss(max(min(connection.peer_mss, mtu - HEADERS) - options, 1))


def _send_text(connection: "Connection", length: int, fin: bool, now: Instant) -> int:
    sender = connection.sender
    payload: Octets = sender.buffer.peek((sender.nxt - sender.base) & MASK, length) if length else b""
    flags = ACK
    if length == sender.unsent:
        flags |= (PSH if length else 0) | (FIN if fin else 0)
    sent = _send(connection, sender.nxt, flags, payload, now)
    if sent < 0:
        return -1
    segments = -(-sent // sender.mss) or 1
    again = sender.on_sent(sent + (fin and sent == length), now)
    connection.counters["TcpRetransSegs" if again else "TcpOutSegs"] += segments
    if connection.retransmit.deadline is None or connection.probing:
        connection.probing = False
        connection.retransmit.arm(connection.retransmission_deadline(now))
    return sent


def _send(connection: "Connection", seq: int, flags: int, payload: Octets, now: Instant) -> int:
    receiver = connection.receiver
    timestamps = connection.timestamps
    options = b""
    if timestamps is not None:
        clock = (now // MILLISECOND + timestamps.offset) & MASK
        options = _TIMESTAMPS.pack(_TIMESTAMPS_LEAD, clock, timestamps.recent)
    window = receiver.window_field()
    mss = connection.sender.mss
    sent = connection.path.send(seq, receiver.nxt, flags, window, options, payload, mss, now)
    if sent >= 0:
        receiver.acked = receiver.nxt
        receiver.ack_due = 0
        connection.ack_now = False
        connection.delayed_ack.disarm()
    return sent


def _current_seq(connection: "Connection") -> int:
    # After a timeout SND.NXT lies behind what the peer may have received, and a segment there would be below its
    # window. Behind a closed window it is the other way round: the probe's octet is beyond it.
    sender = connection.sender
    return sender.nxt if connection.probing else sender.max
