"""The user timeout option (RFC 5482): each end says how long it lets data go unacknowledged before it gives up.

It is advice, not an agreement: what the peer says is adopted within limits, and only as long as the application has not
said what it wants. What counts in the end is the `user_timeout` of the connection's configuration.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stack.clock import SECOND, Duration
from stack.config import TcpConfig

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection

_LARGEST: Final = (1 << 15) - 1  # 15 bits, of seconds or of minutes (section 3.3)


class UserTimeoutOption:
    """The state of section 3 where the option is enabled."""

    __slots__ = ("advertised", "is_changeable", "is_due")

    def __init__(self, config: TcpConfig) -> None:
        self.advertised = _advertised(config.user_timeout, config)  # ADV_UTO
        self.is_changeable = True  # CHANGEABLE: the application has not set the timeout of the connection
        self.is_due = True  # it goes with the next segment: the first one without SYN (3.2), and after a change

    @property
    def seconds(self) -> int:
        """What the option says."""
        return to_seconds(self.advertised)

    def on_choice(self, timeout: Duration | None, config: TcpConfig) -> None:
        """The application wants `timeout`: the peer is told, and what he says is not adopted any more."""
        self.advertised = _advertised(timeout, config)
        self.is_changeable = False
        self.is_due = True

    def on_option(self, connection: "Connection", seconds: int | None) -> None:
        """The peer has sent REMOTE_UTO, or None: adopt it within the limits (section 3.1)."""
        if not seconds or not self.is_changeable:  # of zero: "MUST be ignored" (3.3)
            return
        config = connection.config
        lower, upper = config.user_timeout_limits
        lower = max(lower, connection.sender.rtt.rto)
        timeout = min(upper, max(self.advertised, seconds * SECOND, lower))
        if timeout != config.user_timeout:
            connection.config = replace(config, user_timeout=timeout)


def seconds_of(config: TcpConfig) -> int | None:
    """What the option of a SYN-ACK says; None: there is none."""
    return UserTimeoutOption(config).seconds if config.user_timeout_option else None


def to_seconds(timeout: Duration) -> int:
    """`timeout` as the option can say it: whole seconds, or above 9 hours whole minutes, rounded up."""
    whole = max(-(-timeout // SECOND), 1)
    if whole > _LARGEST:
        whole = min(-(-whole // 60), _LARGEST) * 60
    return whole


def _advertised(timeout: Duration | None, config: TcpConfig) -> Duration:
    # Who waits for ever says the longest that he would adopt.
    return config.user_timeout_limits[1] if timeout is None else timeout


def keep_alive_idle(connection: "Connection") -> Duration:
    """How long there is silence before keep-alives; longer than an adopted user timeout (RFC 5482 4.2)."""
    config = connection.config
    if connection.user_timeout_option is None or config.user_timeout is None:
        return config.keep_alive_idle
    return max(config.keep_alive_idle, config.user_timeout + SECOND)
