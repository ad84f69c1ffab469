"""Time as an argument: instants, and timers that fire when somebody says what time it is.

Theory. An Instant is an int of nanoseconds on a clock that never goes back (CLOCK_MONOTONIC under a TAP, a counter
in virtual time). TCP re-arms a timer on nearly every segment and lets few of them fire, so arming must cost almost
nothing: a Timer that is re-armed for later keeps its entry in the heap, and the entry is put right only when it
comes to the top. A disarmed timer leaves its entry too; when more than half of the heap is such left-overs they are
swept out, so that a closed connection is not kept alive by a keep-alive timer two hours away.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

Instant: TypeAlias = int  # nanoseconds since an arbitrary origin
Duration: TypeAlias = int  # nanoseconds

MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000

_SWEEP_AT_LEAST = 64


class Timer:
    """One timer of a TimerQueue; `action` gets the instant at which it fires."""

    __slots__ = ("_action", "_entry", "_queue", "deadline")

    def __init__(self, queue: "TimerQueue", action: Callable[[Instant], None]) -> None:
        self._queue = queue
        self._action = action
        self._entry: tuple[Instant, int, Timer] | None = None
        self.deadline: Instant | None = None

    def arm(self, deadline: Instant) -> None:
        """Fire at `deadline`, in place of any earlier arming."""
        entry = self._entry
        if entry is None or deadline < entry[0]:
            self._queue._push(self, deadline)
        elif self.deadline is None:
            self._queue._stale -= 1
        self.deadline = deadline

    def disarm(self) -> None:
        """Do not fire; harmless when not armed."""
        if self.deadline is not None:
            self.deadline = None
            if self._entry is not None:
                self._queue._note_stale()


class TimerQueue:
    """The timers of one host, fired in order of deadline, and of arming where deadlines are equal."""

    __slots__ = ("_heap", "_order", "_stale")

    def __init__(self) -> None:
        self._heap: list[tuple[Instant, int, Timer]] = []
        self._order = 0
        self._stale = 0

    def deadline(self) -> Instant | None:
        """When the next timer fires, or None."""
        heap = self._heap
        while heap:
            entry = heap[0]
            timer = entry[2]
            if timer._entry is not entry or timer.deadline is None:
                heappop(heap)
                self._stale -= 1
                if timer._entry is entry:
                    timer._entry = None
            elif timer.deadline > entry[0]:
                heappop(heap)
                timer._entry = None
                self._push(timer, timer.deadline)
            else:
                return entry[0]
        return None

    def expire(self, now: Instant) -> None:
        """Fire every timer whose deadline is at or before `now`, those armed meanwhile included."""
        while (deadline := self.deadline()) is not None and deadline <= now:
            timer = heappop(self._heap)[2]
            timer._entry = None
            timer.deadline = None
            timer._action(now)

    def __len__(self) -> int:
        """How many timers are armed."""
        return len(self._heap) - self._stale

    def _push(self, timer: Timer, deadline: Instant) -> None:
        replaces = timer._entry is not None and timer.deadline is not None
        self._order += 1
        timer._entry = (deadline, self._order, timer)
        heappush(self._heap, timer._entry)
        if replaces:
            self._note_stale()

    def _note_stale(self) -> None:
        self._stale += 1
        if self._stale > _SWEEP_AT_LEAST and self._stale * 2 > len(self._heap):
            self._sweep()

    def _sweep(self) -> None:
        kept = []
        for entry in self._heap:
            timer = entry[2]
            if timer._entry is not entry:
                continue
            if timer.deadline is None:
                timer._entry = None
            else:
                kept.append(entry)
        self._heap = kept
        heapify(kept)
        self._stale = 0
