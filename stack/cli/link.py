"""The device of a command: opened and configured as root, if need be, and used as whoever called sudo."""

import os
from contextlib import ExitStack
from dataclasses import dataclass

from stack.io.attachment import open_device
from stack.io.configuration import ServeSettings, check_directory
from stack.io.netlink import KernelSide
from stack.io.privileges import User, become, sudo_user
from stack.io.tap import Tap


@dataclass(frozen=True, slots=True)
class Link:
    """The device, a queue of it for each worker, its kernel side, and who we are since it is open."""

    queues: list[Tap]
    kernel: KernelSide
    user: User | None


def open_link(settings: ServeSettings, resources: ExitStack) -> Link:
    """Open and configure the device, then drop root's privileges: nothing later needs them.

    Raises DeviceError, and ConfigurationError for a directory that the user cannot read.
    """
    queues, kernel = open_device(settings, resources)
    user = sudo_user(os.environ)
    if user:
        kernel.delegate_undo()
        become(user)
        if settings.directory is not None:
            check_directory(settings.directory)
    return Link(queues, kernel, user)
