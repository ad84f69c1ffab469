"""Five segments in every order, with and without SACK: each acknowledgment, its blocks, and the text that comes out.

What is expected is computed here from the text of the RFCs, by a model that knows only which segments have arrived.
"""

from itertools import permutations

import pytest

from stack.pkt.parser import parse
from stack.pkt.runner import run

SIZE = 100
OPENING = """
--tolerance_usecs=0

    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 32792 <{offer}>
   +0 > S. 0:0(0) ack 1 <{answer}>
  +.1 < . 1:1(0) ack 1 win 32792
   +0 accept(3, ..., ...) = 4
"""
OFFERS = {False: ("mss 1000", "mss 1460"), True: ("mss 1000,sackOK,nop,nop", "mss 1460,nop,nop,sackOK")}


class Model:
    """A receiver: RCV.NXT, and what lies beyond it as blocks, the one reported last first (RFC 2018 section 4)."""

    def __init__(self) -> None:
        self.next = 1
        self.blocks: list[tuple[int, int]] = []

    def arrive(self, start: int, end: int) -> bool:
        """Whether the acknowledgment is due at once: there was a gap before, or there is one now (RFC 5681 4.2)."""
        had_gap = bool(self.blocks)
        touching = [block for block in self.blocks if block[0] == end or block[1] == start]
        merged = min([start, *(left for left, _ in touching)]), max([end, *(right for _, right in touching)])
        self.blocks = [merged, *(block for block in self.blocks if block not in touching)]
        if merged[0] == self.next:
            self.next = merged[1]
            self.blocks.remove(merged)
        return had_gap or bool(self.blocks)


def script(order: tuple[int, ...], sack: bool) -> str:
    offer, answer = OFFERS[sack]
    lines = [OPENING.format(offer=offer, answer=answer)]
    model = Model()
    pause = 0.1
    for index in order:
        start, end = 1 + index * SIZE, 1 + (index + 1) * SIZE
        at_once = model.arrive(start, end)
        blocks = " ".join(f"{left}:{right}" for left, right in model.blocks)
        options = f" <nop,nop,sack {blocks}>" if sack and blocks else ""
        lines.append(f"+{pause:.2f} < P. {start}:{end}({SIZE}) ack 1 win 32792")
        lines.append(f"+{0 if at_once else 0.04} > . 1:1(0) ack {model.next}{options}")
        pause = 0.1 if at_once else 0.06
    lines.append(f"+0.1 read(4, ..., 9000) = {5 * SIZE}")
    return "\n".join(lines)


@pytest.mark.parametrize("sack", [False, True], ids=["plain", "sack"])
@pytest.mark.parametrize("order", list(permutations(range(5))), ids=lambda order: "".join(map(str, order)))
def test_five_segments(order: tuple[int, ...], sack: bool) -> None:
    run(parse(script(order, sack), "five"))
