"""The arguments of a script's calls, as the calls want them."""

import errno
import socket
from typing import Any, Final, TypeAlias

from stack.addresses import Ipv4Address
from stack.pkt.syntax import Value

SocketAddress: TypeAlias = tuple[Ipv4Address, int]
Vector: TypeAlias = "list[tuple[Value, Value]]"  # buffers and their sizes

_KNOWN_FLAGS: Final = socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT | socket.MSG_OOB


def as_number(value: Value) -> int:
    """An integer; 0 where the script has something else."""
    return value if isinstance(value, int) else 0


def as_size(value: Value) -> int:
    """A number of octets. Raises OSError(EINVAL) for a negative one."""
    if as_number(value) < 0:
        raise OSError(errno.EINVAL, "a size cannot be negative")
    return as_number(value)


def member(value: Value, name: str) -> Value:
    """A field of a structure, or `...`."""
    return value.get(name, ...) if isinstance(value, dict) else ...


def as_vector(value: Value) -> Vector:
    """The buffers and sizes of `[{..., 100}, {..., 200}]`."""
    entries: list[Any] = value if isinstance(value, list) else []
    return [(data, size) for data, size in entries]


def as_address(value: Value) -> SocketAddress | None:
    """Address and port of a sockaddr; None for `...`."""
    if not isinstance(value, dict):
        return None
    return Ipv4Address(as_number(value.get("sin_addr", 0))), as_number(value.get("sin_port", 0))


def check_flags(flags: int) -> None:
    """Raise OSError(EOPNOTSUPP) for flags of send() and recv() that mean nothing here."""
    if flags & ~_KNOWN_FLAGS:
        raise OSError(errno.EOPNOTSUPP, "MSG_DONTWAIT, MSG_NOSIGNAL and MSG_OOB only")
