"""Tells a service manager how we are: sd_notify(3), which is one datagram to the socket that NOTIFY_SOCKET names."""

import socket
from collections.abc import Mapping
from contextlib import suppress


def notify(state: str, environment: Mapping[str, str]) -> None:
    """Send `state` ("READY=1") if somebody wants to know; `environment` is os.environ.

    A manager that does not listen is no reason to fail.
    """
    path = environment.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(1)
        channel.sendto(state.encode(), address)
