"""What a host tells its applications.

An event is not a message but a condition, as with epoll: a subject (a connection, a listener, a UDP socket) that has
something to say stands in the queue once, with the union of what happened to it since it was last asked. So the
queue is bounded by the number of subjects, however fast the network is.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from stack.clock import Instant

ACCEPTABLE: Final = 1  # a listener has a connection to accept
ESTABLISHED: Final = 2  # an active open has succeeded
READABLE: Final = 4  # there are octets or a datagram to read
WRITABLE: Final = 8  # a write that came up short can go on
END_OF_STREAM: Final = 16  # the peer has sent its FIN; after what is readable there is nothing more
URGENT: Final = 64  # the peer says that something is urgent, or more of it; connection.urgent_left says how much
CLOSED: Final = 32  # the connection is over, in order or by `connection.error`; nothing follows

Handler: TypeAlias = Callable[[int, Instant], None]


class Subject:
    """What events can be about; `handler` is called with their kinds, and the instant."""

    __slots__ = ("handler", "pending_events")

    def __init__(self) -> None:
        self.handler: Handler | None = None
        self.pending_events = 0


class EventQueue:
    """The subjects that have something to say, each once, in order of their first event."""

    __slots__ = ("_subjects",)

    def __init__(self) -> None:
        self._subjects: list[Subject] = []

    def post(self, subject: Subject, kinds: int) -> None:
        """Add `kinds` (a union of the constants above) to what is pending for `subject`."""
        if not subject.pending_events:
            self._subjects.append(subject)
        subject.pending_events |= kinds

    def take(self) -> list[tuple[Subject, int]]:
        """Everything pending, which is then pending no longer."""
        subjects, self._subjects = self._subjects, []
        events = []
        for subject in subjects:
            events.append((subject, subject.pending_events))
            subject.pending_events = 0
        return events

    def __len__(self) -> int:
        return len(self._subjects)
