"""The stack's own exceptions.

What an application meets on a connection are Python's own: ConnectionRefusedError, ConnectionResetError,
TimeoutError, OSError(EHOSTUNREACH) and so on, as from a socket.
"""


class StackError(Exception):
    """The base of every exception that the stack defines."""


class MalformedPacket(StackError):
    """Octets that are not the packet they claim to be; the message names the field and both numbers."""


class ChecksumMismatch(MalformedPacket):
    """A well-formed packet whose Internet checksum (RFC 1071) does not verify."""


class IllegalMove(StackError):
    """A state machine was asked for a move that its table does not list: a bug of ours, never of a peer's."""


class ConfigurationError(StackError):
    """The user's command line or configuration cannot be used; one line says what, why, and what to do."""


class DeviceError(StackError):
    """A TAP device cannot be opened or configured; one line says what, why, and what to do."""
