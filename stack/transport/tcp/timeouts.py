"""What happens when a timer of a connection fires (RFC 9293 section 3.10.8, RFC 6298 section 5)."""

import errno
from typing import TYPE_CHECKING

from stack.clock import Duration, Instant
from stack.transport.tcp import output
from stack.transport.tcp.states import Cause, State
from stack.transport.tcp.user_timeout import keep_alive_idle

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection


def on_retransmit(connection: "Connection", now: Instant) -> None:
    """The retransmission timer: for a SYN, as the persist timer, or for data and FIN."""
    sender = connection.sender
    if connection.probing:
        _on_persist(connection, now)
        return
    tail = connection.tail_timer
    if tail is not None and tail.deadline is not None and tail.deadline <= now:
        tail.disarm()  # RFC 8985 7.2: a probe that falls due with the timeout goes in its place
        on_tail(connection, now)
        return
    if now >= give_up_at(connection):
        _time_out(connection, now)
        return
    connection.counters["TcpExtTCPTimeouts"] += 1
    if sender.una == sender.iss:
        sender.retransmissions += 1
        sender.rtt.back_off()
        output.send_syn(connection, now)
        connection.retransmit.arm(connection.retransmission_deadline(now))
    else:
        sender.on_timeout(now)
        schedule_loss_timers(connection, None, now)
        output.retransmit_first(connection, now)
        output.transmit(connection, now)
        if connection.retransmit.deadline is None:
            connection.retransmit.arm(connection.retransmission_deadline(now))
    if sender.retransmissions == connection.config.retransmit_r1:
        connection.path.doubt(now)


def schedule_loss_timers(connection: "Connection", again: Instant | None, now: Instant) -> None:
    """After an acknowledgment: RACK looks for losses `again`, or a tail loss probe follows (RFC 8985 7.2)."""
    timer = connection.reordering_timer
    if again is not None:
        if timer is None:
            timer = connection.reordering_timer = connection.tcp.timer(on_reordering, connection)
        timer.arm(again)
    elif timer is not None:
        timer.disarm()
    connection.schedule_tail_probe(now)


def on_reordering(connection: "Connection", now: Instant) -> None:
    """RACK's reordering timer (RFC 8985 6.3): what is only late has had its time."""
    sender = connection.sender
    sender.begin_ack(now)
    sample = sender.finish_ack(None)
    again = sender.recovery.on_reordering_timer(sample, sender.rtt.srtt, sender.congestion)
    schedule_loss_timers(connection, again, now)
    connection.tcp.mark_dirty(connection)


def on_tail(connection: "Connection", now: Instant) -> None:
    """The probe timer (RFC 8985 7.3): the tail of the flight has not been answered."""
    sender = connection.sender
    if sender.board.pipe:
        if sender.recovery.may_probe_tail:
            output.send_tail_probe(connection, now)
        connection.retransmit.arm(connection.retransmission_deadline(now))


def on_pace(connection: "Connection", now: Instant) -> None:
    """What pacing has held back may go."""
    connection.tcp.mark_dirty(connection)


def give_up_at(connection: "Connection") -> Instant:
    """R2 (RFC 9293 3.8.3): when what is outstanding has been outstanding for too long."""
    config = connection.config
    limit: Duration | None
    if connection.state is State.SYN_SENT:
        limit = config.syn_timeout
    elif connection.state is State.SYN_RECEIVED:
        limit = config.syn_received_timeout
    else:
        limit = config.user_timeout
    return connection.sender.progress_at + limit if limit is not None else 1 << 100


def start_linger(connection: "Connection", duration: Duration, now: Instant) -> None:
    """Arm the timer that ends what nobody waits for: TIME-WAIT, and a closed connection that does not get on."""
    if connection.linger is None:
        connection.linger = connection.tcp.timer(on_linger, connection)
    connection.linger.arm(now + duration)


def on_progress(connection: "Connection", now: Instant) -> None:
    """The peer of a closed connection has acknowledged something new: it may go on."""
    if connection.state not in (State.FIN_WAIT_2, State.TIME_WAIT) and not connection.is_lingering:
        end = connection.released_at + connection.config.orphan_lifetime
        start_linger(connection, min(connection.config.orphan_timeout, end - now), now)


def start_keep_alive(connection: "Connection", now: Instant) -> None:
    """Probe after silence from now on (RFC 9293 3.8.4)."""
    if connection.state not in (State.TIME_WAIT, State.CLOSED):
        if connection.keep_alive_timer is None:
            connection.keep_alive_timer = connection.tcp.timer(_on_keep_alive, connection)
        connection.keep_alive_timer.arm(now + keep_alive_idle(connection))


def stop_keep_alive(connection: "Connection") -> None:
    """Probe no more."""
    if connection.keep_alive_timer is not None:
        connection.keep_alive_timer.retire()
        connection.keep_alive_timer = None


def _on_keep_alive(connection: "Connection", now: Instant) -> None:
    """The keep-alive timer: probe, wait, or give up (RFC 9293 3.8.4)."""
    timer, config = connection.keep_alive_timer, connection.config
    if timer is None:
        return
    idle = keep_alive_idle(connection)
    idle_until = connection.heard_at + idle
    if connection.state in (State.SYN_SENT, State.SYN_RECEIVED) or connection.sender.flight:
        timer.arm(now + idle)
    elif now < idle_until:
        timer.arm(idle_until)
    elif connection.keep_alive_probes >= config.keep_alive_probes:
        connection.counters["TcpKeepAliveTimeouts"] += 1
        output.send_reset(connection, now)
        connection.finish(Cause.TIMED_OUT, TimeoutError(errno.ETIMEDOUT, "keep-alive probes went unanswered"), now)
    else:
        connection.keep_alive_probes += 1
        output.send_keep_alive(connection, now)
        timer.arm(now + config.keep_alive_interval)


def _on_persist(connection: "Connection", now: Instant) -> None:
    # The window may stay closed for as long as the peer answers (RFC 9293 MUST-37); a peer that does not is dead.
    sender = connection.sender
    timeout = connection.config.user_timeout
    if timeout is not None and now - max(connection.heard_at, sender.progress_at) >= timeout:
        _time_out(connection, now)
        return
    output.send_probe(connection, now)
    sender.probes += 1
    connection.retransmit.arm(now + min(sender.rtt.rto << min(sender.probes, 16), connection.config.maximum_rto))


def _time_out(connection: "Connection", now: Instant) -> None:
    error = connection.soft_error or TimeoutError(errno.ETIMEDOUT, "the peer did not acknowledge in time")
    if connection.state not in (State.SYN_SENT, State.SYN_RECEIVED):
        connection.counters["TcpExtTCPAbortOnTimeout"] += 1
    connection.finish(Cause.TIMED_OUT, error, now)


def on_linger(connection: "Connection", now: Instant) -> None:
    """TIME-WAIT is over, or nobody waits for this connection any longer."""
    if connection.state is State.TIME_WAIT:
        connection.finish(Cause.TIME_WAIT_OVER, None, now)
        return
    connection.counters["TcpOrphansAborted"] += 1
    if connection.state is State.FIN_WAIT_2:
        connection.finish(Cause.TIMED_OUT, None, now)
    else:
        connection.abort(now)
