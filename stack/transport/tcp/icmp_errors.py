"""What an ICMP error does to a connection (RFC 1122 4.2.3.9, RFC 5927, RFC 1191).

Anybody can forge one. It counts only when the sequence number that it quotes is outstanding, and it can end a
connection only while that is being opened: a hard error about a synchronized connection is taken as a soft one.
"""

import errno
from typing import TYPE_CHECKING, Final

from stack.clock import Instant
from stack.transport.flow import IcmpReport
from stack.transport.tcp import output
from stack.transport.tcp.sequence import seq_le, seq_lt
from stack.transport.tcp.states import Cause, State
from stack.wire import icmp

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection

_HARD: Final = frozenset({icmp.PROTOCOL_UNREACHABLE, icmp.PORT_UNREACHABLE})  # RFC 1122 4.2.3.9


def on_icmp_error(connection: "Connection", report: IcmpReport, now: Instant) -> None:
    """`report` quotes a segment of `connection`'s flow."""
    sender = connection.sender
    seq = int.from_bytes(report.quoted[4:8], "big")
    if not (seq_le(sender.una, seq) and seq_lt(seq, sender.max)):  # RFC 5927 4.1
        connection.counters["IcmpInQuoteUnmatched"] += 1
        return
    if report.is_local:
        _on_next_hop_unreachable(connection, now)
        return
    if report.type == icmp.TIME_EXCEEDED:
        connection.soft_error = OSError(errno.EHOSTUNREACH, "time to live exceeded on the way to the peer")
    elif report.type == icmp.PARAMETER_PROBLEM:
        connection.soft_error = OSError(errno.EPROTO, "a host on the way found a parameter problem in our header")
    elif report.type != icmp.DESTINATION_UNREACHABLE:
        return
    elif report.code == icmp.FRAGMENTATION_NEEDED:
        _on_fragmentation_needed(connection, report.next_hop_mtu, now)
    elif report.code in _HARD and connection.state is State.SYN_SENT:
        connection.counters["TcpIcmpAborts"] += 1
        refused = ConnectionRefusedError(errno.ECONNREFUSED, "an ICMP message says that nobody listens there")
        connection.finish(Cause.RESET_ARRIVED, refused, now)
    else:
        connection.soft_error = OSError(errno.EHOSTUNREACH, f"destination unreachable (ICMP code {report.code})")


def _on_next_hop_unreachable(connection: "Connection", now: Instant) -> None:
    """The next hop does not answer ARP: fatal while opening, as in Linux; else as a soft error."""
    error = OSError(errno.EHOSTUNREACH, "no route to host: the next hop does not answer")
    if connection.state is State.SYN_SENT:
        connection.finish(Cause.TIMED_OUT, error, now)
    else:
        connection.soft_error = error


def _on_fragmentation_needed(connection: "Connection", mtu: int, now: Instant) -> None:
    if mtu >= connection.path_mtu:  # RFC 5927 7.2: it cannot be about what we send now
        return
    connection.path.reduce_mtu(mtu, connection.path_mtu, now)
    if connection.path.mtu(now) >= connection.path_mtu:
        return
    connection.counters["TcpPmtuReductions"] += 1
    output.on_path_mtu(connection, now)
    # The segment is known to be lost, but not to congestion (RFC 1191 6.4): it goes again at once, cut anew, with
    # what follows it, and cwnd holds as many segments as before.
    connection.sender.go_back()
    connection.tcp.mark_dirty(connection)
