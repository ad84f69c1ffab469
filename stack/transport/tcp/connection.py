"""One connection: its variables, and the calls of its user (RFC 9293 sections 3.3.1 and 3.9.1).

What happens when a segment arrives is in arrives.py and handshake.py, when something is sent in output.py, when a
timer fires in timeouts.py: each a set of functions over a Connection, which is the one owner of every variable.
"""

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stack.clock import Duration, Instant, Timer
from stack.config import TcpConfig, check_dscp
from stack.counters import Counters
from stack.events import CLOSED, WRITABLE, Subject
from stack.octets import Octets
from stack.transport.flow import FlowKey, Path
from stack.transport.tcp import output, timeouts
from stack.transport.tcp.cork import Cork
from stack.transport.tcp.receiver import Receiver
from stack.transport.tcp.scoreboard import Scoreboard
from stack.transport.tcp.sender import Sender
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import Cause, State, move
from stack.transport.tcp.status import ConnectionInfo, status_of
from stack.transport.tcp.timestamps import Timestamps
from stack.transport.tcp.urgent import Urgency
from stack.transport.tcp.user_timeout import UserTimeoutOption

if TYPE_CHECKING:
    from stack.transport.tcp.listener import Listener
    from stack.transport.tcp.protocol import Tcp

SYNCHRONIZED = frozenset(State) - {State.CLOSED, State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED}
_RECEIVING = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})
_RESET_ON_ABORT = (SYNCHRONIZED - {State.TIME_WAIT, State.LAST_ACK, State.CLOSING}) | {State.SYN_RECEIVED}
_NOT_OPEN = "the connection is closed"
_SENDING = frozenset({State.ESTABLISHED, State.CLOSE_WAIT, State.SYN_SENT, State.SYN_RECEIVED})


class Connection(Subject):
    """The transmission control block.

    `handler` is called with the kinds of events (stack.events) and the instant; `application` is its to use.
    `error` says how the connection ended when that was not in order, `soft_error` what the network complained of.
    """

    __slots__ = (
        "ack_now", "application", "challenges", "challenges_since", "config", "cork", "counters", "delayed_ack",
        "ds_field", "ecn", "error", "heard_at", "is_dirty", "is_lingering", "is_released",
        "keep_alive_probes", "keep_alive_timer", "key", "linger", "listener", "nodelay", "pace_timer", "path",
        "path_mtu", "peer_mss", "probing", "received_tos", "receiver", "released_at",
        "reordering_timer", "retransmit", "sack", "scaling", "sender", "soft_error", "state", "tail_timer", "tcp",
        "timestamps", "urgency", "user_timeout_option", "wants_to_write",
    )  # fmt: skip

    def __init__(self, tcp: "Tcp", key: FlowKey, path: Path, config: TcpConfig, iss: int, now: Instant) -> None:
        super().__init__()
        self.tcp = tcp
        self.key = key
        self.path = path
        self.config = config
        self.counters: Counters = tcp.counters
        self.state = State.CLOSED
        self.path_mtu = path.mtu(now)
        mss = output.announced_mss(path, config)
        self.peer_mss = mss  # until the peer's SYN says
        board = Scoreboard(config.scoreboard_records, tcp.delivered)
        self.sender = Sender(config, iss, mss, tcp.memory, board, tcp.sample, now)
        self.receiver = Receiver(config, mss, tcp.memory)
        self.scaling = config.window_scaling  # offered, and after the handshake: agreed on
        self.sack = config.sack  # likewise
        self.ecn = False  # asked for, and after the handshake: agreed on
        self.timestamps: Timestamps | None = None  # offered, and after the handshake: agreed on
        self.listener: Listener | None = None  # whose SYN queue or accept queue this connection is in
        self.nodelay = not config.nagle
        self.ds_field = config.dscp << 2  # with the two bits of ECN cleared (RFC 2474 3, RFC 3168 5)
        self.received_tos = 0  # of the last segment that was acceptable
        self.cork: Cork | None = None  # while text is to wait for a whole segment of it
        self.user_timeout_option = UserTimeoutOption(config) if config.user_timeout_option else None
        self.urgency: Urgency | None = None  # once there is something urgent
        self.error: OSError | None = None
        self.soft_error: OSError | None = None
        self.application: Any = None
        self.is_dirty = False  # in Tcp's list of connections that may have something to send
        self.is_released = False  # close() was called: nobody reads or writes any more
        self.released_at: Instant = now
        self.is_lingering = False  # and somebody waits until the peer has acknowledged everything
        self.wants_to_write = False  # a write came up short
        self.ack_now = False
        self.probing = False  # the retransmission timer is the persist timer now
        self.challenges = 0
        self.challenges_since: Instant = now
        self.heard_at = now
        self.keep_alive_probes = 0
        self.retransmit = tcp.timer(timeouts.on_retransmit, self)
        self.delayed_ack: Timer | None = None  # this and the others are made when they are needed first
        self.tail_timer: Timer | None = None
        self.reordering_timer: Timer | None = None
        self.pace_timer: Timer | None = None
        self.linger: Timer | None = None
        self.keep_alive_timer: Timer | None = None

    # What the user asks

    @property
    def readable(self) -> int:
        """Octets that can be read now."""
        return len(self.receiver.buffer)

    @property
    def writable(self) -> int:
        """Octets that write() would take now."""
        if self.state not in _SENDING or self.is_released:
            return 0
        return self._room()

    @property
    def urgent_left(self) -> int:
        """Octets still to be read up to the last one that the peer calls urgent, arrived or not; 0: none."""
        return 0 if self.urgency is None else self.urgency.left(self.receiver.unread)

    @property
    def dscp(self) -> int:
        """The differentiated services codepoint of what is sent from now on, 0 to 63. Raises ValueError."""
        return self.ds_field >> 2

    @dscp.setter
    def dscp(self, codepoint: int) -> None:
        check_dscp(codepoint)
        self.ds_field = codepoint << 2

    @property
    def at_end_of_stream(self) -> bool:
        """Whether the peer's FIN has arrived and everything before it has been read."""
        return self.receiver.has_finished and not self.receiver.buffer

    def write(self, data: Octets, now: Instant, urgent: bool = False) -> int:
        """SEND: take as much of `data` as there is room for; the rest waits for WRITABLE.

        `urgent`: the peer is told at once that there is something to hurry to, up to the last octet that is taken.
        Raises the connection's error, BrokenPipeError after shutdown(), OSError(ENOTCONN) before it is opened.
        """
        self._check_open()
        if self.state not in _SENDING:
            raise BrokenPipeError(errno.EPIPE, "cannot write: this side of the connection is shut down")
        room = self._room()
        taken = len(data)
        if taken > room:
            taken = room
            self.wants_to_write = True
            data = memoryview(data)[:taken]
        self.sender.buffer.append(data)
        if urgent and taken:
            if self.urgency is None:
                self.urgency = Urgency()
            self.urgency.on_write((self.sender.base + len(self.sender.buffer)) & MASK)
            if self.state in SYNCHRONIZED:
                self.ack_now = True  # it is said even where the octets have to wait
        self.tcp.mark_dirty(self)
        return taken

    def read(self, limit: int, now: Instant) -> bytes:
        """RECEIVE: up to `limit` octets; b"" when there are none (see at_end_of_stream).

        Raises the connection's error, once what arrived before it has been read, and unless that ended with a FIN.
        """
        data = b""
        if self._has_something_to_read():
            data = self.receiver.buffer.read(limit)
            self._on_read(len(data), now)
        return data

    def read_into(self, buffer: memoryview, now: Instant) -> int:
        """As read(), into `buffer`, which is of octets and can be written to; returns how many octets that were."""
        count = 0
        if self._has_something_to_read():
            count = self.receiver.buffer.read_into(buffer)
            self._on_read(count, now)
        return count

    def _has_something_to_read(self) -> bool:
        if self.receiver.buffer.size:
            return True
        if self.error is not None and not self.receiver.has_finished:
            raise self.error
        return False

    def _on_read(self, count: int, now: Instant) -> None:
        """`count` octets are the application's: its window may open."""
        receiver = self.receiver
        receiver.on_read(count, self.sender.recovery.rack.min_rtt or 0, now)
        if self.urgency is not None:
            self.urgency.on_read(receiver.unread)
        if self.state in _RECEIVING and receiver.wants_to_update():
            self.ack_now = True
            self.tcp.mark_dirty(self)

    def shutdown(self, now: Instant) -> None:
        """CLOSE of RFC 9293 3.9.1.4: no more will be written; a FIN follows what was. Raises OSError(ENOTCONN)."""
        if self.state is State.CLOSED:
            raise OSError(errno.ENOTCONN, _NOT_OPEN)
        if self.state not in _SENDING:
            return
        if self.state is State.SYN_SENT:
            self.finish(Cause.CLOSE_CALLED, None, now)
            return
        self.sender.fin_queued = True
        if self.cork is not None:
            self.cork.turn(False)
        self.wants_to_write = False
        if self.state is not State.SYN_RECEIVED or not self.sender.buffer:
            self.move(Cause.CLOSE_CALLED, now)
        self.tcp.mark_dirty(self)

    def close(self, now: Instant, linger: Duration | None = None) -> None:
        """Let go of the connection: shut down, or reset when the peer's octets would be lost (RFC 2525 2.17).

        `linger` is SO_LINGER's: with 0 it is reset; with more, the peer has so long to acknowledge everything, and
        then it is reset; CLOSED tells when either has happened, `error` which. Without, nobody is told.
        """
        if self.is_released:
            return
        self.is_released = True
        self.released_at = now
        if not linger:
            self.handler = None
        if self.state is State.CLOSED:
            return
        if self.receiver.buffer or self.receiver.has_gap or linger == 0:
            self.receiver.discard()
            self.abort(now)
            return
        self.is_lingering = linger is not None
        self.shutdown(now)
        if self.state is State.FIN_WAIT_2:
            self.is_lingering = False
            timeouts.start_linger(self, self.config.fin_wait_2_timeout, now)
        elif self.state not in (State.CLOSED, State.TIME_WAIT):
            timeouts.start_linger(self, self.config.orphan_timeout if linger is None else linger, now)
        if self.state not in (State.CLOSED, State.TIME_WAIT):
            self.tcp.orphaned(self, now)
        self.tcp.mark_dirty(self)  # in TIME-WAIT, it may rest now

    def abort(self, now: Instant) -> None:
        """ABORT of RFC 9293 3.9.1.5: forget everything and tell the peer with a reset."""
        if self.state is State.CLOSED:
            return
        if self.state in _RESET_ON_ABORT:
            output.send_reset(self, now)
        self.finish(Cause.ABORTED, ConnectionAbortedError(errno.ECONNABORTED, "the connection was aborted here"), now)

    def set_cork(self, on: bool, now: Instant) -> None:
        """Let text wait for a whole segment of it, 200 ms at most; or let go at once what has waited."""
        if on and self.cork is None:
            self.cork = Cork(self)
        elif self.cork is not None:
            self.cork.turn(on)
            self.tcp.mark_dirty(self)

    def set_user_timeout(self, timeout: Duration | None, now: Instant) -> None:
        """Give up when text is not acknowledged for so long (RFC 9293 3.9.1.8); None: never. The peer may be told."""
        self.config = replace(self.config, user_timeout=timeout)
        if self.user_timeout_option is not None:
            self.user_timeout_option.on_choice(timeout, self.config)
            self.ack_now |= self.state in SYNCHRONIZED
            self.tcp.mark_dirty(self)
        deadline = self.retransmit.deadline
        if deadline is not None and not self.probing:
            self.retransmit.arm(min(deadline, max(timeouts.give_up_at(self), now + 1)))

    def set_keep_alive(
        self,
        enabled: bool,
        now: Instant,
        *,
        idle: Duration | None = None,
        interval: Duration | None = None,
        probes: int | None = None,
    ) -> None:
        """Switch keep-alive probes on or off (RFC 9293 3.8.4), and change what the connection's config says of them."""
        config = self.config
        self.config = replace(
            config,
            keep_alive_idle=config.keep_alive_idle if idle is None else idle,
            keep_alive_interval=config.keep_alive_interval if interval is None else interval,
            keep_alive_probes=config.keep_alive_probes if probes is None else probes,
        )
        timeouts.start_keep_alive(self, now) if enabled else timeouts.stop_keep_alive(self)

    def info(self) -> ConnectionInfo:
        """The STATUS call of RFC 9293 3.9.1.6."""
        return status_of(self)

    def __repr__(self) -> str:
        return f"<Connection {self.key} {self.state.name}>"

    # What the protocol does

    def move(self, cause: Cause, now: Instant) -> None:
        """Change the state; the only place where it changes."""
        self.state = move(self.state, cause)
        if self.state is State.ESTABLISHED and self.config.keep_alive:
            self.set_keep_alive(True, now)
        if self.state is State.TIME_WAIT:
            self.stop_timers()
            timeouts.start_linger(self, 2 * self.config.maximum_segment_lifetime, now)
            self.tcp.entered_time_wait(self)
            self.post(CLOSED)
        elif self.state is State.FIN_WAIT_2 and self.is_released:
            self.post(CLOSED)  # to one who lingers: everything has been acknowledged
            timeouts.start_linger(self, self.config.fin_wait_2_timeout, now)

    def finish(self, cause: Cause, error: OSError | None, now: Instant) -> None:
        """End in CLOSED: stop the timers, let the tables forget the connection, tell the user."""
        was_over = self.state is State.TIME_WAIT
        if self.state in (State.SYN_SENT, State.SYN_RECEIVED) and cause is not Cause.CLOSE_CALLED:
            self.counters["TcpAttemptFails"] += 1
        elif self.state in (State.ESTABLISHED, State.CLOSE_WAIT):
            self.counters["TcpEstabResets"] += 1
        self.move(cause, now)
        self.error = error
        self.ack_now = False  # a connection that is over acknowledges nothing any more
        self.stop_timers()
        self.sender.buffer.clear()
        if cause is Cause.ABORTED:
            self.receiver.discard()
        else:
            self.receiver.drop_out_of_order()
            self.receiver.buffer.disown()
        self.tcp.forget(self, now)
        if not was_over:
            self.post(CLOSED)

    def stop_timers(self) -> None:
        """Nothing happens by itself any more."""
        for timer in (
            self.retransmit, self.delayed_ack, self.tail_timer, self.reordering_timer, self.pace_timer, self.linger,
            self.keep_alive_timer,
        ):  # fmt: skip
            if timer is not None:
                timer.retire()
        self.delayed_ack = self.tail_timer = self.reordering_timer = self.pace_timer = None
        self.linger = self.keep_alive_timer = None
        if self.cork is not None:
            self.cork.stop()

    def post(self, kinds: int) -> None:
        """Tell the user, if anybody still holds the connection."""
        if self.listener is None and (not self.is_released or (self.is_lingering and kinds & CLOSED)):
            self.is_lingering = False
            self.tcp.events.post(self, kinds)

    def retransmission_deadline(self, now: Instant) -> Instant:
        """When to retransmit, or to give up if that is earlier."""
        at = now + self.sender.rtt.rto
        end = timeouts.give_up_at(self)
        return at if at < end else max(end, now + 1)

    def schedule_tail_probe(self, now: Instant) -> None:
        """Probe when the tail of the flight stays unanswered for two round trips."""
        sender, timer = self.sender, self.tail_timer
        if sender.board.pipe and sender.recovery.may_probe_tail:
            if timer is None:
                timer = self.tail_timer = self.tcp.timer(timeouts.on_tail, self)
            at = now + sender.tail_probe_timeout()
            timeout = self.retransmit.deadline
            timer.arm(at if timeout is None or at < timeout else timeout)
        elif timer is not None and timer.deadline is not None:
            timer.disarm()

    def pace(self, at: Instant) -> None:
        """Go on sending at `at`."""
        if self.pace_timer is None:
            self.pace_timer = self.tcp.timer(timeouts.on_pace, self)
        self.pace_timer.arm(at)

    def on_room(self) -> None:
        """Octets were acknowledged: a short write can go on once half of the buffer is free."""
        if self.wants_to_write and 2 * len(self.sender.buffer) <= self.sender.capacity:
            self.wants_to_write = False
            self.post(WRITABLE)

    def _room(self) -> int:
        sender, memory = self.sender, self.tcp.memory
        held = sender.buffer.end - sender.buffer.start
        room = sender.capacity - held
        if room > memory.limit - memory.used:
            room = min(room, memory.room(held))
        return room if room > 0 else 0

    def _check_open(self) -> None:
        if self.error is not None:
            raise self.error
        if self.state is State.CLOSED:
            raise OSError(errno.ENOTCONN, _NOT_OPEN)
