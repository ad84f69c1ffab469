"""An ASGI application that answers 64 octets, and does nothing else."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

_BODY: Final = {"type": "http.response.body", "body": bytes(64)}
_START: Final = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"64")]}


async def app(scope: Any, receive: object, send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer."""
    await send(_START)
    await send(_BODY)
