"""The send half of a connection: SND.UNA, SND.NXT, the peer's window, and what may be sent when.

Theory. Sequence space is kept, not segments: what is unacknowledged lies in the buffer from SND.UNA on, and a
retransmission simply cuts a new segment out of it. After a timeout SND.NXT goes back to SND.UNA (go-back-N);
`max` remembers how far sending had come. A FIN is one more octet behind the buffer's last.
"""

from typing import Final

from stack.clock import MILLISECOND, Duration, Instant
from stack.config import TcpConfig
from stack.transport.tcp.buffers import SendBuffer
from stack.transport.tcp.congestion import congestion_control
from stack.transport.tcp.recovery import Recovery
from stack.transport.tcp.rtt import RttEstimator
from stack.transport.tcp.sequence import MASK, seq_diff, seq_le, seq_lt

_BURST: Final = 65000  # octets handed down at once: what fits an IP datagram, so that it can be one super-frame
DEFAULT_MSS: Final = 536  # RFC 9293 MUST-15


class Sender:
    """SND.* of RFC 9293 section 3.3.1; sequence numbers modulo 2**32, sizes in octets.

    `base` is the sequence number of the buffer's first octet (ISS + 1 until the SYN is acknowledged, then SND.UNA).
    """

    __slots__ = (
        "_timed_at",
        "_timed_seq",
        "base",
        "buffer",
        "capacity",
        "congestion",
        "fin_acked",
        "fin_queued",
        "iss",
        "last_sent_at",
        "max",
        "max_wnd",
        "mss",
        "nxt",
        "probes",
        "progress_at",
        "recovery",
        "retransmissions",
        "rtt",
        "shift",
        "una",
        "wl1",
        "wl2",
        "wnd",
    )

    def __init__(self, config: TcpConfig, iss: int, mss: int, now: Instant) -> None:
        self.buffer = SendBuffer()
        self.capacity = config.send_buffer
        self.iss = self.una = self.nxt = iss
        self.max = iss
        self.base = (iss + 1) & MASK
        self.wnd = self.max_wnd = 0
        self.wl1 = self.wl2 = 0
        self.shift = 0
        self.mss = mss
        self.fin_queued = False
        self.fin_acked = False
        self.rtt = RttEstimator(config)
        self.congestion = congestion_control(config.congestion, mss, config.initial_window_segments)
        self.recovery = Recovery(iss)
        self.probes = 0  # of a closed window, since it closed
        self.retransmissions = 0  # timeouts since the last acknowledgment of something new
        self.progress_at = now  # when something was last acknowledged, or first outstanding
        self.last_sent_at: Instant | None = None
        self._timed_seq: int | None = None
        self._timed_at: Instant = 0

    @property
    def flight(self) -> int:
        """FlightSize: octets sent and not yet acknowledged."""
        return (self.max - self.una) & MASK

    @property
    def unsent(self) -> int:
        """Octets from SND.NXT to the end of the buffer; -1 once the FIN has been sent."""
        return len(self.buffer) - ((self.nxt - self.base) & MASK)

    @property
    def has_pending(self) -> bool:
        """Whether there are octets, or a FIN, from SND.NXT on."""
        unsent = self.unsent
        return unsent > 0 or (unsent == 0 and self.fin_queued and not self.fin_acked)

    def may_send(self, nodelay: bool) -> tuple[int, bool] | None:
        """How many octets may be sent at SND.NXT now, and whether the FIN goes with them; None: nothing.

        Silly window avoidance of RFC 9293 3.8.6.2.1 with Nagle's rule of 3.7.4; whole segments, many at once.
        """
        unsent = self.unsent
        fin = self.fin_queued and not self.fin_acked and unsent >= 0
        if unsent <= 0 and not fin:
            return None
        outstanding = (self.nxt - self.base) & MASK
        window = self.wnd - outstanding
        mss = self.mss
        allowed = self.congestion.cwnd + self.recovery.allowance(mss) - outstanding
        length = min(unsent, window, allowed, max(_BURST // mss, 1) * mss)
        idle = self.nxt == self.una
        if length >= mss:
            if length < unsent or not (nodelay or fin):
                length -= length % mss
        elif length == unsent:
            if not (length and idle) and not nodelay and not fin:
                return None
        elif not (length > 0 and length == window and 2 * length >= self.max_wnd and (idle or nodelay)):
            return None
        fin = fin and length == unsent and window > length
        return (length, fin) if length > 0 or fin else None

    def probe_length(self) -> int:
        """How many octets the persist timer sends: what the window takes, or one beyond it (RFC 9293 3.8.6.1)."""
        return max(min(self.wnd, self.mss, self.unsent), min(self.unsent, 1))

    def on_sent(self, length: int, now: Instant) -> bool:
        """`length` of sequence space went from SND.NXT; returns whether it was a retransmission."""
        if self.nxt == self.una and self.max == self.una:
            self.progress_at = now
        again = seq_lt(self.nxt, self.max)
        self.nxt = (self.nxt + length) & MASK
        self.last_sent_at = now
        if again:
            self._timed_seq = None  # Karn's rule
        elif self._timed_seq is None:
            self._timed_seq, self._timed_at = self.nxt, now
        if seq_lt(self.max, self.nxt):
            self.max = self.nxt
        return again

    def on_retransmitted(self, now: Instant) -> None:
        """The segment at SND.UNA was sent again out of turn; SND.NXT stays."""
        self._timed_seq = None
        self.last_sent_at = now

    def is_acceptable_ack(self, ack: int) -> bool:
        """Whether SND.UNA < SEG.ACK =< SND.NXT (what was sent before a timeout included)."""
        return seq_lt(self.una, ack) and seq_le(ack, self.max)

    def on_ack(self, ack: int, echoed: Duration | None, now: Instant) -> int:
        """`ack` acknowledges something new; returns how many octets of data. `echoed`: RTT by the time stamp."""
        self._measure(ack, echoed, now)
        acked = max(seq_diff(ack, self.base), 0)
        data = min(acked, len(self.buffer))
        self.buffer.drop(data)
        self.una = ack
        self.base = (self.base + acked) & MASK
        if seq_lt(self.nxt, ack):
            self.nxt = ack
        if acked > data:
            self.fin_acked = True
        self.retransmissions = 0
        self.progress_at = now
        return data

    def update_window(self, seq: int, ack: int, window: int, advances: bool) -> None:
        """Take the window of a segment unless a newer one was taken before (RFC 9293 3.10.7.4).

        An acknowledgment that `advances` SND.UNA is the newest there is, also on a retransmission with an old sequence
        number. RFC 9293 would keep the old window there, and count it from the new SND.UNA: beyond what was offered.
        Linux takes it, too.
        """
        if advances or seq_lt(self.wl1, seq) or (self.wl1 == seq and seq_le(self.wl2, ack)):
            self.set_window(seq, ack, window)

    def set_window(self, seq: int, ack: int, window: int) -> None:
        """SND.WND, SND.WL1 and SND.WL2 from a segment."""
        self.wnd = window
        self.max_wnd = max(self.max_wnd, window)
        self.wl1 = seq
        self.wl2 = ack

    def on_timeout(self, now: Instant) -> None:
        """The retransmission timer has fired: everything is sent again, slowly (RFC 6298 5, RFC 5681 3.1)."""
        if not self.retransmissions:
            # In recovery ssthresh is what the flight was reduced to already; what duplicate ACKs have let out since
            # does not count: the loss of a retransmission reduces a second time (RFC 5681 4.3).
            flight = min(self.flight, self.congestion.ssthresh) if self.recovery.active else self.flight
            self.congestion.on_timeout(flight, now)
        self.retransmissions += 1
        self.recovery.on_timeout(self.max)
        self.rtt.back_off()
        self.go_back()

    def go_back(self) -> None:
        """Send everything that is outstanding again."""
        self._timed_seq = None
        self.nxt = self.base

    def on_probe(self, length: int, now: Instant) -> None:
        """`length` of sequence space went from SND.NXT as a zero-window probe; SND.NXT stays."""
        self._timed_seq = None
        self.last_sent_at = now
        end = (self.nxt + length) & MASK
        if seq_lt(self.max, end):
            self.max = end

    def open_congestion(self, config: TcpConfig) -> None:
        """Begin with the initial window for the MSS that the handshake has settled."""
        self.congestion = congestion_control(config.congestion, self.mss, config.initial_window_segments)

    def set_mss(self, mss: int) -> None:
        """Segments are of at most `mss` octets of data from now on."""
        self.mss = mss
        self.congestion.mss = mss

    def restart_after_idle(self, now: Instant) -> None:
        """Reduce cwnd when nothing was sent for more than one RTO (RFC 5681 4.1)."""
        if self.last_sent_at is not None and self.max == self.una and now - self.last_sent_at > self.rtt.rto:
            self.congestion.on_idle(now - self.last_sent_at, now)

    def _measure(self, ack: int, echoed: Duration | None, now: Instant) -> None:
        timed = self._timed_seq
        if timed is not None:
            if seq_le(timed, ack):
                self._timed_seq = None
                self.rtt.sample(max(now - self._timed_at, 1))
        elif echoed is not None and not (self.retransmissions and self._is_stale(echoed, now)):
            # The clock of time stamps ticks once a millisecond: only what the finer one cannot tell is asked of it.
            self.rtt.sample(max(echoed, MILLISECOND))

    def _is_stale(self, echoed: Duration, now: Instant) -> bool:
        # When the acknowledgment was lost and not the segment, the answer to the retransmission echoes the original:
        # the sample would hold the whole timeout, and the next timeout grow out of it.
        return self.last_sent_at is not None and echoed > now - self.last_sent_at + MILLISECOND
