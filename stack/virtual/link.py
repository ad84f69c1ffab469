"""A link that is as bad as one likes: rate and queue, delay, loss, duplication, reordering, corruption; seeded.

    send()  ->  [queue] -> transmitter at `rate`  ->  lost? corrupted? twice?  ->  delay, late?  ->  receive()

A Channel is one direction. As a host, it has no clock and moves nothing: frames and the time come in, deadline() says
when to ask for what has arrived. So the same object stands between two hosts in virtual time or between two file
descriptors in real time.
"""

import random
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from stack.clock import SECOND, Duration, Instant
from stack.errors import ConfigurationError
from stack.virtual.loss import GilbertElliott, Losses, check_probabilities
from stack.virtual.queues import DropTail, QueueModel

_BITS: Final = 8
_BATCH: Final = 256  # frames that receive() gives at once: what a host's ring takes


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """One direction of a link. Probabilities are per frame, durations in nanoseconds."""

    delay: Duration = 0
    jitter: Duration = 0  # added to the delay, uniformly; frames do not overtake one another because of it
    rate: int | None = None  # bits a second; None: no limit, and nothing waits
    queue: QueueModel = field(default_factory=DropTail)  # of those that wait for their turn at `rate`
    loss: float | GilbertElliott = 0.0
    duplication: float = 0.0
    reordering: float = 0.0  # of being held back by `reordering_delay`, so that later frames overtake
    reordering_delay: Duration = 0
    corruption: float = 0.0  # of having one bit turned over

    def __post_init__(self) -> None:
        check_probabilities(self, "duplication", "reordering", "corruption")
        if not isinstance(self.loss, GilbertElliott):
            check_probabilities(self, "loss")
        for name in ("delay", "jitter", "reordering_delay"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} is a duration in nanoseconds, not {getattr(self, name)}")
        if self.rate is not None and self.rate <= 0:
            raise ConfigurationError(f"a rate is a positive number of bits a second, not {self.rate}")


@dataclass(slots=True)
class LinkCounters:
    """What has happened to the frames of one direction.

    frames + duplicated = delivered + in_transit + lost + lost_while_down + overflows + queue_drops
    """

    frames: int = 0  # given to the link
    octets: int = 0
    delivered: int = 0
    in_transit: int = 0
    lost: int = 0
    lost_while_down: int = 0
    overflows: int = 0  # dropped because the queue was full
    queue_drops: int = 0  # dropped by the queue's judgement (CoDel)
    marked: int = 0  # with CE (RFC 3168)
    most_queued: int = 0  # octets: how long the queue has ever been
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0


class Channel:
    """One direction of a link; `now` never goes back from one call to the next."""

    def __init__(self, profile: LinkProfile, seed: int) -> None:
        self.profile = profile
        self.is_down = False  # what is sent then is lost; what is on its way arrives
        self._counters = LinkCounters()
        self._rate = profile.rate or 0  # 0: frames do not wait, and pass the queue by
        self._queue = profile.queue.make()
        self._waiting = self._queue.frames
        self._random = random.Random(seed)
        self._losses = Losses(profile.loss, self._random) if profile.loss else None
        self._free_at: Instant = 0  # when the transmitter has sent the last bit of what it has taken
        self._flying: list[tuple[Instant, int, bytes]] = []
        self._order = 0
        self._last_arrival: Instant = 0

    @property
    def counters(self) -> LinkCounters:
        """What has happened so far."""
        counters, queue = self._counters, self._queue
        counters.in_transit = len(self._waiting) + len(self._flying)
        counters.overflows, counters.queue_drops = queue.overflows, queue.drops
        counters.marked, counters.most_queued = queue.marks, queue.most_octets
        return counters

    def send(self, frame: bytes, now: Instant) -> None:
        """A frame goes into the link."""
        counters = self._counters
        counters.frames += 1
        counters.octets += len(frame)
        if self.is_down:
            counters.lost_while_down += 1
        elif not self._rate:
            self._fly(frame, now)
        else:
            if self._waiting:
                self._transmit(now)
            self._queue.put(frame, now)
            if self._free_at <= now:
                self._free_at = now
                self._transmit(now)

    def deadline(self) -> Instant | None:
        """When to call receive(), or None: nothing is on its way."""
        due = self._flying[0][0] if self._flying else None
        if self._waiting:
            # The next frame out of the queue cannot arrive before this; until then nobody can see whether it has left.
            earliest = self._free_at + self.profile.delay
            if due is None or earliest < due:
                return earliest
        return due

    def receive(self, now: Instant) -> list[bytes]:
        """Frames that have arrived by `now`: not all where there are very many, deadline() tells."""
        if self._waiting:
            self._transmit(now)
        flying = self._flying
        arrived: list[bytes] = []
        while flying and flying[0][0] <= now and len(arrived) < _BATCH:
            arrived.append(heappop(flying)[2])
        self._counters.delivered += len(arrived)
        return arrived

    def _transmit(self, now: Instant) -> None:
        """Let the transmitter do what it has done up to `now`: a frame leaves the queue when its first bit does."""
        while self._waiting and self._free_at <= now:
            frame = self._queue.take(self._free_at)
            self._free_at += -(-len(frame) * _BITS * SECOND // self._rate)  # rounded up: never faster than `rate`
            self._fly(frame, self._free_at)

    def _fly(self, frame: bytes, left: Instant) -> None:
        """The last bit of `frame` has left the transmitter at `left`."""
        profile, counters = self.profile, self._counters
        if self._losses is not None and self._losses.next_is_lost():
            counters.lost += 1
            return
        if profile.corruption and self._random.random() < profile.corruption:
            counters.corrupted += 1
            frame = self._corrupted(frame)
        self._arrive(frame, left + profile.delay)
        if profile.duplication and self._random.random() < profile.duplication:
            counters.duplicated += 1
            self._arrive(frame, left + profile.delay)

    def _arrive(self, frame: bytes, at: Instant) -> None:
        profile = self.profile
        if profile.jitter:
            at += self._random.randrange(profile.jitter + 1)
        if profile.reordering and self._random.random() < profile.reordering:
            self._counters.reordered += 1
            at += profile.reordering_delay
        else:
            self._last_arrival = at = max(at, self._last_arrival)
        self._order += 1
        heappush(self._flying, (at, self._order, frame))

    def _corrupted(self, frame: bytes) -> bytes:
        octets = bytearray(frame)
        if octets:
            bit = self._random.randrange(len(octets) * _BITS)
            octets[bit // _BITS] ^= 1 << bit % _BITS
        return bytes(octets)
