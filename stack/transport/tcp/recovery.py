"""Loss recovery: what an acknowledgment says about losses, and how much may be in flight until they are repaired.

With SACK, RACK finds what is lost (rack.py), and proportional rate reduction paces its repair (prr.py); a timeout is
taken back when acknowledgments show that it was none: of octets that were never sent again (F-RTO, RFC 5682), with an
old time stamp (Eifel, RFC 3522 and 4015), or of everything twice (DSACK, RFC 3708). Without SACK it is NewReno
(RFC 6582): duplicate acknowledgments are counted, and each partial acknowledgment repairs one hole.

Recovery decides that a segment was lost; congestion control decides what that means for the rate. `recover` keeps the
losses of one window from counting twice.
"""

from enum import IntEnum
from typing import Final

from stack.clock import MILLISECOND, Duration, Instant
from stack.transport.tcp.congestion import AckSample, CongestionControl
from stack.transport.tcp.congestion.newreno import cautious_window
from stack.transport.tcp.prr import ProportionalRateReduction
from stack.transport.tcp.rack import Rack
from stack.transport.tcp.scoreboard import Scoreboard
from stack.transport.tcp.sent import Fate

DUPLICATE_THRESHOLD: Final = 3


class Phase(IntEnum):
    """What is going on."""

    OPEN = 0
    RECOVERY = 1  # fast recovery
    LOSS = 2  # after a retransmission timeout


class Frto(IntEnum):
    """How far the test whether a timeout was spurious has come (RFC 5682 section 3.1)."""

    OFF = 0
    FIRST = 1  # the acknowledgment of the retransmission is awaited
    SECOND = 2  # new data was sent: what comes back first, the answer to it or to what was sent before?


class Recovery:
    """The state of loss recovery of one connection; offsets of the stream (see scoreboard.py)."""

    __slots__ = (
        "_began", "_board", "_entered_at", "_first_repeat", "_flight_before", "_frto", "_is_partial",
        "_lost_by_timer", "_may_undo", "_probed_after", "_prr", "_repeated", "_tail_probe", "_tail_probe_repeats",
        "_timed_out_at", "duplicates", "has_sack", "phase", "rack", "recover", "reductions", "undone",
    )  # fmt: skip

    def __init__(self, board: Scoreboard) -> None:
        self._board = board
        self.has_sack = False
        self.phase = Phase.OPEN
        self.recover = -1
        self.duplicates = 0  # acknowledgments that did not advance SND.UNA, since it last did
        self.reductions = 0  # how often cwnd was reduced
        self.undone = 0  # how often a reduction of cwnd was taken back
        self.rack = Rack()
        self._prr: ProportionalRateReduction | None = None  # once there was something to recover from
        self._frto = Frto.OFF
        self._began = 0  # where the initial window begins, or the last restart window
        self._entered_at: Instant = 0
        self._is_partial = False  # a partial acknowledgment has arrived in this recovery (without SACK)
        self._lost_by_timer = 0  # octets that congestion control has not been told of yet
        self._may_undo = False
        self._flight_before = 0  # FlightSize when what may be undone began
        self._timed_out_at = 0  # SND.UNA at the first timeout of this phase
        self._repeated = 0  # octets sent again since then, less those that the peer had already
        self._first_repeat: Instant | None = None  # when the first of these went
        self._tail_probe: int | None = None  # TLP.end_seq of RFC 8985 7.1
        self._probed_after = -1  # how many round trips had been measured when the last probe went
        self._tail_probe_repeats = False

    @property
    def active(self) -> bool:
        """Whether fast recovery is going on."""
        return self.phase is Phase.RECOVERY

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing to find out, and SACK would tell if there were."""
        is_open = self.phase is Phase.OPEN and self.has_sack
        return is_open and self._frto is Frto.OFF and self._tail_probe is None

    @property
    def prefers_new_data(self) -> bool:
        """Whether F-RTO wants to see new data go before more is sent again."""
        return self._frto is Frto.SECOND

    @property
    def may_probe_tail(self) -> bool:
        """Whether a tail loss probe may be scheduled (RFC 8985 7.2)."""
        is_fresh = self._tail_probe is None and self.rack.round_trips > self._probed_after
        return is_fresh and self.has_sack and self.phase is Phase.OPEN and not self._board.sacked

    def allowance(self, mss: int) -> int:
        """Octets beyond cwnd: limited transmit on the first two duplicate ACKs (RFC 3042); pipe has it with SACK."""
        return 0 if self.has_sack or self.phase is not Phase.OPEN else min(self.duplicates, 2) * mss

    # What was sent

    def on_sent(self, octets: int) -> None:
        """New octets went out."""
        if self.active and self._prr is not None:
            self._prr.on_sent(octets)

    def on_retransmitted(self, octets: int, now: Instant) -> None:
        """Octets were sent again."""
        if self.active and self._prr is not None:
            self._prr.on_sent(octets)
        if self._frto is Frto.SECOND:  # there was no new data: what comes back now proves nothing
            self._frto = Frto.OFF
        if self._may_undo:
            self._repeated += octets
            if self._first_repeat is None:
                self._first_repeat = now

    def on_tail_probe(self, high: int, repeats: bool) -> None:
        """A tail loss probe went out: SND.NXT is now `high`, and the probe repeats something or is new."""
        self._tail_probe = high
        self._probed_after = self.rack.round_trips
        self._tail_probe_repeats = repeats

    def on_idle(self) -> None:
        """What is sent next is a restart window (RFC 5681 4.1)."""
        self._began = self._board.end

    def note_initial_loss(self, congestion: CongestionControl) -> None:
        """Losses were found: if of an initial or a restart window, the next one is RFC 3390's (RFC 6928 2)."""
        board = self._board
        first = board.una if board.first_lost is None else board.first_lost.start
        if first < self._began + congestion.initial_window:
            congestion.initial_window = min(congestion.initial_window, cautious_window(congestion.mss))

    # Acknowledgments, with SACK

    def on_ack_with_sack(
        self,
        sample: AckSample,
        dsacked: int,
        echoed: Duration | None,
        srtt: Duration | None,
        congestion: CongestionControl,
    ) -> Instant | None:
        """Judge an acknowledgment; returns when RACK looks again.

        It says that `dsacked` octets came twice, and echoes a time stamp that is `echoed` old.
        """
        board, rack, now = self._board, self.rack, sample.now
        delivered = board.delivered
        advance = delivered.octets - delivered.sacked
        if dsacked:
            rack.on_dsack(sample.una, sample.nxt)
        self.duplicates = 0 if advance else self.duplicates + (delivered.sacked > 0)
        newest = delivered.newest
        is_original = newest is not None and newest.retransmitted > 0 and _is_older(echoed, newest.sent_at, now)
        rack.on_delivered(delivered, board.highest, is_original, now)
        self._judge_tail_probe(sample, dsacked, congestion)
        self._judge_reduction(sample, advance, dsacked, echoed, congestion)
        if self.phase is not Phase.OPEN and sample.una >= self.recover:
            self._leave(congestion)
        before = board.lost
        deadline = self._find_losses(srtt, congestion.mss, now)
        sample.lost = board.lost - before
        if sample.lost:
            self._on_losses(sample, congestion)
        if self.active and self._prr is not None and not congestion.owns_recovery:
            is_safe = advance > 0 and not sample.lost
            congestion.cwnd = self._prr.window(
                delivered.octets, board.pipe, congestion.ssthresh, congestion.mss, is_safe
            )
        sample.lost += self._lost_by_timer
        sample.flight += self._lost_by_timer
        self._lost_by_timer = 0
        return deadline

    def on_reordering_timer(
        self, sample: AckSample, srtt: Duration | None, congestion: CongestionControl
    ) -> Instant | None:
        """What seemed only late has had its time (RFC 8985 6.3); returns when to look again."""
        board = self._board
        before = board.lost
        deadline = self._find_losses(srtt, congestion.mss, sample.now)
        sample.lost = board.lost - before
        if sample.lost:
            self._lost_by_timer += sample.lost
            self._on_losses(sample, congestion)
            if self.active and self._prr is not None and not congestion.owns_recovery:
                congestion.cwnd = self._prr.window(0, board.pipe, congestion.ssthresh, congestion.mss, False)
        return deadline

    def _find_losses(self, srtt: Duration | None, mss: int, now: Instant) -> Instant | None:
        # DupThresh segments: as many acknowledgments told of them, or they have that many octets (RFC 6675 IsLost).
        enough = self.duplicates >= DUPLICATE_THRESHOLD or self._board.sacked > (DUPLICATE_THRESHOLD - 1) * mss
        window = self.rack.reordering_window(enough or self.phase is not Phase.OPEN, srtt)
        return self.rack.mark_lost(self._board, window, now)

    def _on_losses(self, sample: AckSample, congestion: CongestionControl) -> None:
        # The loss of a retransmission is a second sign of congestion (RFC 5681 4.3), once for each round of them.
        if self.phase is Phase.OPEN or (self.active and self._board.relost_at >= self._entered_at):
            self._enter(sample.flight, sample.nxt, congestion, sample.now)

    def _judge_reduction(
        self, sample: AckSample, advance: int, dsacked: int, echoed: Duration | None, congestion: CongestionControl
    ) -> None:
        """Take back a reduction that this acknowledgment shows to have been for nothing."""
        delivered = self._board.delivered
        if self._frto is not Frto.OFF:
            was_first, lowest = self._frto is Frto.FIRST, delivered.lowest_end
            self._frto = Frto.OFF
            if was_first and advance and sample.una < self.recover:
                self._frto = Frto.SECOND
            elif not was_first and lowest is not None and lowest <= self.recover:
                self._undo(sample, congestion)  # RFC 5682 3.1 (3b): it was never sent again, and has arrived
        if not self._may_undo:
            return
        self._repeated -= dsacked
        if self._first_repeat is None:  # what seemed lost has arrived before it could be sent again
            is_original = not self._board.lost
        else:
            is_original = _is_older(echoed, self._first_repeat, sample.now)
        if (advance and is_original and self.phase is not Phase.OPEN) or (dsacked and self._repeated <= 0):
            self._undo(sample, congestion)

    def _judge_tail_probe(self, sample: AckSample, dsacked: int, congestion: CongestionControl) -> None:
        """RFC 8985 7.4.2: was it the probe that repaired a loss? Then congestion control must hear of it."""
        if self._tail_probe is None or sample.una < self._tail_probe:
            return
        is_repair = self._tail_probe_repeats and not dsacked
        if is_repair and sample.una == self._tail_probe and self._board.delivered.octets:
            return  # the original and the probe look the same; the next acknowledgment tells
        if is_repair and sample.una > self._tail_probe:
            self._may_undo = False
            self.reductions += 1
            congestion.on_loss(sample.flight, sample.now)
        self._tail_probe = None

    def on_bare_duplicate(self) -> None:
        """A duplicate ACK without news: the original has arrived, and the probe after it (RFC 8985 7.4.2, case 2)."""
        if self._tail_probe_repeats and self._tail_probe == self._board.una:
            self._tail_probe = None

    # Acknowledgments, without SACK

    def on_duplicate(self, high: int, flight: int, congestion: CongestionControl, now: Instant) -> bool:
        """A duplicate ACK arrived; `high` is the highest offset sent. True: retransmit at SND.UNA now."""
        self.duplicates += 1
        if self.active:
            congestion.cwnd += congestion.mss  # a segment has left the network (RFC 5681 3.2 step 4)
            return False
        if self.duplicates != DUPLICATE_THRESHOLD or self._board.una <= self.recover:
            return False
        # ssthresh is computed without what limited transmit has added (step 2)
        self._enter(flight, high, congestion, now)
        if not congestion.owns_recovery:
            congestion.cwnd = congestion.ssthresh + DUPLICATE_THRESHOLD * congestion.mss
        return True

    def on_ack(self, sample: AckSample, congestion: CongestionControl) -> bool:
        """Something new is acknowledged. True: retransmit at SND.UNA."""
        self.duplicates = 0
        if self.phase is Phase.OPEN:
            return False
        if sample.una >= self.recover:
            was_fast = self.active
            self._leave(congestion)
            if was_fast:
                mss = congestion.mss
                congestion.cwnd = min(congestion.ssthresh, max(self._board.pipe, mss) + mss)
            return False
        if not self.active:
            return False
        if not congestion.owns_recovery:  # a partial acknowledgment: the next hole (RFC 6582 3.2 step 3)
            mss = congestion.mss
            cwnd = max(congestion.cwnd - sample.acked, 0)
            congestion.cwnd = max(cwnd + mss if sample.acked >= mss else cwnd, mss)
        return True

    def restarts_timer(self, una: int) -> bool:
        """Whether an acknowledgment restarts the retransmission timer: the first partial one does, no later one.

        This is the impatient variant of RFC 6582 3.2 step 3: many losses end in one timeout, not in a round trip each.
        """
        if self.has_sack or not self.active or una >= self.recover:
            return True
        was_partial, self._is_partial = self._is_partial, True
        return not was_partial

    # Both

    def on_timeout(self, high: int, srtt: Duration | None, now: Instant) -> bool:
        """The retransmission timer has fired; returns whether that is the first sign of these losses."""
        board = self._board
        was_open = self.phase is Phase.OPEN
        if board.first is not None and board.first.fate is Fate.SACKED:
            board.forget_sacks()  # RFC 2018 section 8: SND.UNA would have advanced had the receiver kept it
        if self.has_sack:
            self.rack.mark_lost_on_timeout(board, self.rack.reordering_window(False, srtt), now)
        else:
            board.mark_all_lost()
        if was_open:
            self._may_undo = self.has_sack
            self._repeated = 0
            self._first_repeat = None
            self._flight_before = board.end - board.una
            self._timed_out_at = board.una
        elif self.active:
            self._may_undo = False
        # Again for each further timeout of the same segment (RFC 5682 3.2); what is undone is the first reduction.
        again = was_open or (self._may_undo and board.una == self._timed_out_at)
        self._frto = Frto.FIRST if self.has_sack and again else Frto.OFF
        self.phase = Phase.LOSS
        self.duplicates = 0
        self.recover = high
        self._tail_probe = None
        return was_open

    def on_congestion_echo(self, flight: int, congestion: CongestionControl, now: Instant) -> bool:
        """An ECN echo: reduce as if for a loss, once a window (RFC 3168 6.1.2); True: cwnd cannot become less."""
        board = self._board
        if self.phase is not Phase.OPEN or board.una <= self.recover:
            return False
        was_least = congestion.cwnd <= congestion.mss
        self.recover = board.end
        self.reductions += 1
        congestion.on_congestion_echo(min(flight, congestion.cwnd), now)
        return was_least

    def keep_reduction(self) -> None:
        """An ECN echo: whatever was not lost, there is congestion, and nothing to take back (RFC 4015 3.4)."""
        self._may_undo = False
        self._frto = Frto.OFF

    def _enter(self, flight: int, high: int, congestion: CongestionControl, now: Instant) -> None:
        board = self._board
        self._may_undo = self.phase is Phase.OPEN and self.has_sack
        self._flight_before = board.end - board.una
        self.phase = Phase.RECOVERY
        self.recover = high
        self._entered_at = now
        self._is_partial = False
        self._repeated = 0
        self._first_repeat = None
        self._tail_probe = None
        self.reductions += 1
        self.note_initial_loss(congestion)
        if self._prr is None:
            self._prr = ProportionalRateReduction()
        self._prr.start(flight)
        congestion.on_loss(min(board.end - board.una, congestion.cwnd), now)

    def _leave(self, congestion: CongestionControl) -> None:
        if self.active and self.has_sack:
            if not congestion.owns_recovery:
                congestion.cwnd = congestion.ssthresh
            self.rack.on_recovered()
        self.phase = Phase.OPEN
        self._frto = Frto.OFF

    def _undo(self, sample: AckSample, congestion: CongestionControl) -> None:
        board = self._board
        if self.active:
            self.rack.reordering_seen = True  # what was sent again had only been late
        self._may_undo = False
        self._frto = Frto.OFF
        self.phase = Phase.OPEN
        self.recover = board.una  # what is really lost may be found lost at once
        self.undone += 1
        board.unmark_lost()
        reduced = congestion.cwnd
        congestion.undo(sample.now)
        if not congestion.owns_recovery:
            # RFC 4015 3.1 (9): no burst after the pause; slow start leads back to where cwnd was.
            bounded = board.pipe + min(sample.acked, congestion.initial_window)
            congestion.cwnd = min(congestion.cwnd, max(bounded, reduced))
            congestion.ssthresh = max(congestion.ssthresh, self._flight_before)


def _is_older(echoed: Duration | None, at: Instant, now: Instant) -> bool:
    """Whether a time stamp, which is `echoed` old, is from before `at`; both in its ticks of a millisecond."""
    return echoed is not None and (now - echoed) // MILLISECOND < at // MILLISECOND
