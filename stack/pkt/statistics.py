"""Assertions about a connection, in the names of Linux's TCP_INFO."""

import ast
from collections.abc import Callable, Mapping
from typing import Final

from stack.clock import MICROSECOND
from stack.pkt.syntax import Assertion, ScriptFailure
from stack.transport.tcp.congestion.interface import UNLIMITED
from stack.transport.tcp.recovery import Phase
from stack.transport.tcp.states import State
from stack.transport.tcp.status import ConnectionInfo

_STATES: Final = {
    State.ESTABLISHED: 1, State.SYN_SENT: 2, State.SYN_RECEIVED: 3, State.FIN_WAIT_1: 4, State.FIN_WAIT_2: 5,
    State.TIME_WAIT: 6, State.CLOSED: 7, State.CLOSE_WAIT: 8, State.LAST_ACK: 9, State.LISTEN: 10, State.CLOSING: 11,
}  # fmt: skip
_PHASES: Final = {Phase.OPEN: 0, Phase.RECOVERY: 3, Phase.LOSS: 4}
_INFINITE: Final = 0x7FFF_FFFF  # Linux's ssthresh before the first loss

CONSTANTS: Final = {
    "TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5,
    "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11,
    "TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8,
    "TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4,
}  # fmt: skip


def _segments(info: ConnectionInfo, octets: int) -> int:
    return -(-octets // info.mss)


FIELDS: Final[Mapping[str, Callable[[ConnectionInfo], int]]] = {
    "tcpi_state": lambda info: _STATES[info.state],
    "tcpi_ca_state": lambda info: _PHASES[info.phase],
    "tcpi_options": lambda info: (
        info.timestamps | info.sack << 1 | (info.receive_window_shift > 0) << 2 | info.ecn << 3
    ),
    "tcpi_snd_wscale": lambda info: info.send_window_shift,
    "tcpi_rcv_wscale": lambda info: info.receive_window_shift,
    "tcpi_snd_mss": lambda info: info.mss,
    "tcpi_rto": lambda info: info.rto // MICROSECOND,
    "tcpi_rtt": lambda info: (info.srtt or 0) // MICROSECOND,
    "tcpi_rttvar": lambda info: info.rttvar // MICROSECOND,
    "tcpi_snd_cwnd": lambda info: info.cwnd // info.mss,
    "tcpi_snd_ssthresh": lambda info: _INFINITE if info.ssthresh >= UNLIMITED else info.ssthresh // info.mss,
    "tcpi_unacked": lambda info: _segments(info, info.unacknowledged),
    "tcpi_sacked": lambda info: _segments(info, info.sacked),
    "tcpi_retransmits": lambda info: info.timeouts,
    "tcpi_bytes_retrans": lambda info: info.retransmitted,
    "tcpi_total_retrans": lambda info: _segments(info, info.retransmitted),
    "tcpi_reord_seen": lambda info: info.reordering_seen,
    "tcpi_min_rtt": lambda info: (info.min_rtt or 0) // MICROSECOND,
    "tcpi_delivery_rate": lambda info: info.delivery_rate,
    "tcpi_pacing_rate": lambda info: info.pacing_rate,
    "tcpi_bytes_acked": lambda info: info.acknowledged,
    "tcpi_bytes_received": lambda info: info.received,
    "tcpi_notsent_bytes": lambda info: info.unsent,
    "tcpi_snd_wnd": lambda info: info.send_window,
    "tcpi_rcv_wnd": lambda info: info.receive_window,
}
"""TCP_INFO as far as Connection.info() knows it; durations in microseconds, as there."""


def check(assertion: Assertion, info: ConnectionInfo) -> None:
    """Raise ScriptFailure unless `assertion` holds."""
    names: dict[str, object] = {"__builtins__": {}, **CONSTANTS, **{name: of(info) for name, of in FIELDS.items()}}
    for statement, text in assertion.statements:
        if not _value_of(statement.test, names):
            shown = {each.id: names[each.id] for each in ast.walk(statement) if isinstance(each, ast.Name)}
            raise ScriptFailure(f"{text}\n  actual: {', '.join(f'{name}={value}' for name, value in shown.items())}")


def _value_of(expression: ast.expr, names: dict[str, object]) -> object:
    try:
        # The parser lets through only names, numbers and operators: nothing here can be called.
        return eval(compile(ast.Expression(expression), "assertion", "eval"), names)
    except NameError as error:
        raise ScriptFailure(f"{error}: there are {', '.join(FIELDS)}") from None
    except (TypeError, ZeroDivisionError) as error:
        raise ScriptFailure(f"{ast.unparse(expression)}: {error}") from None
