"""setsockopt() and getsockopt(): fields of TcpConfig under the names and in the units of sockets."""

import errno
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from stack.clock import MILLISECOND, SECOND, Instant
from stack.config import TcpConfig
from stack.pkt.syntax import Value
from stack.transport.tcp.congestion import ALGORITHMS

if TYPE_CHECKING:
    from stack.pkt.sockets import Descriptor

_NODELAY: Final = (socket.SOL_TCP, socket.TCP_NODELAY)
_KEEPALIVE: Final = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
_MAXSEG: Final = (socket.SOL_TCP, socket.TCP_MAXSEG)
_CONGESTION: Final = (socket.SOL_TCP, socket.TCP_CONGESTION)
_TOS: Final = (socket.SOL_IP, socket.IP_TOS)
_USER_TIMEOUT: Final = (socket.SOL_TCP, socket.TCP_USER_TIMEOUT)
_ERROR: Final = (socket.SOL_SOCKET, socket.SO_ERROR)
LINGER: Final = (socket.SOL_SOCKET, socket.SO_LINGER)

_FIELDS: Final[Mapping[tuple[int, int], tuple[str, int]]] = {
    (socket.SOL_SOCKET, socket.SO_RCVBUF): ("receive_buffer", 1),
    (socket.SOL_SOCKET, socket.SO_SNDBUF): ("send_buffer", 1),
    _KEEPALIVE: ("keep_alive", 1),
    _NODELAY: ("nagle", 1),
    _MAXSEG: ("maximum_segment_size", 1),
    _CONGESTION: ("congestion", 1),
    (socket.SOL_TCP, socket.TCP_KEEPIDLE): ("keep_alive_idle", SECOND),
    (socket.SOL_TCP, socket.TCP_KEEPINTVL): ("keep_alive_interval", SECOND),
    (socket.SOL_TCP, socket.TCP_KEEPCNT): ("keep_alive_probes", 1),
    _TOS: ("dscp", 1),
    _USER_TIMEOUT: ("user_timeout", MILLISECOND),
    (socket.SOL_TCP, socket.TCP_LINGER2): ("fin_wait_2_timeout", SECOND),
}
"""Level and option: the field, and its unit in nanoseconds or 1."""

_CORK: Final = (socket.SOL_TCP, socket.TCP_CORK)
_KEEP_ALIVE_TIMES: Final = {"keep_alive_idle", "keep_alive_interval", "keep_alive_probes"}
_REMEMBERED: Final = {(socket.SOL_SOCKET, socket.SO_REUSEADDR), LINGER}
_GROWING: Final = {"receive_buffer", "send_buffer"}
_FIXED_BY_HANDSHAKE: Final = {"receive_buffer", "maximum_segment_size", "congestion"}


def set_option(descriptor: "Descriptor", option: tuple[int, int], value: Value, now: Instant) -> int:
    """Set `option` to `value`, as a script writes it: [1]. Raises OSError."""
    if option == LINGER:
        linger: Any = value if isinstance(value, dict) else {}
        descriptor.options[option] = linger.get("linger", -1) if linger.get("onoff") else -1
        return 0
    given = value[0] if isinstance(value, list) and value else value
    number = given if isinstance(given, int) else 0
    if option in _REMEMBERED:
        descriptor.options[option] = number
        return 0
    connection = descriptor.connection
    if option == _CORK and connection is not None:
        descriptor.options[option] = number
        connection.set_cork(bool(number), now)
        return 0
    if option not in _FIELDS:
        raise OSError(errno.ENOPROTOOPT, "no such option")
    name, unit = _FIELDS[option]
    setting: Any = number * unit
    if option == _NODELAY:
        setting = not number
    elif option == _KEEPALIVE:
        setting = bool(number)
    elif option == _TOS:
        setting = number >> 2 & 63  # the two bits of ECN are TCP's, as in Linux
    elif option == _USER_TIMEOUT and not number:
        setting = TcpConfig().user_timeout  # what the system has
    elif option == _CONGESTION:
        setting = given.decode("latin-1") if isinstance(given, bytes) else ""
        if setting not in ALGORITHMS:
            raise OSError(errno.ENOENT, "no such congestion control")
    if connection is not None and name in _FIXED_BY_HANDSHAKE:
        raise OSError(errno.EINVAL, "not of a connection that is open")
    changed = {name: setting}
    if name in _GROWING:  # what is asked for stays as it is
        changed[f"initial_{name}"] = setting
    descriptor.config = replace(descriptor.config if connection is None else connection.config, **changed)
    if descriptor.listener is not None:
        descriptor.listener.config = descriptor.config
    if connection is not None:
        connection.config = descriptor.config
        connection.nodelay = not descriptor.config.nagle
        connection.sender.capacity = descriptor.config.send_buffer
        if option == _KEEPALIVE or name in _KEEP_ALIVE_TIMES:
            connection.set_keep_alive(descriptor.config.keep_alive, now)
        elif option == _USER_TIMEOUT:
            connection.set_user_timeout(setting, now)
        elif option == _TOS:
            connection.dscp = setting
    return 0


def get_option(descriptor: "Descriptor", option: tuple[int, int]) -> int | bytes:
    """What `option` is. Raises OSError."""
    if option == _ERROR:
        error = descriptor.take_error()
        return 0 if error is None else error.errno or 0
    if option in _REMEMBERED or option == _CORK:
        return descriptor.options.get(option, 0)
    if option == _MAXSEG and descriptor.connection is not None:
        return descriptor.connection.info().mss
    if option not in _FIELDS:
        raise OSError(errno.ENOPROTOOPT, "no such option")
    name, unit = _FIELDS[option]
    value = getattr(descriptor.config, name)
    if option == _NODELAY:
        return int(not value)
    if option == _TOS:
        return int(value) << 2
    return value.encode() if isinstance(value, str) else int(value or 0) // unit
