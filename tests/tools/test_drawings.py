"""The drawings of docs/ are what the tools draw today."""

from pathlib import Path

import pytest

from stack.transport.tcp.states import MOVES, Cause, State
from tools import draw_layers, draw_states

pytestmark = pytest.mark.tools

DRAWINGS = [
    ("tools/draw_states", draw_states.PICTURE, draw_states.draw),
    ("tools/draw_layers", draw_layers.PICTURE, draw_layers.draw),
]


@pytest.mark.parametrize(("tool", "picture", "draw"), DRAWINGS, ids=[tool for tool, _, _ in DRAWINGS])
def test_the_committed_drawing_is_fresh(tool: str, picture: Path, draw) -> None:
    assert picture.read_text() == draw(), f"docs/{picture.name} is stale: run {tool}"


def test_a_move_without_a_place_is_an_error():
    moves = {**MOVES, (State.LISTEN, Cause.ACTIVE_OPEN): State.SYN_SENT}
    with pytest.raises(draw_states.LayoutError, match="no path for LISTEN -> SYN_SENT"):
        draw_states.draw(moves)


def test_a_place_without_a_move_is_an_error():
    moves = {pair: then for pair, then in MOVES.items() if pair != (State.CLOSING, Cause.FIN_ACKED)}
    with pytest.raises(draw_states.LayoutError, match="CLOSING -> TIME_WAIT, and there is no such move"):
        draw_states.draw(moves)


def test_every_state_is_drawn_and_every_cause_named():
    drawing = draw_states.draw()
    for state in State:
        assert f">{draw_states.state_name(state)}<" in drawing
    for cause in Cause:
        assert draw_states.cause_name(cause) in drawing
