"""Time as an argument: instants, and timers that fire when somebody says what time it is.

Theory. An Instant is an int of nanoseconds on a clock that never goes back (CLOCK_MONOTONIC under a TAP, a counter
in virtual time). TCP re-arms a timer on nearly every segment and lets few of them fire, so arming must cost almost
nothing: a Timer that is re-armed for later keeps its entry in the heap, and the entry is put right only when it
comes to the top. A disarmed timer leaves its entry too; when more than half of the heap is such left-overs they are
swept out, so that a closed connection is not kept alive by a keep-alive timer two hours away.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, Final, TypeAlias, TypeVar

Instant: TypeAlias = int  # nanoseconds since an arbitrary origin
Duration: TypeAlias = int  # nanoseconds

MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000

_SWEEP_AT_LEAST: Final = 1024

_Owner = TypeVar("_Owner")


class Timer:
    """One timer of a TimerQueue; `action` gets the `owner`, and the instant at which it fires.

    A bound method or a closure would say as much, and take another object: there are timers by the ten thousand.
    `_entry` is the number of its entry in the heap, 0 when it has none; `_entry_at` is the instant of that.
    """

    __slots__ = ("_action", "_entry", "_entry_at", "_owner", "_queue", "deadline")

    def __init__(self, queue: "TimerQueue", action: Callable[[_Owner, Instant], None], owner: _Owner) -> None:
        self._queue = queue
        self._action: Callable[[Any, Instant], None] = action
        self._owner: Any = owner
        self._entry = 0
        self._entry_at: Instant = 0
        self.deadline: Instant | None = None

    def arm(self, deadline: Instant) -> None:
        """Fire at `deadline`, in place of any earlier arming."""
        if not self._entry or deadline < self._entry_at:
            self._queue._push(self, deadline)
        elif self.deadline is None:
            self._queue._stale -= 1
        self.deadline = deadline

    def hand_over(self, action: Callable[[_Owner, Instant], None], owner: _Owner) -> None:
        """Be another's timer from now on, armed as it is."""
        self._action = action
        self._owner = owner

    def retire(self) -> None:
        """Do not fire any more, and let go of the owner, which the queue would keep for as long as it has an entry."""
        self.disarm()
        self._action = _do_nothing
        self._owner = None

    def disarm(self) -> None:
        """Do not fire; harmless when not armed."""
        if self.deadline is not None:
            self.deadline = None
            if self._entry:
                self._queue._note_stale()


def _do_nothing(owner: object, now: Instant) -> None:
    """What a retired timer does."""


class TimerQueue:
    """The timers of one host, fired in order of deadline, and of arming where deadlines are equal."""

    __slots__ = ("_heap", "_order", "_stale")

    def __init__(self) -> None:
        self._heap: list[tuple[Instant, int, Timer]] = []
        self._order = 0
        self._stale = 0

    def deadline(self) -> Instant | None:
        """When the next timer fires, or None."""
        while self._heap:
            at = self._heap[0][0]
            if self._is_right():
                return at
        return None

    def expire(self, now: Instant) -> None:
        """Fire every timer whose deadline is at or before `now`, those armed meanwhile included.

        Entries of later instants are left as they are: whoever is busy does not ask for the next deadline, and most
        timers are armed anew before it.
        """
        while self._heap and self._heap[0][0] <= now:
            if self._is_right():
                timer = heappop(self._heap)[2]
                timer._entry = 0
                timer.deadline = None
                timer._action(timer._owner, now)

    def __len__(self) -> int:
        """How many timers are armed."""
        return len(self._heap) - self._stale

    def _is_right(self) -> bool:
        """Whether the top of the heap is an armed timer at its deadline; if not, it is put right."""
        at, number, timer = self._heap[0]
        deadline = timer.deadline if timer._entry == number else None
        if deadline == at:
            return True
        heappop(self._heap)
        if timer._entry == number:
            timer._entry = 0
        if deadline is None:
            self._stale -= 1
        else:
            self._push(timer, deadline)
        return False

    def _push(self, timer: Timer, deadline: Instant) -> None:
        replaces = timer._entry != 0 and timer.deadline is not None
        self._order += 1
        timer._entry, timer._entry_at = self._order, deadline
        heappush(self._heap, (deadline, self._order, timer))
        if replaces:
            self._note_stale()

    def _note_stale(self) -> None:
        self._stale += 1
        if self._stale > _SWEEP_AT_LEAST and self._stale * 2 > len(self._heap):
            self._sweep()

    def _sweep(self) -> None:
        kept = []
        for entry in self._heap:
            _, number, timer = entry
            if timer._entry != number:
                continue
            if timer.deadline is None:
                timer._entry = 0
            else:
                kept.append(entry)
        self._heap = kept
        heapify(kept)
        self._stale = 0
