"""The states of a TCP connection and every legal move between them (RFC 9293 section 3.3.2, figure 5).

The moves are data. A move that is not listed raises IllegalMove, so a mistake in the segment processing cannot
pass silently, and the diagram in docs/ is drawn from this table.

Two causes need a word. A listener is an object of its own which never leaves LISTEN: the connection that a SYN
makes starts there and moves on. And where RFC 9293 sends a passively opened connection back from SYN-RECEIVED to
LISTEN, the listener is still listening, so the connection itself ends in CLOSED.
"""

from enum import IntEnum
from typing import Final

from stack.errors import IllegalMove


class State(IntEnum):
    """RFC 9293 section 3.3.2."""

    CLOSED = 0
    LISTEN = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    ESTABLISHED = 4
    FIN_WAIT_1 = 5
    FIN_WAIT_2 = 6
    CLOSE_WAIT = 7
    CLOSING = 8
    LAST_ACK = 9
    TIME_WAIT = 10


class Cause(IntEnum):
    """What makes a connection change its state."""

    PASSIVE_OPEN = 0
    ACTIVE_OPEN = 1
    SYN_ARRIVED = 2
    SYN_ACK_ARRIVED = 3
    SYN_ACKED = 4
    CLOSE_CALLED = 5
    FIN_ARRIVED = 6
    FIN_ACKED = 7
    TIME_WAIT_OVER = 8
    RESET_ARRIVED = 9
    ABORTED = 10
    TIMED_OUT = 11


_OPEN_ENDS: Final = (
    State.SYN_SENT,
    State.SYN_RECEIVED,
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
)

MOVES: Final[dict[tuple[State, Cause], State]] = {
    (State.CLOSED, Cause.PASSIVE_OPEN): State.LISTEN,
    (State.CLOSED, Cause.ACTIVE_OPEN): State.SYN_SENT,
    (State.LISTEN, Cause.SYN_ARRIVED): State.SYN_RECEIVED,
    (State.SYN_SENT, Cause.SYN_ARRIVED): State.SYN_RECEIVED,
    (State.SYN_SENT, Cause.SYN_ACK_ARRIVED): State.ESTABLISHED,
    (State.SYN_SENT, Cause.CLOSE_CALLED): State.CLOSED,
    (State.SYN_RECEIVED, Cause.SYN_ACKED): State.ESTABLISHED,
    (State.SYN_RECEIVED, Cause.CLOSE_CALLED): State.FIN_WAIT_1,
    (State.ESTABLISHED, Cause.CLOSE_CALLED): State.FIN_WAIT_1,
    (State.ESTABLISHED, Cause.FIN_ARRIVED): State.CLOSE_WAIT,
    (State.FIN_WAIT_1, Cause.FIN_ACKED): State.FIN_WAIT_2,
    (State.FIN_WAIT_1, Cause.FIN_ARRIVED): State.CLOSING,
    (State.FIN_WAIT_2, Cause.FIN_ARRIVED): State.TIME_WAIT,
    (State.CLOSE_WAIT, Cause.CLOSE_CALLED): State.LAST_ACK,
    (State.CLOSING, Cause.FIN_ACKED): State.TIME_WAIT,
    (State.LAST_ACK, Cause.FIN_ACKED): State.CLOSED,
    (State.TIME_WAIT, Cause.TIME_WAIT_OVER): State.CLOSED,
    (State.TIME_WAIT, Cause.RESET_ARRIVED): State.CLOSED,
    (State.TIME_WAIT, Cause.ABORTED): State.CLOSED,
    **{(state, Cause.RESET_ARRIVED): State.CLOSED for state in _OPEN_ENDS},
    **{(state, Cause.ABORTED): State.CLOSED for state in _OPEN_ENDS},
    **{(state, Cause.TIMED_OUT): State.CLOSED for state in _OPEN_ENDS},
}


def move(state: State, cause: Cause) -> State:
    """The state that `cause` leads to. Raises IllegalMove, naming what was allowed."""
    try:
        return MOVES[state, cause]
    except KeyError:
        allowed = ", ".join(c.name for s, c in MOVES if s is state) or "nothing"
        raise IllegalMove(f"TCP: {cause.name} in state {state.name}, which allows {allowed}") from None
