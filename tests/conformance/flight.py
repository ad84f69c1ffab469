"""A sender under test, and a far end that acknowledges by whole segments: numbers of segments instead of octets."""

from collections import Counter
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from stack.clock import MILLISECOND
from stack.config import TcpConfig
from tests.tcp.harness import REMOTE_PORT, Bench
from tests.tcp.peer import Sent

MSS = 1000
RTT = 100 * MILLISECOND


class Flight:
    """A connection in ESTABLISHED whose SYN took RTT; segment 0 is octets 1 to 1000."""

    def __init__(
        self,
        *,
        rtt: int = RTT,
        timestamps: bool = False,
        sack: bool = True,
        window: int = 60_000,
        answer: str = "SA",
        **config,
    ) -> None:
        config = {"congestion": "newreno", "nagle": False, "pacing": False, **config}
        self.bench = Bench(TcpConfig(**config))
        self.peer = self.bench.connect(REMOTE_PORT, local_port=50000)
        self.peer.strict = False
        self.peer.window = window
        self.options = self.peer.expect("SEC" if config.get("ecn") == "request" else "S").options
        self.bench.elapse(rtt)
        self.peer.syn(answer, mss=MSS + (12 if timestamps else 0), ts=timestamps, sack=sack)
        self.peer.expect("A", data=0)
        self.far = FarReceiver()
        self.log: list[tuple[int, int]] = []  # (when, which segment) of what play() has seen go out
        self._times_sent: Counter[int] = Counter()
        self._arrivals: list[tuple[int, int, int]] = []  # at the far end: when, in what order, which segment
        self._busy_until = 0  # the bottleneck

    @property
    def info(self):
        return self.peer.connection.info()

    @property
    def now(self) -> int:
        return self.bench.now

    def write(self, segments: int) -> list[int]:
        """The application writes; the segments that go out."""
        self.peer.write(MSS * segments)
        return self.sent()

    def taken(self) -> list[Sent]:
        """The segments with text that went out and were not looked at yet."""
        return [each for each in self.peer.take() if each.data]

    def sent(self) -> list[int]:
        """Their numbers; every one is of full size."""
        return numbers(self.taken())

    def ack(self, number: int, *blocks: tuple[int, int], **fields) -> list[int]:
        """All before segment `number` has arrived, and the segments of `blocks`; what goes out because of that."""
        sack = [(1 + MSS * left, 1 + MSS * right) for left, right in blocks]
        self.peer.send("A", ack=1 + MSS * number, sack=sack, **fields)
        return self.sent()

    def wait(self, duration: int) -> list[int]:
        """Time passes; what goes out meanwhile."""
        self.bench.elapse(duration)
        return self.sent()

    def wait_for(self, within: int) -> Sent:
        """The next segment with text, whenever it comes within that time; its `at` says when."""
        bench = self.bench
        bench.run_until(bench.now + within, lambda: bool(self.peer.queue))
        segment = self.peer.expect(within=within)
        assert segment.data, bench.log()
        return segment

    def play(
        self, duration: int, lost: Callable[[int, int], bool] = lambda number, time: False, rtt: int = RTT
    ) -> None:
        """Let the far end receive what goes out, for some time, in order and after `rtt`, but for what is lost.

        `lost(number, time)`: whether the `time`-th sending of segment `number`, counted from 1, is.
        """
        end = self.now + duration
        while self.step(end, lost):
            pass

    def step(self, end: int, lost: Callable[[int, int], bool] = lambda number, time: False) -> bool:
        """As play(), until one acknowledgment has come back and what it lets out has gone; False: there is none."""
        arrivals = self._arrivals
        while True:
            for each in self.taken():
                self._carry(each, lost)
            due = min(arrivals[0][0], end) if arrivals else end
            self.bench.run_until(due, lambda: any(each.data for each in self.peer.queue))
            if self.peer.queue:
                continue
            if not arrivals or arrivals[0][0] > end:
                return False
            self.ack_arrival(heappop(arrivals)[2])
            for each in self.taken():
                self._carry(each, lost)
            return True

    def _carry(self, segment: Sent, lost: Callable[[int, int], bool]) -> None:
        [number] = numbers([segment])
        self.log.append((segment.at, number))
        self._times_sent[number] += 1
        self._busy_until = max(self._busy_until, segment.at) + MILLISECOND
        if not lost(number, self._times_sent[number]):
            heappush(self._arrivals, (self._busy_until + RTT, len(self.log), number))

    def ack_arrival(self, number: int) -> None:
        """The far end receives a segment and says so; what goes out because of that is still to be looked at."""
        una, blocks = self.far.receive(number)
        sack = [(1 + MSS * left, 1 + MSS * right) for left, right in blocks]
        self.peer.send("A", ack=1 + MSS * una, sack=sack if self.peer.connection.sack else ())

    def warm_up(self, rounds: int = 3) -> int:
        """Full round trips without a loss, until SRTT is RTT; the number of the next segment."""
        number = 0
        for _ in range(rounds):
            number += len(self.write(4))
            self.wait(RTT)
            self.ack(number)
        return number


class FarReceiver:
    """A receiver of RFC 2018 and RFC 2883 that acknowledges every segment."""

    def __init__(self) -> None:
        self.una = 0
        self._held: list[list[int]] = []  # [left, right) above `una`, what came last first

    def receive(self, number: int) -> tuple[int, list[tuple[int, int]]]:
        """The acknowledgment that segment `number` brings: the next expected one, and the blocks."""
        holder = next((each for each in self._held if each[0] <= number < each[1]), None)
        if number < self.una or holder is not None:
            report = [(number, number + 1)]
            if holder is not None:
                self._held.remove(holder)
                self._held.insert(0, holder)
            return self.una, (report + self._blocks())[:4]
        joined = [number, number + 1]
        for each in [each for each in self._held if each[1] == number or each[0] == number + 1]:
            self._held.remove(each)
            joined = [min(joined[0], each[0]), max(joined[1], each[1])]
        if joined[0] == self.una:
            self.una = joined[1]
        else:
            self._held.insert(0, joined)
        return self.una, self._blocks()[:4]

    def _blocks(self) -> list[tuple[int, int]]:
        return [(left, right) for left, right in self._held]


def numbers(segments: Iterable[Sent]) -> list[int]:
    """Which segments these are."""
    found = []
    for each in segments:
        number, rest = divmod(each.seq - 1, MSS)
        assert not rest and len(each.data) == MSS, f"not one whole segment: {each.seq} ({len(each.data)})"
        found.append(number)
    return found
