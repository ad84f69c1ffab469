"""tapstack: a TCP/IP stack in user space, on Linux TAP devices or in virtual time."""

__version__ = "0.1.0"
