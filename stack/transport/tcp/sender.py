"""The send half of a connection: SND.UNA, SND.NXT, the peer's window, and what may be sent when.

Theory. The octets lie in the buffer from SND.UNA on, and the scoreboard says what became of each: a retransmission
simply cuts a new segment out of the buffer. SND.NXT only goes forward; what a zero-window probe sends beyond it is
known by `max`. A FIN is one more octet behind the buffer's last.

Sequence numbers are the wire's, modulo 2**32. Offsets, which scoreboard and recovery use, count the octets of the
stream from ISS + 1 on, and `seq_at()` and `offset_of()` lead from one to the other.
"""

from typing import Final

from stack.clock import MILLISECOND, SECOND, Duration, Instant
from stack.config import TcpConfig
from stack.transport.tcp.buffers import SendBuffer
from stack.transport.tcp.congestion import AckSample, congestion_control
from stack.transport.tcp.delivery_rate import DeliveryRate
from stack.transport.tcp.memory import Memory
from stack.transport.tcp.recovery import Recovery
from stack.transport.tcp.rtt import RttEstimator
from stack.transport.tcp.scoreboard import Scoreboard
from stack.transport.tcp.sent import Sent
from stack.transport.tcp.sequence import MASK, seq_diff, seq_le, seq_lt

_BURST: Final = 65000  # octets handed down at once: what fits an IP datagram, so that it can be one super-frame
_PACED_BURST: Final = 1 * MILLISECOND  # what goes at once where the rate is paced
_PACED_CREDIT: Final = 2 * MILLISECOND
_PACED_RTT: Final = 4 * MILLISECOND
_FIRST_PTO: Final = 1 * SECOND
_MINIMUM_PTO: Final = 10 * MILLISECOND
_MAXIMUM_ACK_DELAY: Final = 200 * MILLISECOND  # TLP.max_ack_delay: the peer may keep a lone segment's ACK back
DEFAULT_MSS: Final = 536  # RFC 9293 MUST-15


class Sender:
    """SND.* of RFC 9293 section 3.3.1; sequence numbers modulo 2**32, sizes in octets.

    `base` is the sequence number of the buffer's first octet (ISS + 1 until the SYN is acknowledged, then SND.UNA),
    and `board.una` its offset. `sample` is the host's: one acknowledgment is processed at a time.
    """

    __slots__ = (
        "_memory", "_most", "_paces", "base", "board", "buffer", "capacity", "congestion", "cwnd_limited_until",
        "fin_acked", "fin_queued", "iss", "last_sent_at", "max", "max_wnd", "mss", "nxt", "pace_at", "pacing_rate",
        "probes", "progress_at", "rate", "recovery", "reductions_told", "retransmissions", "retransmitted", "room",
        "rtt", "sample", "shift", "una", "wl1", "wl2", "wnd",
    )  # fmt: skip

    def __init__(
        self, config: TcpConfig, iss: int, mss: int, memory: Memory, board: Scoreboard, sample: AckSample, now: Instant
    ) -> None:
        self._memory = memory
        self.buffer = SendBuffer(memory)
        self.capacity = min(config.initial_send_buffer, config.send_buffer)
        self._most = config.send_buffer
        self._paces = config.pacing
        self.iss = self.una = self.nxt = self.max = iss
        self.base = (iss + 1) & MASK
        self.wnd = self.max_wnd = 0
        self.wl1 = self.wl2 = self.shift = 0
        self.mss = self.room = mss  # octets of text in a segment: now, and without options that come and go
        self.fin_queued = False
        self.fin_acked = False
        self.rtt = RttEstimator(config)
        self.congestion = congestion_control(config.congestion, mss, config.initial_window_segments)
        self.board = board
        self.recovery = Recovery(self.board)
        self.sample = sample
        self.probes = 0  # of a closed window, since it closed
        self.retransmissions = 0  # timeouts since the last acknowledgment of something new
        self.retransmitted = 0  # octets sent more than once, in all
        self.progress_at = now  # when something was last acknowledged, or first outstanding
        self.last_sent_at: Instant | None = None
        self.reductions_told = 0  # of cwnd, by CWR (RFC 3168 6.1.2)
        self.pacing_rate = 0  # octets a second; 0: as fast as cwnd allows
        self.pace_at = now  # when the next segment may go
        self.rate = DeliveryRate(now)
        self.cwnd_limited_until = 0  # what lies before this offset was sent when cwnd was used up

    def seq_at(self, offset: int) -> int:
        """The sequence number of the octet at `offset`."""
        return (self.base + offset - self.board.una) & MASK

    def offset_of(self, seq: int) -> int:
        """The offset of the octet with sequence number `seq`."""
        return self.board.una + seq_diff(seq, self.base)

    @property
    def flight(self) -> int:
        """FlightSize: octets sent and not yet acknowledged."""
        return (self.max - self.una) & MASK

    @property
    def unsent(self) -> int:
        """Octets from SND.NXT to the end of the buffer; -1 once the FIN has been sent."""
        return self.buffer.end - self.board.end

    @property
    def has_pending(self) -> bool:
        """Whether there is something that is to be sent, for the first time or again."""
        unsent = self.buffer.end - self.board.end
        return unsent > 0 or self.board.lost > 0 or (unsent == 0 and self.fin_queued)

    def repeat_length(self, record: Sent) -> int:
        """How much of `record`, which is lost, may be sent again now; 0: nothing."""
        board, mss = self.board, self.mss
        room = min(self.congestion.cwnd - board.pipe, _BURST)
        length = record.end - record.start
        if room < min(mss, length):
            return 0
        window = self.wnd - (record.start - board.una)
        if window < length:  # the peer has shrunk its window since: what is beyond it has to wait
            return max(min(window, room // mss * mss), 0)
        return length if length <= room else max(room // mss * mss, 1)

    def may_send(self, nodelay: bool, corked: bool) -> tuple[int, bool] | None:
        """How many octets may be sent at SND.NXT now, and whether the FIN goes with them; None: nothing.

        Silly window avoidance of RFC 9293 3.8.6.2.1 with Nagle's rule of 3.7.4; whole segments, many at once.
        """
        board, mss = self.board, self.mss
        unsent = self.buffer.end - board.end
        fin = self.fin_queued and not self.fin_acked and unsent >= 0
        if unsent <= 0 and not fin:
            return None
        window = self.wnd - (board.end - board.una)
        length = min(unsent, window)
        length = min(length, self.congestion.cwnd + self.recovery.allowance(mss) - board.pipe)
        length = min(length, max(self._burst() // mss, 1) * mss)
        idle = self.nxt == self.una and not corked
        if length >= mss:
            if length < unsent or not (nodelay or fin) or corked:
                length -= length % mss
        elif length == unsent:
            if not (length and idle) and (corked or not nodelay) and not fin:
                return None
        elif not (length > 0 and length == window and 2 * length >= self.max_wnd and (idle or nodelay) and not corked):
            return None
        fin = fin and length == unsent and window > length
        return (length, fin) if length > 0 or fin else None

    def probe(self) -> tuple[int, int, bool]:
        """Offset and length of what the persist timer sends, and whether that is the FIN.

        It is what the window takes, or one octet beyond it (RFC 9293 3.8.6.1), of what is due next.
        """
        board = self.board
        start = board.end if board.first_lost is None else board.first_lost.start
        offset = start - board.una
        text = len(self.buffer) - offset
        return start, max(min(self.wnd - offset, self.mss, text), min(text, 1)), text <= 0

    def on_syn_sent(self, now: Instant) -> None:
        """The SYN went out for the first time."""
        self.nxt = self.max = self.base
        self.progress_at = self.last_sent_at = now

    def on_syn_repeated(self, now: Instant) -> None:
        """The SYN went out again."""
        self.last_sent_at = now

    def on_sent(self, length: int, now: Instant) -> None:
        """`length` of sequence space went from SND.NXT."""
        board = self.board
        if not board.pipe:
            self.rate.restart(now)
            if self.max == self.una:
                self.progress_at = now
        record = board.on_sent(length, now)
        if record.end - record.start == length:
            self.rate.on_sent(record)
        if board.pipe + self.mss > self.congestion.cwnd:
            self.cwnd_limited_until = board.end
        self.nxt = (self.nxt + length) & MASK
        if seq_lt(self.max, self.nxt):
            self.max = self.nxt
        self.recovery.on_sent(length)
        self._on_any_sent(length, now)

    def on_retransmitted(self, record: Sent, length: int, now: Instant) -> None:
        """The first `length` of `record` was sent again."""
        board = self.board
        record = board.on_retransmitted(record, length, now)
        if board.pipe + self.mss > self.congestion.cwnd:
            self.cwnd_limited_until = max(self.cwnd_limited_until, record.end)
        self.rate.on_sent(record)
        self.retransmitted += length
        self.recovery.on_retransmitted(length, now)
        self._on_any_sent(length, now)

    def note_application_limit(self) -> None:
        """There is nothing to send, and cwnd would have allowed it: the delivery rate will say little of the path."""
        self.rate.on_application_limit(self.board.pipe)

    def is_acceptable_ack(self, ack: int) -> bool:
        """Whether SND.UNA < SEG.ACK =< SND.NXT (the octets of a probe included)."""
        return seq_lt(self.una, ack) and seq_le(ack, self.max)

    def begin_ack(self, now: Instant) -> None:
        """An acknowledgment is about to be processed: on_ack() and on_sack() as it says, then finish_ack()."""
        self.board.delivered.clear()
        self.sample.now = now
        self.sample.flight = self.board.pipe
        self.sample.una = self.board.una
        self.sample.is_cwnd_limited = self.board.una < self.cwnd_limited_until

    def on_syn_acked(self, ack: int, now: Instant) -> None:
        """The SYN is acknowledged, up to `ack`."""
        self.una = self.base
        if self.last_sent_at == self.progress_at:  # it was sent once only (Karn's rule)
            self._take_rtt(max(now - self.progress_at, 1), now)
        self._progress(now)
        if self.is_acceptable_ack(ack):
            self.begin_ack(now)
            self.on_ack(ack, now)

    def on_ack(self, ack: int, now: Instant) -> None:
        """`ack` acknowledges something new."""
        acked = (ack - self.base) & MASK
        data = min(acked, len(self.buffer))
        self.buffer.drop(data)
        board = self.board
        una = board.una + acked
        if una > board.end:  # the octets of a probe, which lie beyond SND.NXT; when they were sent is not known
            board.on_sent(una - board.end, now).retransmitted = 1
            self.nxt = ack
        board.on_ack(una)
        self.una = self.base = ack
        if acked > data:
            self.fin_acked = True
        self._progress(now)

    def take_ack(self, newest: Sent, acked: int, ack: int, now: Instant) -> None:
        """`ack` acknowledges `acked` octets; nothing is missing, and `newest` is the last of their records.

        It is on_ack() and finish_ack(), and what loss recovery and congestion control make of it, where all of that
        has one outcome.
        """
        board, sample = self.board, self.sample
        sample.now = now
        sample.flight = board.end - board.una
        sample.is_cwnd_limited = board.una < self.cwnd_limited_until
        una = board.una + acked
        self.buffer.drop(acked)
        board.on_ack_in_order(una)
        self.una = self.base = ack
        self._progress(now)
        sample.newly_delivered = sample.acked = acked
        sample.una = una
        sample.nxt = board.end
        sample.lost = 0
        sample.in_recovery = False
        sample.rtt = max(now - newest.sent_at, 1)
        self._take_rtt(sample.rtt, now)
        self.rate.measure(sample, newest, acked, self.recovery.rack.min_rtt or 1)
        sample.is_paced = self._paces and (self.recovery.rack.min_rtt or 0) >= _PACED_RTT
        self.recovery.rack.on_delivered_in_order(newest.sent_at, una, now)
        self.congestion.on_ack(sample)
        self.follow_cwnd()

    def finish_ack(self, echoed: Duration | None) -> AckSample:
        """What the acknowledgment has told; `echoed` is the round-trip time by its time stamp."""
        sample, delivered = self.sample, self.board.delivered
        now = sample.now
        sample.newly_delivered = delivered.octets
        sample.acked = min(delivered.octets, self.board.una - sample.una)
        sample.una = self.board.una
        sample.nxt = self.board.end
        sample.lost = 0
        sample.rtt = None
        sample.delivery_rate = self.rate.latest = 0
        if delivered.original is not None and not delivered.has_repeats:
            sample.rtt = max(now - delivered.original.sent_at, 1)
            self._take_rtt(sample.rtt, now)
        elif echoed is not None and delivered.octets and not self._is_stale(echoed, now):
            # The clock of time stamps ticks once a millisecond: only what the finer one cannot tell is asked of it.
            self.rtt.sample(max(echoed, MILLISECOND))
        if delivered.newest is not None:
            self.rate.measure(sample, delivered.newest, delivered.octets, self.recovery.rack.min_rtt or 1)
        sample.is_paced = self._paces and (self.recovery.rack.min_rtt or 0) >= _PACED_RTT
        sample.in_recovery = self.recovery.active
        return sample

    def follow_cwnd(self) -> None:
        """Keep a window's worth of octets behind the one that is in flight, and pace what cwnd allows.

        Where the algorithm has no rate of its own, it is Linux's: twice cwnd a round trip while that doubles, 1.2
        times afterwards. On short paths a window goes by faster than a timer could space it out.
        """
        congestion = self.congestion
        cwnd = congestion.cwnd
        if 2 * cwnd > self.capacity and not self._memory.is_tight:
            self.capacity = max(self.capacity, min(2 * cwnd, self._most))
        srtt = self.rtt.srtt
        if congestion.pacing_rate:
            self.pacing_rate = congestion.pacing_rate
        elif self.sample.is_paced and srtt is not None:
            percent = 200 if 2 * cwnd < congestion.ssthresh else 120
            self.pacing_rate = cwnd * percent * SECOND // (100 * srtt)
        else:
            self.pacing_rate = 0

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
        """The retransmission timer has fired: what is outstanding is sent again, slowly (RFC 6298 5, RFC 5681 3.1)."""
        # In recovery ssthresh is what the flight was reduced to already; what duplicate ACKs have let out since
        # does not count: the loss of a retransmission reduces a second time (RFC 5681 4.3).
        flight = min(self.flight, self.congestion.ssthresh) if self.recovery.active else self.flight
        self.recovery.on_timeout(self.board.end, self.rtt.srtt, now)
        if not self.retransmissions:
            self.recovery.note_initial_loss(self.congestion)
            self.congestion.on_timeout(flight, now)
            self.recovery.reductions += 1
        self.retransmissions += 1
        self.rtt.back_off()

    def go_back(self) -> None:
        """Send everything that is outstanding again; nothing is wrong with the rate."""
        self.board.mark_all_lost()

    def on_probe(self, start: int, length: int, now: Instant) -> None:
        """`length` of sequence space from offset `start` on went as a zero-window probe; SND.NXT stays."""
        self.last_sent_at = now
        end = (self.seq_at(start) + length) & MASK
        if seq_lt(self.max, end):
            self.max = end

    def open_congestion(self, config: TcpConfig) -> None:
        """Begin with the initial window for the MSS that the handshake has settled."""
        self.congestion = congestion_control(config.congestion, self.mss, config.initial_window_segments)

    def set_mss(self, mss: int) -> None:
        """Segments are of at most `mss` octets of data from now on, and cwnd of as many as before (RFC 5681 3.1)."""
        if mss < self.room:
            self.congestion.cwnd = max(self.congestion.cwnd * mss // self.room, mss)
        self.room = self.mss = mss
        self.congestion.mss = mss

    def leave_room(self, octets: int) -> None:
        """Segments carry `octets` of options beyond the usual ones (Eff.snd.MSS of RFC 9293 3.7.1)."""
        self.mss = max(self.room - octets, 1)

    def restart_after_idle(self, now: Instant) -> None:
        """Nothing is outstanding: reduce cwnd when nothing was sent for more than one RTO (RFC 5681 4.1)."""
        if self.last_sent_at is not None and now - self.last_sent_at > self.rtt.rto:
            self.recovery.on_idle()
            self.congestion.on_idle(now - self.last_sent_at, now)

    def tail_probe_timeout(self) -> Duration:
        """PTO of RFC 8985 7.2; as long as two round trips, and not so short that a busy peer sets it off."""
        srtt = self.rtt.srtt
        if srtt is None:
            return min(_FIRST_PTO, self.rtt.rto)
        timeout = max(2 * srtt, _MINIMUM_PTO)
        if self.board.pipe <= self.mss:
            timeout += _MAXIMUM_ACK_DELAY
        return min(timeout, self.rtt.rto)

    def hold(self, now: Instant) -> None:
        """Send nothing for an RTO: less than a segment a round trip, which is cwnd's least (RFC 3168 6.1.2)."""
        self.pace_at = max(self.pace_at, now + self.rtt.rto)

    def _burst(self) -> int:
        rate = self.pacing_rate
        return min(max(rate * _PACED_BURST // SECOND, 2 * self.mss), _BURST) if rate else _BURST

    def _on_any_sent(self, length: int, now: Instant) -> None:
        self.last_sent_at = now
        if self.pacing_rate:
            # A timer that fires late leaves credit, or the rate would never be reached.
            self.pace_at = max(self.pace_at, now - _PACED_CREDIT) + length * SECOND // self.pacing_rate

    def _take_rtt(self, rtt: Duration, now: Instant) -> None:
        self.rtt.sample(rtt)
        self.recovery.rack.on_rtt(rtt, now)

    def _progress(self, now: Instant) -> None:
        self.retransmissions = 0
        self.progress_at = now

    def _is_stale(self, echoed: Duration, now: Instant) -> bool:
        # When the acknowledgment was lost and not the segment, the answer to the retransmission echoes the original:
        # the sample would hold the whole timeout, and the next timeout grow out of it.
        return self.last_sent_at is not None and echoed > now - self.last_sent_at + MILLISECOND
