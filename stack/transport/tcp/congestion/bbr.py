"""BBR, version 1: congestion control by a model of the path (draft-cardwell-iccrg-bbr-congestion-control-00).

The model is two numbers: the bottleneck's bandwidth, the highest delivery rate of the last ten rounds, and the
round-trip time without a queue, the lowest of the last ten seconds. Their product is what the path holds. The sender
paces at the bandwidth, times a gain by which it probes for more and then drains what that has queued, and keeps at
most twice the product in flight. Losses are no sign of congestion to it, beyond a round of packet conservation.

The names of states and variables, and the sections in comments, are the draft's.
"""

from enum import Enum, auto
from typing import ClassVar, Final

from stack.clock import MILLISECOND, SECOND, Duration, Instant
from stack.transport.tcp.congestion.interface import UNLIMITED, AckSample, CongestionControl

_HIGH_GAIN: Final = 2.885  # 2 / ln 2: the least that doubles the rate every round (4.3.2.1)
_CWND_GAIN: Final = 2.0
# One phase lasts a round trip (4.3.4.2).
_PACING_CYCLE: Final[tuple[float, ...]] = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_BANDWIDTH_ROUNDS: Final = 10  # BtlBwFilterLen (4.1.1.4)
_RTPROP_WINDOW: Final = 10 * SECOND  # RTpropFilterLen (4.1.2.3)
_PROBE_RTT_DURATION: Final = 200 * MILLISECOND
_MINIMAL_SEGMENTS: Final = 4  # BBRMinPipeCwnd: what keeps acknowledgments coming, delayed ones too (4.2.3.1)
_MAXIMUM_QUANTUM: Final = 64 << 10  # octets of a super-frame (4.2.2)
_FULL_PIPE_GROWTH: Final = 1.25
_FULL_PIPE_ROUNDS: Final = 3
_NEVER: Final[Duration] = 1 << 62


class State(Enum):
    """Of the machine of section 4.3.1."""

    STARTUP = auto()
    DRAIN = auto()
    PROBE_BW = auto()
    PROBE_RTT = auto()


class Bbr(CongestionControl):
    """Draft 00; bandwidths in octets a second, windows in octets, times in nanoseconds."""

    name: ClassVar[str] = "bbr"
    owns_recovery: ClassVar[bool] = True
    __slots__ = (
        "_bandwidths", "_conserves", "_cwnd_gain", "_cycle", "_cycle_at", "_filled_pipe", "_full_bandwidth",
        "_full_rounds", "_idle_restart", "_is_repairing", "_limited_until", "_pacing_gain", "_prior_cwnd",
        "_probe_rtt_done_at", "_probe_rtt_round_done", "_recover", "_round", "_round_end", "_round_start", "_rtprop",
        "_rtprop_at", "state",
    )  # fmt: skip

    def __init__(self, mss: int, initial_segments: int) -> None:
        super().__init__(mss, initial_segments)
        self.state = State.STARTUP
        self._pacing_gain = self._cwnd_gain = _HIGH_GAIN
        self._bandwidths: list[tuple[int, int]] = []  # (round, rate): rates fall, the first is BtlBw
        self._rtprop: Duration = _NEVER
        self._rtprop_at: Instant = 0
        self._round = 0
        self._round_end = 0  # next_round_delivered
        self._round_start = False
        self._filled_pipe = False
        self._full_bandwidth = 0
        self._full_rounds = 0
        self._cycle = 0
        self._cycle_at: Instant = 0
        self._idle_restart = False
        self._probe_rtt_done_at: Instant | None = None
        self._probe_rtt_round_done = False
        self._prior_cwnd = 0
        self._is_repairing = False
        self._conserves = False
        self._recover: int | None = None  # stream offset at which the repair is over; None: not known yet
        self._limited_until = -1  # what was sent before more than that was delivered says nothing of the bandwidth

    @property
    def bandwidth(self) -> int:
        """BtlBw: octets a second, 0 before the first measurement."""
        return self._bandwidths[0][1] if self._bandwidths else 0

    def on_ack(self, sample: AckSample) -> None:
        """BBRUpdateModelAndState() and BBRUpdateControlParameters() (3.5.2)."""
        pipe = max(sample.flight - sample.newly_delivered - sample.lost, 0)
        self._update_round(sample)
        self._update_bandwidth(sample)
        self._check_cycle(sample, pipe)
        self._check_full_pipe(sample)
        self._check_drain(pipe, sample.now)
        self._update_rtprop(sample, pipe)
        self._set_pacing_rate()
        self._set_cwnd(sample, pipe)

    def on_loss(self, flight: int, now: Instant) -> None:
        """4.2.3.3: for a round no more goes out than arrives; the model stays as it is."""
        self._repair(conserves=True)

    def on_congestion_echo(self, flight: int, now: Instant) -> None:
        """As for a loss: version 1 knows nothing of ECN."""
        self.on_loss(flight, now)

    def on_timeout(self, flight: int, now: Instant) -> None:
        """4.2.3.3: all is taken for lost, and one segment goes out; slow start brings cwnd back to the model."""
        self._repair(conserves=False)
        self.cwnd = self.mss

    def on_idle(self, idle: Duration, now: Instant) -> None:
        """4.3.4.4: the pause has drained the queue; go on at the bandwidth that is known, without a probe."""
        self._idle_restart = True
        if self.state is State.PROBE_BW:
            self._pacing_gain = 1.0
            self._set_pacing_rate()

    def undo(self, now: Instant) -> None:
        """The model has not changed: only cwnd is to be given back."""
        self.cwnd = max(self.cwnd, self._prior_cwnd)
        self._is_repairing = self._conserves = False

    # The model (4.1)

    def _update_round(self, sample: AckSample) -> None:
        if self._round_end < 0:  # BBROnEnterFastRecovery: next_round_delivered = C.delivered
            self._round_end = sample.delivered
        self._round_start = sample.newly_delivered > 0 and sample.prior_delivered >= self._round_end
        if self._round_start:
            self._round_end = sample.delivered
            self._round += 1

    def _update_bandwidth(self, sample: AckSample) -> None:
        rate, bandwidths = sample.delivery_rate, self._bandwidths
        is_limited = sample.is_app_limited or sample.prior_delivered <= self._limited_until
        if not rate or (is_limited and rate < self.bandwidth):
            return
        while bandwidths and bandwidths[-1][1] <= rate:
            bandwidths.pop()
        bandwidths.append((self._round, rate))
        while bandwidths[0][0] <= self._round - _BANDWIDTH_ROUNDS:
            bandwidths.pop(0)

    def _update_rtprop(self, sample: AckSample, pipe: int) -> None:
        rtt, now = sample.rtt, sample.now
        expired = self._rtprop != _NEVER and now > self._rtprop_at + _RTPROP_WINDOW
        if rtt is not None and (rtt <= self._rtprop or expired):
            self._rtprop = rtt
            self._rtprop_at = now
        if expired and not self._idle_restart and self.state is not State.PROBE_RTT:
            self._save_cwnd()
            self._enter(State.PROBE_RTT, 1.0, 1.0)
            self._probe_rtt_done_at = None
        if self.state is State.PROBE_RTT:
            self._handle_probe_rtt(sample, pipe)
        if sample.newly_delivered:
            self._idle_restart = False

    def _target(self, gain: float) -> int:
        """BBRInflight(): `gain` times what the path holds, and three super-frames, which end hosts merge (4.2.3.2)."""
        if self._rtprop == _NEVER or not self._bandwidths:
            return self.initial_window
        quantum = min(max(self.pacing_rate * MILLISECOND // SECOND, 2 * self.mss), _MAXIMUM_QUANTUM)
        return int(gain * self.bandwidth * self._rtprop / SECOND) + 3 * quantum

    # The state machine (4.3)

    def _enter(self, state: State, pacing_gain: float, cwnd_gain: float) -> None:
        self.state = state
        self._pacing_gain = pacing_gain
        self._cwnd_gain = cwnd_gain

    def _check_full_pipe(self, sample: AckSample) -> None:
        """STARTUP is over when three rounds in a row have not brought a quarter more (4.3.2.2)."""
        if self._filled_pipe or not self._round_start or sample.is_app_limited:
            return
        if self.bandwidth >= self._full_bandwidth * _FULL_PIPE_GROWTH:
            self._full_bandwidth = self.bandwidth
            self._full_rounds = 0
            return
        self._full_rounds += 1
        self._filled_pipe = self._full_rounds >= _FULL_PIPE_ROUNDS

    def _check_drain(self, pipe: int, now: Instant) -> None:
        if self.state is State.STARTUP and self._filled_pipe:
            self._enter(State.DRAIN, 1 / _HIGH_GAIN, _HIGH_GAIN)
        if self.state is State.DRAIN and pipe <= self._target(1.0):
            self._enter_probe_bandwidth(now)

    def _enter_probe_bandwidth(self, now: Instant) -> None:
        # The draft draws the phase at random, so that flows do not probe in step, but never that which drains: here
        # the last digits of what the path has measured are the lot.
        self._enter(State.PROBE_BW, 1.0, _CWND_GAIN)
        last = len(_PACING_CYCLE) - 1
        self._cycle = last - (self.bandwidth + self._rtprop) % last
        self._advance_cycle(now)

    def _advance_cycle(self, now: Instant) -> None:
        self._cycle_at = now
        self._cycle = (self._cycle + 1) % len(_PACING_CYCLE)
        self._pacing_gain = _PACING_CYCLE[self._cycle]

    def _check_cycle(self, sample: AckSample, pipe: int) -> None:
        """BBRIsNextCyclePhase() (4.3.4.3)."""
        if self.state is not State.PROBE_BW:
            return
        is_over = sample.now - self._cycle_at > self._rtprop
        gain, before = self._pacing_gain, pipe + sample.newly_delivered + sample.lost
        if gain > 1:  # until as much more is in flight, or does not fit
            is_over = is_over and (sample.lost > 0 or before >= self._target(gain))
        elif gain < 1:  # until the queue is gone
            is_over = is_over or before <= self._target(1.0)
        if is_over:
            self._advance_cycle(sample.now)

    def _handle_probe_rtt(self, sample: AckSample, pipe: int) -> None:
        """Almost nothing in flight for 200 ms and a round: what a queue of our own has added shows (4.3.5)."""
        now = sample.now
        self._limited_until = sample.delivered + pipe
        if self._probe_rtt_done_at is None:
            if pipe <= _MINIMAL_SEGMENTS * self.mss:
                self._probe_rtt_done_at = now + _PROBE_RTT_DURATION
                self._probe_rtt_round_done = False
                self._round_end = -1
            return
        self._probe_rtt_round_done |= self._round_start
        if self._probe_rtt_round_done and now > self._probe_rtt_done_at:
            self._rtprop_at = now
            self.cwnd = max(self.cwnd, self._prior_cwnd)
            if self._filled_pipe:
                self._enter_probe_bandwidth(now)
            else:
                self._enter(State.STARTUP, _HIGH_GAIN, _HIGH_GAIN)

    # The control parameters (4.2)

    def _set_pacing_rate(self) -> None:
        bandwidth = self.bandwidth
        if not bandwidth and self._rtprop != _NEVER:  # BBRInitPacingRate
            bandwidth = self.initial_window * SECOND // self._rtprop
        rate = int(self._pacing_gain * bandwidth)
        if rate and (self._filled_pipe or rate > self.pacing_rate):
            self.pacing_rate = rate

    def _set_cwnd(self, sample: AckSample, pipe: int) -> None:
        minimum, delivered = _MINIMAL_SEGMENTS * self.mss, sample.newly_delivered
        target = max(self._target(self._cwnd_gain), minimum)
        self._modulate_for_recovery(sample, pipe)
        if not self._conserves:
            if self._filled_pipe:
                self.cwnd = min(self.cwnd + delivered, target)
            elif self.cwnd < target or sample.delivered < self.initial_window:
                self.cwnd += delivered
            self.cwnd = max(self.cwnd, minimum)
        if self.state is State.PROBE_RTT:
            self.cwnd = min(self.cwnd, minimum)
        self.cwnd = min(self.cwnd, UNLIMITED)

    def _modulate_for_recovery(self, sample: AckSample, pipe: int) -> None:
        if not self._is_repairing:
            return
        arrived = pipe + sample.newly_delivered
        if self._recover is None:
            self._recover = sample.nxt
            if self._conserves:
                self.cwnd = max(arrived, self.mss)
        elif sample.una >= self._recover:
            self._is_repairing = self._conserves = False
            self.cwnd = max(self.cwnd, self._prior_cwnd)
            return
        else:
            self._conserves = self._conserves and not self._round_start
            self.cwnd = max(self.cwnd - sample.lost, self.mss)
        if self._conserves:
            self.cwnd = max(self.cwnd, arrived)

    def _save_cwnd(self) -> None:
        is_held_down = self._is_repairing or self.state is State.PROBE_RTT
        self._prior_cwnd = max(self._prior_cwnd, self.cwnd) if is_held_down else self.cwnd

    def _repair(self, conserves: bool) -> None:
        self._save_cwnd()
        self._is_repairing, self._conserves = True, conserves
        self._recover = None
        self._round_end = -1  # the next acknowledgment begins a round
