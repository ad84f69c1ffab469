"""Acknowledgments made by hand, and a bottleneck with a queue that makes them, in virtual time."""

from collections import deque

from stack.clock import MILLISECOND, SECOND, Duration, Instant
from stack.transport.tcp.congestion import AckSample, CongestionControl

MSS = 1000
ROUND = 100 * MILLISECOND


def ack(now: Instant, acked: int = MSS, *, limited: bool = True, rtt: Duration | None = None) -> AckSample:
    """An acknowledgment of `acked` octets; in slow start each of these is a round of its own."""
    return AckSample(now=now, acked=acked, newly_delivered=acked, is_cwnd_limited=limited, rtt=rtt)


def run_rounds(
    control: CongestionControl, start: Instant, rtt: Duration, rounds: int, limited: bool = True
) -> list[tuple[Instant, int]]:
    """Acknowledge `rounds` windows, each over a round trip, in 100 steps at most; time and cwnd after each."""
    seen = []
    for number in range(rounds):
        count = min(max(control.cwnd // control.mss, 1), 100)
        acked = control.cwnd // count
        for index in range(1, count + 1):
            control.on_ack(ack(start + number * rtt + index * rtt // count, acked, limited=limited, rtt=rtt))
        seen.append((start + (number + 1) * rtt, control.cwnd))
    return seen


class Bottleneck:
    """A sender that always has data, a link of `rate` octets a second, and a drop-tail queue of `room` octets.

    What the queue drops is noticed when its acknowledgment would have come, once a window, and counts as repaired.
    """

    def __init__(self, control: CongestionControl, rate: int, delay: Duration, room: int) -> None:
        self.control = control
        self.rate, self.delay, self.room = rate, delay, room
        self.now: Instant = 0
        self.drops = 0
        self.longest: Duration = 0
        self._free_at: Instant = 0
        self._una = self._nxt = self._recover = 0
        self._limited_until = 0
        self._flying: deque[tuple[Instant, Instant, bool]] = deque()  # acknowledged when, sent when, lost

    def run(self, duration: Duration) -> int:
        """Let `duration` pass; the octets that were acknowledged."""
        una, end = self._una, self.now + duration
        while True:
            self._send()
            if self._flying[0][0] > end:
                self.now = end
                return self._una - una
            self._acknowledge()

    def _send(self) -> None:
        while self._nxt - self._una + MSS <= max(self.control.cwnd, MSS):
            backlog = max(self._free_at - self.now, 0)
            is_lost = backlog * self.rate > self.room * SECOND
            if not is_lost:
                self._free_at = max(self._free_at, self.now) + MSS * SECOND // self.rate
            arrival = max(self._free_at, self.now) + self.delay
            self._flying.append((arrival, self.now, is_lost))
            self._nxt += MSS
            self.drops += is_lost
        self._limited_until = self._nxt

    def _acknowledge(self) -> None:
        control = self.control
        self.now, sent_at, is_lost = self._flying.popleft()
        flight = self._nxt - self._una
        limited = self._una < self._limited_until
        self._una += MSS
        if is_lost:
            if self._una > self._recover:
                self._recover = self._nxt
                control.on_loss(flight, self.now)
        elif self._una > self._recover:
            rtt = self.now - sent_at
            self.longest = max(self.longest, rtt)
            sample = ack(self.now, limited=limited, rtt=rtt)
            sample.flight, sample.una, sample.nxt = flight, self._una, self._nxt
            control.on_ack(sample)
