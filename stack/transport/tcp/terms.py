"""What the SYNs of a connection settle: the options that both sides have (RFC 9293 3.7.1, RFC 7323, RFC 2018, 3168)."""

from dataclasses import dataclass

from stack.config import TcpConfig
from stack.transport.tcp.sender import DEFAULT_MSS
from stack.wire.tcp import CWR, ECE, Segment


@dataclass(slots=True)
class Terms:
    """`shift` is by how much the peer's windows are scaled, `ts_val` its first time stamp; None: neither side does."""

    mss: int  # octets in the largest segment that the peer takes, options included
    shift: int | None = None
    sack: bool = False
    ts_val: int | None = None
    ecn: bool = False
    user_timeout: int | None = None  # seconds that the peer advises (RFC 5482)


def terms(config: TcpConfig, syn: Segment) -> Terms:
    """What a peer that sends `syn`, and we, who speak all that `config` allows, have in common."""
    options = syn.options
    offered = DEFAULT_MSS if options.mss is None else options.mss
    return Terms(
        max(offered, config.minimum_send_mss),
        options.window_scale if config.window_scaling else None,
        config.sack and options.sack_permitted,
        options.ts_val if config.timestamps else None,
        config.ecn != "off" and syn.flags & (ECE | CWR) == ECE | CWR,
        options.user_timeout,
    )
