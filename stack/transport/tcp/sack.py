"""Selective acknowledgments that arrive (RFC 2018 section 5, RFC 2883 section 4)."""

from typing import TYPE_CHECKING

from stack.transport.tcp.sequence import seq_diff
from stack.wire.tcp import Segment

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection


def take_blocks(connection: "Connection", seg: Segment) -> int:
    """Note on the scoreboard what `seg` says that the peer has; returns how many octets it has received twice."""
    sender = connection.sender
    board = sender.board
    acknowledged = sender.offset_of(seg.ack)
    dsacked = 0
    blocks = seg.options.sack_blocks
    for index, (left, right) in enumerate(blocks):
        length = seq_diff(right, left)
        start = sender.offset_of(left)
        end = start + length
        if length <= 0 or start < 0 or end > board.end:
            connection.counters["TcpExtTCPSACKDiscard"] += 1  # nothing that we ever sent
        elif not index and (end <= acknowledged or _is_within(blocks, left, right)):
            connection.counters["TcpExtTCPDSACKRecv"] += 1
            dsacked = length
        elif end > board.una:
            board.on_sack(max(start, board.una), end)
    return dsacked


def _is_within(blocks: tuple[tuple[int, int], ...], left: int, right: int) -> bool:
    """Whether the second block contains the first, which is then a duplicate one (RFC 2883 section 4.2)."""
    return len(blocks) > 1 and seq_diff(left, blocks[1][0]) >= 0 and seq_diff(blocks[1][1], right) >= 0
