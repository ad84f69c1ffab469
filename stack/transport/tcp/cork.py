"""Corking: text waits until there is a whole segment of it, as with Linux's TCP_CORK; for LONGEST at most."""

from typing import TYPE_CHECKING, Final

from stack.clock import MILLISECOND, Instant

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection

LONGEST: Final = 200 * MILLISECOND  # tcp(7): "there is a 200 millisecond ceiling"


class Cork:
    """Of one connection; the stack forgets it when it is out and all that it held back has gone."""

    __slots__ = ("_connection", "_timer", "is_in", "yields")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._timer = connection.tcp.timer(Cork._on_timer, self)
        self.is_in = True
        self.yields = False  # what is in the buffer goes now, whole segments or not

    @property
    def holds(self) -> bool:
        """Whether less than a segment has to wait."""
        return self.is_in and not self.yields

    def turn(self, on: bool) -> None:
        """In, or out: what was held back goes at once then, whatever Nagle's rule says."""
        self.is_in = on
        self.yields = not on
        if not on:
            self._timer.disarm()

    def on_held(self, now: Instant) -> None:
        """Less than a segment waits."""
        if self._timer.deadline is None:
            self._timer.arm(now + LONGEST)

    def on_all_sent(self) -> None:
        """Nothing waits any more."""
        self._timer.disarm()
        self.yields = False
        if not self.is_in:
            self._connection.cork = None

    def stop(self) -> None:
        """The connection is over."""
        self._timer.retire()

    def _on_timer(self, now: Instant) -> None:
        self.yields = True
        self._connection.tcp.mark_dirty(self._connection)
