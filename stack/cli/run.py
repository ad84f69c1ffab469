"""`tapstack run`: a Python program, in this process, whose sockets and event loops have the stack in them."""

import os
import runpy
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from stack.aio.attached import AttachedStack
from stack.aio.install import installed
from stack.cli.link import open_link
from stack.errors import ConfigurationError
from stack.io.configuration import ServeSettings
from stack.io.signals import ends_by_exception
from stack.sockets import Net, patch


def run(settings: ServeSettings, command: Sequence[str]) -> int:
    """Run `command` to its end; returns its exit code. Raises DeviceError, ConfigurationError, and what it raises."""
    program = find_program(command)
    with ends_by_exception(), ExitStack() as resources:
        link = open_link(settings, resources)
        stack = AttachedStack(settings, link.queues[0], link.kernel, resources)
        print(
            f"tapstack: {settings.address} is the stack, {settings.host_address} this machine, on {settings.tap}",
            file=sys.stderr,
        )
        with Net.on_device(stack) as net, installed(net.new_loop), patch(net):
            program()
    return 0


def find_program(command: Sequence[str]) -> Callable[[], object]:
    """What Python would run for `command`, as a function; sys.argv and sys.path are set for it.

    A file, `-m MODULE`, or the name of a command that an installed package has; `python` in front of the first two may
    be. Raises ConfigurationError.
    """
    if command and Path(command[0]).name in ("python", "python3", Path(sys.executable).name):
        command = command[1:]
    if not command:
        raise ConfigurationError("no program is given: tapstack run [options] -- PROGRAM [ARGUMENT ...]")
    name, *arguments = command
    if name == "-m" and arguments:
        name, *arguments = arguments
        program: Callable[[], Any] = partial(runpy.run_module, name, run_name="__main__", alter_sys=True)
        folder = os.getcwd()
    elif Path(name).is_file():
        program, folder = partial(runpy.run_path, name, run_name="__main__"), str(Path(name).resolve().parent)
    else:
        found = entry_points(group="console_scripts", name=name)
        if not found:
            raise ConfigurationError(
                f"{name!r} is neither a Python file, nor -m MODULE, nor a command of an installed package"
            )
        program, folder = lambda: sys.exit(next(iter(found)).load()()), os.getcwd()  # what it imports sees its sys.argv
    sys.argv = [name, *arguments]
    sys.path.insert(0, folder)
    return program
