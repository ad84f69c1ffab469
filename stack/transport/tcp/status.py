"""What can be told about a connection, like Linux's TCP_INFO."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stack.clock import Duration
from stack.transport.flow import FlowKey
from stack.transport.tcp.recovery import Phase
from stack.transport.tcp.states import State

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """What can be told about a connection (the STATUS call of RFC 9293 3.9.1.6); durations in nanoseconds."""

    key: FlowKey
    state: State
    mss: int
    send_window: int
    receive_window: int
    send_window_shift: int
    receive_window_shift: int
    timestamps: bool
    unacknowledged: int
    unsent: int
    unread: int
    srtt: Duration | None
    rttvar: Duration
    rto: Duration
    cwnd: int
    ssthresh: int
    congestion: str
    phase: Phase
    sack: bool
    ecn: bool
    in_flight: int  # octets in the network as far as is known: neither acknowledged in any way, nor lost
    sacked: int
    lost: int
    timeouts: int  # since something was last acknowledged
    retransmitted: int  # octets, in all
    reductions: int  # of cwnd, for whatever reason
    undone: int  # of these, taken back
    reordering_seen: bool
    min_rtt: Duration | None
    delivery_rate: int  # octets a second, of the last acknowledgment; 0: not known
    pacing_rate: int  # octets a second; 0: not paced
    acknowledged: int  # octets, in all, as is the next
    received: int
    received_dscp: int  # of the last segment that was acceptable


def status_of(connection: "Connection") -> ConnectionInfo:
    """What `connection` knows of itself now."""
    sender, receiver = connection.sender, connection.receiver
    return ConnectionInfo(
        key=connection.key,
        state=connection.state,
        mss=sender.mss,
        send_window=sender.wnd,
        receive_window=receiver.window,
        send_window_shift=sender.shift,
        receive_window_shift=receiver.shift,
        timestamps=connection.timestamps is not None,
        unacknowledged=sender.flight,
        unsent=max(sender.unsent, 0),
        unread=len(receiver.buffer),
        srtt=sender.rtt.srtt,
        rttvar=sender.rtt.rttvar,
        rto=sender.rtt.rto,
        cwnd=sender.congestion.cwnd,
        ssthresh=sender.congestion.ssthresh,
        congestion=sender.congestion.name,
        phase=sender.recovery.phase,
        sack=connection.sack,
        ecn=connection.ecn,
        in_flight=sender.board.pipe,
        sacked=sender.board.sacked,
        lost=sender.board.lost,
        timeouts=sender.retransmissions,
        retransmitted=sender.retransmitted,
        reductions=sender.recovery.reductions,
        undone=sender.recovery.undone,
        reordering_seen=sender.recovery.rack.reordering_seen,
        min_rtt=sender.recovery.rack.min_rtt,
        delivery_rate=sender.rate.latest,
        pacing_rate=sender.pacing_rate,
        acknowledged=sender.board.una,
        received=receiver.delivered,
        received_dscp=connection.received_tos >> 2,
    )
