"""A host on a TAP device, for the loops of one program: one after the other, each while it is open."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stack import __version__
from stack.addresses import Ipv4Address
from stack.aio.loop import StackLoop
from stack.aio.underlay import Devices
from stack.host import Host, Observer
from stack.io.attachment import host_config
from stack.io.capture import Capture
from stack.io.configuration import ServeSettings, load
from stack.io.engine import Engine
from stack.io.netlink import KernelSide, LinkChanges
from stack.io.tap import Tap

if TYPE_CHECKING:
    from stack.aio.uv import UvLoop

_Devices = TypeVar("_Devices", bound=Devices)
_Loop = TypeVar("_Loop", bound=asyncio.AbstractEventLoop)
_Make = Callable[[_Devices, Mapping[str, str], Sequence[Ipv4Address]], _Loop]


class AttachedStack:
    """`settings`' host on `tap`, whose other end is `kernel`'s; `resources` close what is opened here."""

    def __init__(
        self,
        settings: ServeSettings,
        tap: Tap,
        kernel: KernelSide,
        resources: ExitStack,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.capture: Capture | None = None
        if settings.capture is not None:
            capture = Capture(settings.capture, settings.tap, os.uname().machine, f"tapstack {__version__}")
            self.capture = resources.enter_context(closing(capture))
            observers = [*observers, capture]
        self.host = Host(
            host_config(settings, offload=tap.offload),
            secret=os.urandom(32),
            random=random.SystemRandom(),
            observers=observers,
            now=time.monotonic_ns(),
        )
        self.settings = settings
        self.changes = resources.enter_context(closing(LinkChanges()))
        self.engine = Engine(self.host, tap, trouble=kernel.trouble)
        self._tap = tap
        self._resources = resources
        self._devices = Devices([])
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def frames_refused(self) -> int:
        """Frames that the kernel did not take."""
        return self.engine.frames_refused

    def new_loop(self) -> StackLoop:
        """A loop with the host in it. Raises RuntimeError while there is another one that is not closed."""
        return self._settle(StackLoop, Devices([self.engine]))

    def new_uvloop(self) -> "UvLoop":
        """As new_loop(), uvloop's. Raises ImportError where that is not installed."""
        from stack.aio.uv import UvLoop, WatchedDevices

        return self._settle(UvLoop, WatchedDevices([self.engine]))

    def _settle(self, make: "_Make[_Devices, _Loop]", devices: "_Devices") -> "_Loop":
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("the stack can be in one event loop at a time, and is in one that is not closed yet")
        self._devices = devices
        self._loop = loop = make(devices, self.settings.hosts, self.settings.dns_servers)

        def on_change() -> None:
            self.changes.drain()
            devices.check()

        loop.add_reader(self.changes.fileno(), on_change)
        return loop

    def abandon(self) -> None:
        """In a child that was forked: let go of what is the parent's, and undo nothing of it."""
        self._tap.abandon()
        self._resources.pop_all()

    def keep(self) -> ExitStack:
        """Take `resources` over; they are then whoever's who closes what is returned."""
        self._resources = self._resources.pop_all()
        return self._resources

    def own(self, resources: ExitStack) -> None:
        """Have the present loop's close() close `resources`."""
        self._devices.own(resources)


def settings_of(options: Mapping[str, Any]) -> ServeSettings:
    """Those of `tapstack serve`: `options`, whose names have underscores, then the file that TAPSTACK_CONFIG names.

    Raises ConfigurationError.
    """
    file = os.environ.get("TAPSTACK_CONFIG")
    given = {name.replace("_", "-"): value for name, value in options.items()}
    return load(given, Path(file) if file else None, "TAPSTACK_CONFIG")
