"""`tapstack serve MODULE:NAME`: an ASGI or WSGI application, served by uvicorn on our stack."""

import asyncio
import importlib.util
import inspect
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from stack.addresses import show_ipv4
from stack.aio.attached import AttachedStack
from stack.cli import announce
from stack.cli.link import open_link
from stack.cli.service import log_statistics
from stack.errors import ConfigurationError
from stack.io.configuration import ServeSettings
from stack.io.sdnotify import notify
from stack.io.signals import ends_by_exception

try:
    import uvicorn
    from a2wsgi import WSGIMiddleware
    from uvicorn.importer import ImportFromStringError, import_from_string
except ImportError:
    raise ConfigurationError(
        "serving an application needs uvicorn and a2wsgi; in tapstack's checkout: .venv/bin/pip install -e '.[serve]'"
    ) from None

_PATIENCE: Final = 1  # s, that requests have to end when we end
_WSGI_PARAMETERS: Final = 2  # environ, start_response
_ASGI_PARAMETERS: Final = 3  # scope, receive, send


def run(settings: ServeSettings, application: str) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code. Raises DeviceError and ConfigurationError."""
    with ends_by_exception(), ExitStack() as resources:
        link = open_link(settings, resources)
        stack = AttachedStack(settings, link.queues[0], link.kernel, resources)
        config = uvicorn.Config(
            load_application(application, settings.interface),
            host=show_ipv4(settings.address.address),
            port=settings.port,
            log_config=None,
            log_level=logging.INFO if settings.verbose else logging.WARNING,
            timeout_graceful_shutdown=_PATIENCE,
        )
        server = _Server(config, stack, lambda: announce.started(settings, link))
        began = time.monotonic()
        new_loop = stack.new_uvloop if importlib.util.find_spec("uvloop") else stack.new_loop  # as uvicorn chooses
        with asyncio.Runner(loop_factory=new_loop) as runner:
            _serve(runner, server)
        requests = server.server_state.total_requests
        announce.stopped(time.monotonic() - began, stack.host.counters, requests, stack.capture)
    return 0


class _Server(uvicorn.Server):
    """Tells when it is ready, and on SIGUSR1 what it has counted."""

    def __init__(self, config: uvicorn.Config, stack: AttachedStack, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._stack = stack
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn.Server."""
        await super().startup(sockets)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._log_statistics)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn.Server."""
        notify("STOPPING=1", os.environ)
        await super().shutdown(sockets)

    def _log_statistics(self) -> None:
        log_statistics(self._stack.host, self.server_state.total_requests, self._stack.frames_refused)


def _serve(runner: asyncio.Runner, server: _Server) -> None:
    """Run `server` until a signal has ended it, which uvicorn then raises again, for whom there was before."""
    before = {number: signal.signal(number, lambda number, frame: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        runner.run(server.serve())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def load_application(name: str, interface: str) -> Any:
    """The ASGI application that `name` is, or is made into. Raises ConfigurationError."""
    sys.path.insert(0, os.getcwd())  # as `python -m` does
    try:
        application = import_from_string(name)
    except ImportFromStringError as error:
        raise ConfigurationError(f"{name}: {error}") from None
    if not callable(application):
        raise ConfigurationError(f"{name} cannot be called: {type(application).__name__} is not an application")
    if interface == "auto":
        interface = _interface_of(name, application)
    return WSGIMiddleware(application) if interface == "wsgi" else application


def _interface_of(name: str, application: Callable[..., Any]) -> str:
    """As what `application` asks to be called with. Raises ConfigurationError."""
    is_coroutine = inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(
        getattr(application, "__call__")  # noqa: B004, B009
    )
    if _takes(application, _WSGI_PARAMETERS) and not is_coroutine:
        return "wsgi"
    if _takes(application, _ASGI_PARAMETERS):
        return "asgi"
    what = inspect.signature(application)
    raise ConfigurationError(f"{name}{what} takes neither ASGI's three parameters nor WSGI's two; see --interface")


def _takes(application: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(application).bind(*(None,) * count)
    except TypeError:
        return False
    return True
