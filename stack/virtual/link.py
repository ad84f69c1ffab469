"""A link that is as bad as one likes: delay, rate, loss, duplication, reordering, corruption; seeded.

Impairment decides, frame by frame, what comes out at the other end and when. It has no clock and moves nothing, so
the same object stands between two hosts in virtual time or between two file descriptors in real time.
"""

import random
from dataclasses import dataclass
from typing import Final

from stack.clock import SECOND, Duration, Instant
from stack.errors import ConfigurationError

_BITS: Final = 8


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """One direction of a link. Probabilities are per frame, durations in nanoseconds."""

    delay: Duration = 0
    jitter: Duration = 0  # added to the delay, uniformly; frames do not overtake one another because of it
    rate: int | None = None  # bits a second; None: no limit
    queue: int = 256 << 10  # octets that wait for their turn at `rate`; what comes beyond them is dropped
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0  # of being held back by `reordering_delay`, so that later frames overtake
    reordering_delay: Duration = 0
    corruption: float = 0.0  # of having one bit turned over

    def __post_init__(self) -> None:
        for name in ("loss", "duplication", "reordering", "corruption"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name} is a probability, 0 to 1, not {getattr(self, name)}")
        if self.rate is not None and self.rate <= 0:
            raise ConfigurationError(f"a rate is a positive number of bits a second, not {self.rate}")


@dataclass(slots=True)
class LinkCounters:
    """What has happened to the frames of one direction."""

    frames: int = 0
    octets: int = 0
    lost: int = 0
    queue_drops: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0


class Impairment:
    """One direction of a link."""

    def __init__(self, profile: LinkProfile, seed: int) -> None:
        self.profile = profile
        self.counters = LinkCounters()
        self.is_down = False
        self._random = random.Random(seed)
        self._idle_at: Instant = 0  # when the last bit of what is queued has left
        self._last_arrival: Instant = 0

    def schedule(self, frame: bytes, now: Instant) -> list[tuple[Instant, bytes]]:
        """When, and as what, a frame that is sent at `now` arrives; empty: not at all."""
        profile, counters, chance = self.profile, self.counters, self._random.random
        counters.frames += 1
        counters.octets += len(frame)
        if self.is_down or (profile.loss and chance() < profile.loss):
            counters.lost += 1
            return []
        left = now
        if profile.rate is not None:
            waiting = max(self._idle_at - now, 0)
            if waiting * profile.rate > profile.queue * _BITS * SECOND:
                counters.queue_drops += 1
                return []
            left = self._idle_at = now + waiting + len(frame) * _BITS * SECOND // profile.rate
        if profile.corruption and chance() < profile.corruption:
            counters.corrupted += 1
            frame = self._corrupt(frame)
        arrivals = [(self._arrival(left), frame)]
        if profile.duplication and chance() < profile.duplication:
            counters.duplicated += 1
            arrivals.append((self._arrival(left), frame))
        return arrivals

    def _arrival(self, left: Instant) -> Instant:
        profile = self.profile
        at = left + profile.delay
        if profile.jitter:
            at += self._random.randrange(profile.jitter + 1)
        if profile.reordering and self._random.random() < profile.reordering:
            self.counters.reordered += 1
            return at + profile.reordering_delay
        self._last_arrival = at = max(at, self._last_arrival)
        return at

    def _corrupt(self, frame: bytes) -> bytes:
        octets = bytearray(frame)
        if octets:
            bit = self._random.randrange(len(octets) * _BITS)
            octets[bit // _BITS] ^= 1 << bit % _BITS
        return bytes(octets)
