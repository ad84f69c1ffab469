"""Draws docs/tcp-states.svg from the table of moves in stack/transport/tcp/states.py.

The table says which arrows there are; where they run on the page is laid out here by hand, after figure 5 of RFC 9293.
A move without a place in the layout, or a place without a move, is an error.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from stack.transport.tcp.states import MOVES, Cause, State
from tools import svg
from tools.svg import Point

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "tcp-states.svg"
WIDTH, HEIGHT = 980, 860
BOX: Point = (148, 44)
COMMON = 5  # a cause that ends this many states is written under the picture, not drawn

CENTRES: Mapping[State, Point] = {
    State.CLOSED: (490, 62),
    State.LISTEN: (200, 150),
    State.SYN_RECEIVED: (200, 270),
    State.SYN_SENT: (780, 210),
    State.ESTABLISHED: (490, 370),
    State.FIN_WAIT_1: (200, 480),
    State.CLOSE_WAIT: (780, 480),
    State.FIN_WAIT_2: (200, 640),
    State.CLOSING: (490, 560),
    State.LAST_ACK: (780, 600),
    State.TIME_WAIT: (490, 680),
}
END: Point = (780, 720)  # CLOSED once more, where connections end

# (from, to): the path, the label's place, and how the label is anchored there
LAYOUT: Mapping[tuple[State, State], tuple[str, Point, str]] = {
    (State.CLOSED, State.LISTEN): ("M416 68C330 76 230 84 204 127", (290, 64), "middle"),
    (State.CLOSED, State.SYN_SENT): ("M564 56C690 60 764 100 779 187", (716, 72), "start"),
    (State.SYN_SENT, State.CLOSED): ("M720 188C650 150 580 120 520 85", (648, 172), "end"),
    (State.LISTEN, State.SYN_RECEIVED): ("M200 172V247", (212, 214), "start"),
    (State.SYN_SENT, State.SYN_RECEIVED): ("M706 218C560 236 420 252 275 264", (444, 232), "middle"),
    (State.SYN_RECEIVED, State.ESTABLISHED): ("M258 292C320 320 360 340 415 358", (330, 310), "start"),
    (State.SYN_SENT, State.ESTABLISHED): ("M770 232C740 300 660 344 565 362", (744, 316), "start"),
    (State.SYN_RECEIVED, State.FIN_WAIT_1): ("M180 292V457", (168, 378), "end"),
    (State.ESTABLISHED, State.FIN_WAIT_1): ("M422 392C360 420 300 438 252 457", (356, 440), "start"),
    (State.ESTABLISHED, State.CLOSE_WAIT): ("M558 392C620 420 680 438 728 457", (652, 412), "start"),
    (State.FIN_WAIT_1, State.FIN_WAIT_2): ("M200 502V617", (188, 566), "end"),
    (State.FIN_WAIT_1, State.CLOSING): ("M258 502C310 530 360 544 415 554", (338, 526), "start"),
    (State.FIN_WAIT_2, State.TIME_WAIT): ("M274 650C320 660 360 668 415 674", (322, 686), "middle"),
    (State.CLOSING, State.TIME_WAIT): ("M490 582V657", (502, 624), "start"),
    (State.CLOSE_WAIT, State.LAST_ACK): ("M780 502V577", (792, 544), "start"),
    (State.LAST_ACK, State.CLOSED): ("M780 622V697", (792, 664), "start"),
    (State.TIME_WAIT, State.CLOSED): ("M564 688C610 696 650 704 705 711", (632, 728), "middle"),
}

LOCAL = {Cause.PASSIVE_OPEN, Cause.ACTIVE_OPEN, Cause.CLOSE_CALLED, Cause.ABORTED}
TIMERS = {Cause.TIME_WAIT_OVER, Cause.TIMED_OUT}
WORDS = {Cause.TIME_WAIT_OVER: "2 MSL over", Cause.SYN_ACK_ARRIVED: "SYN-ACK arrived"}


class LayoutError(Exception):
    """The table of moves and the layout are not about the same arrows."""


def state_name(state: State) -> str:
    """As the RFC writes it."""
    return state.name.replace("_", "-")


def cause_name(cause: Cause) -> str:
    """In words, with the names of control bits in capitals."""
    first, *rest = cause.name.split("_")
    shown = first if first in ("SYN", "FIN") else first.lower()
    return WORDS.get(cause, " ".join([shown, *(word.lower() for word in rest)]))


def colour(cause: Cause) -> str:
    """By who decides: we, the peer, or time."""
    return "blue" if cause in LOCAL else "amber" if cause in TIMERS else "green"


def common_causes(moves: Mapping[tuple[State, Cause], State]) -> dict[Cause, list[State]]:
    """The causes that end a connection from (nearly) everywhere, with those states."""
    ends = defaultdict(list)
    for (state, cause), then in moves.items():
        if then is State.CLOSED:
            ends[cause].append(state)
    return {cause: sorted(states) for cause, states in ends.items() if len(states) >= COMMON}


def draw(moves: Mapping[tuple[State, Cause], State] = MOVES) -> str:
    """The picture. Raises LayoutError."""
    common = common_causes(moves)
    arrows: dict[tuple[State, State], list[Cause]] = defaultdict(list)
    for (state, cause), then in moves.items():
        if cause not in common:
            arrows[state, then].append(cause)
    if unplaced := arrows.keys() - LAYOUT.keys():
        pairs = ", ".join(f"{a.name} -> {b.name}" for a, b in sorted(unplaced))
        raise LayoutError(f"tools/draw_states.py: LAYOUT has no path for {pairs}")
    if unused := LAYOUT.keys() - arrows.keys():
        pairs = ", ".join(f"{a.name} -> {b.name}" for a, b in sorted(unused))
        raise LayoutError(f"tools/draw_states.py: LAYOUT has a path for {pairs}, and there is no such move")
    parts = [draw_arrow(pair, causes) for pair, causes in arrows.items()]
    parts += [draw_state(state, at) for state, at in CENTRES.items()]
    parts.append(draw_state(State.CLOSED, END))
    parts += legend(common)
    return svg.document(WIDTH, HEIGHT, "The states of a TCP connection", parts, ("blue", "green", "amber"))


def draw_arrow(pair: tuple[State, State], causes: list[Cause]) -> str:
    """One arrow with its label."""
    d, at, anchor = LAYOUT[pair]
    hue = colour(causes[0])
    words = " or ".join(cause_name(cause) for cause in sorted(causes))
    return svg.path(d, hue) + svg.text(at, words, 12.5, f"f-{hue}", anchor)


def draw_state(state: State, centre: Point) -> str:
    """One box."""
    x, y = centre
    emphasis = "f-green-wash s-green" if state is State.ESTABLISHED else "f-box s-line"
    frame = svg.box((x - BOX[0] / 2, y - BOX[1] / 2), BOX, emphasis)
    return frame + svg.text((x, y + 5), state_name(state), 14, "f-ink b")


def legend(common: Mapping[Cause, list[State]]) -> list[str]:
    """What the colours mean, and the causes that would be an arrow from everywhere."""
    parts = [svg.path(f"M40 776H{WIDTH - 40}", "edge", 1, "none")]
    keys = (("blue", "the application decides"), ("green", "a segment arrives"), ("amber", "a timer fires"))
    for number, (hue, words) in enumerate(keys):
        y = 800 + 20 * number
        parts.append(svg.path(f"M44 {y - 4}H74", hue))
        parts.append(svg.text((84, y), words, 12.5, "f-ink", "start"))
    for number, (cause, states) in enumerate(sorted(common.items())):
        without = [s for s in State if s not in states and s not in (State.CLOSED, State.LISTEN)]
        but = f" but {' and '.join(state_name(s) for s in without)}" if without else ""
        y = 800 + 20 * number
        parts.append(svg.path(f"M344 {y - 4}H374", colour(cause)))
        words = f"{cause_name(cause)}: from every state after LISTEN{but} to CLOSED"
        parts.append(svg.text((384, y), words, 12.5, "f-ink", "start"))
    return parts


if __name__ == "__main__":
    try:
        svg.write(PICTURE, draw())
    except LayoutError as fault:
        sys.exit(str(fault))
