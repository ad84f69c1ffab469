"""Is our address ours alone? Probing, announcing and defending it (RFC 5227)."""

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from stack.clock import Duration, Instant, Timer, TimerQueue
from stack.config import ArpConfig


class RandomSource(Protocol):
    """Where the random delays come from."""

    def getrandbits(self, k: int, /) -> int:
        """An int of `k` random bits."""


class Claim(IntEnum):
    """How far the claim to the address has come."""

    IDLE = 0
    PROBING = 1
    BOUND = 2


class AddressClaim:
    """The claim of one interface to its address.

    `probe(now)` and `announce(now)` send the two kinds of ARP request.
    """

    def __init__(
        self,
        config: ArpConfig,
        timers: TimerQueue,
        random: RandomSource,
        probe: Callable[[Instant], None],
        announce: Callable[[Instant], None],
    ) -> None:
        self._config = config
        self._random = random
        self._probe = probe
        self._announce = announce
        self._timer = Timer(timers, AddressClaim._on_timer, self)
        self._sent = 0
        self._conflicts = 0
        self._defended_at: Instant | None = None
        self.state = Claim.IDLE

    @property
    def is_bound(self) -> bool:
        """Whether the address may be used."""
        return self.state is Claim.BOUND

    def start(self, now: Instant) -> None:
        """Claim the address: probe for it first if so configured, else use and announce it at once."""
        if self._config.probe:
            self._begin_probing(now, self._between(0, self._config.probe_wait))
        else:
            self._bind(now)

    def on_conflict(self, now: Instant) -> None:
        """Somebody else uses the address, or probes for it while we do (2.1.1, 2.4).

        While probing we wait and try again, ever more slowly. A bound address is defended with one announcement per
        DEFEND_INTERVAL, and kept whatever comes: choice (c) of 2.4, for a host whose address others depend on.
        """
        config = self._config
        if self.state is Claim.PROBING:
            self._conflicts += 1
            hurried = self._conflicts < config.maximum_conflicts
            self._begin_probing(now, config.probe_maximum if hurried else config.rate_limit_interval)
        elif self.state is Claim.BOUND and (
            self._defended_at is None or now - self._defended_at >= config.defend_interval
        ):
            self._defended_at = now
            self._announce(now)

    def _begin_probing(self, now: Instant, delay: Duration) -> None:
        self.state = Claim.PROBING
        self._sent = 0
        self._timer.arm(now + delay)

    def _bind(self, now: Instant) -> None:
        self.state = Claim.BOUND
        self._sent = 0
        self._on_timer(now)

    def _on_timer(self, now: Instant) -> None:
        config = self._config
        if self.state is Claim.PROBING:
            if self._sent == config.probe_number:
                self._bind(now)
                return
            self._probe(now)
            self._sent += 1
            last = self._sent == config.probe_number
            wait = config.announce_wait if last else self._between(config.probe_minimum, config.probe_maximum)
            self._timer.arm(now + wait)
        elif self._sent < config.announce_number:
            self._announce(now)
            self._sent += 1
            if self._sent < config.announce_number:
                self._timer.arm(now + config.announce_interval)

    def _between(self, low: Duration, high: Duration) -> Duration:
        return low + self._random.getrandbits(48) % (high - low + 1)
