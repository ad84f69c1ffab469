"""What waits before a link's transmitter, and what is dropped or marked there.

DropTail and CoDel are values, to be written into a LinkProfile; a link makes itself a queue of them. Both hold the
frames in order; they differ in when they say that there are too many. DropTail looks at the length when a frame
comes, CoDel at the time that a frame has waited when it goes.
"""

from collections import deque
from dataclasses import dataclass
from math import isqrt
from typing import Final, TypeAlias

from stack.clock import MILLISECOND, Duration, Instant
from stack.errors import ConfigurationError
from stack.virtual.ecn import marked

_REMEMBERED: Final = 16  # intervals after which CoDel begins anew (RFC 8289 5.5)


@dataclass(frozen=True, slots=True)
class DropTail:
    """First in, first out, and what does not fit any more is dropped. None: no limit."""

    octets: int | None = 256 << 10
    packets: int | None = None
    mark_above: int | None = None  # octets from which on those who speak ECN are marked, as RFC 8257 3.1 wants it

    def __post_init__(self) -> None:
        _check_limits(self)

    def make(self) -> "Queue":
        """An empty queue of this kind."""
        return Queue(self)


@dataclass(frozen=True, slots=True)
class CoDel:
    """Controlled delay (RFC 8289): drops until frames no longer wait for more than `target` all the time."""

    target: Duration = 5 * MILLISECOND
    interval: Duration = 100 * MILLISECOND  # about the longest round trip of those who share the link
    ecn: bool = False  # mark those who speak ECN, in place of dropping
    octets: int | None = 4 << 20
    packets: int | None = None

    def __post_init__(self) -> None:
        _check_limits(self)
        if not 0 < self.target < self.interval:
            raise ConfigurationError(
                f"CoDel's target of {self.target} ns is not within its interval of {self.interval} ns"
            )

    def make(self) -> "Queue":
        """An empty queue of this kind."""
        return CoDelQueue(self)


QueueModel: TypeAlias = DropTail | CoDel


class Queue:
    """Frames in order, within limits."""

    def __init__(self, model: QueueModel) -> None:
        self.octets = 0
        self.overflows = 0  # frames dropped because the queue was full
        self.drops = 0  # frames dropped although it was not
        self.marks = 0
        self.most_octets = 0
        self._most = (model.octets, model.packets)
        self._mark_above = model.mark_above if isinstance(model, DropTail) else None
        self.frames: deque[tuple[Instant, bytes]] = deque()  # and since when each has been waiting

    def put(self, frame: bytes, now: Instant) -> None:
        """A frame comes, and stays or is dropped."""
        octets = self.octets + len(frame)
        most_octets, most_packets = self._most
        if (most_octets is not None and octets > most_octets) or (
            most_packets is not None and len(self.frames) >= most_packets
        ):
            self.overflows += 1
            return
        if self._mark_above is not None and octets > self._mark_above:
            frame = self._marked(frame) or frame
        self.frames.append((now, frame))
        self.octets = octets
        if octets > self.most_octets:
            self.most_octets = octets

    def take(self, now: Instant) -> bytes:
        """The next frame to be sent; there must be one."""
        frame = self.frames.popleft()[1]
        self.octets -= len(frame)
        return frame

    def _marked(self, frame: bytes) -> bytes | None:
        """`frame` with CE; None where that cannot be."""
        changed = marked(frame)
        if changed is not None and changed is not frame:
            self.marks += 1
        return changed


class CoDelQueue(Queue):
    """RFC 8289 section 5, with its names; integers only, so that every machine drops the same frames."""

    def __init__(self, model: CoDel) -> None:
        super().__init__(model)
        self._target = model.target
        self._interval = model.interval
        self._ecn = model.ecn
        self._maxpacket = 0
        self._first_above_time: Instant | None = None
        self._drop_next: Instant = 0
        self._dropping = False
        self._count = self._lastcount = 0

    def take(self, now: Instant) -> bytes:
        """The next frame to be sent; those before it that have to go are dropped, the last of all never."""
        frame, ok_to_drop = self._dodequeue(now)
        if self._dropping:
            self._dropping = ok_to_drop
            while self._dropping and now >= self._drop_next:
                self._count += 1
                if self._ecn and (changed := self._marked(frame)) is not None:
                    self._drop_next = self._control_law(self._drop_next)
                    return changed
                self.drops += 1
                frame, self._dropping = self._dodequeue(now)
                if self._dropping:
                    self._drop_next = self._control_law(self._drop_next)
        elif ok_to_drop:
            if self._ecn and (changed := self._marked(frame)) is not None:
                frame = changed
            else:
                self.drops += 1
                frame, _ = self._dodequeue(now)
            self._begin_dropping(now)
        return frame

    def _begin_dropping(self, now: Instant) -> None:
        self._dropping = True
        # Where dropping has ended only just now, its rate is taken up again instead of being searched for anew.
        delta = self._count - self._lastcount
        recently = now - self._drop_next < _REMEMBERED * self._interval
        self._count = delta if delta > 1 and recently else 1
        self._drop_next = self._control_law(now)
        self._lastcount = self._count

    def _dodequeue(self, now: Instant) -> tuple[bytes, bool]:
        """The oldest frame, and whether frames have waited too long for an interval."""
        since, frame = self.frames.popleft()
        self.octets -= len(frame)
        self._maxpacket = max(self._maxpacket, len(frame))
        if now - since < self._target or self.octets <= self._maxpacket:
            self._first_above_time = None
        elif self._first_above_time is None:
            self._first_above_time = now + self._interval
        else:
            return frame, now >= self._first_above_time
        return frame, False

    def _control_law(self, instant: Instant) -> Instant:
        """interval / sqrt(count) later."""
        return instant + isqrt(self._interval * self._interval // self._count)


def _check_limits(model: QueueModel) -> None:
    for name in ("octets", "packets"):
        limit = getattr(model, name)
        if limit is not None and limit <= 0:
            raise ConfigurationError(f"a queue holds a positive number of {name}, not {limit}")
