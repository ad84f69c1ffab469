"""A TAP device: the file descriptor through which the kernel hands us Ethernet frames and takes ours.

Opening a name that does not exist creates the device, which needs CAP_NET_ADMIN; it goes away when its file
descriptor is closed. A device that was made beforehand for a user (`ip tuntap add ... user NAME`) is attached to
without privileges and is still there afterwards. Linux: Documentation/networking/tuntap.rst.
"""

import errno
import fcntl
import os
import struct
from types import TracebackType
from typing import Final, Self

from stack.errors import ConfigurationError, DeviceError

CLONE_DEVICE: Final = "/dev/net/tun"
LONGEST_NAME: Final = 15  # IFNAMSIZ less the terminating zero

_TUNSETIFF: Final = 0x400454CA  # _IOW('T', 202, int)
_TUNGETIFF: Final = 0x800454D2  # _IOR('T', 210, unsigned int)
_IFF_TAP: Final = 0x0002
_IFF_PERSIST: Final = 0x0800
_IFF_NO_PI: Final = 0x1000
_IFREQ: Final = struct.Struct("16sH22x")


def check_name(name: str) -> str:
    """`name` as it is, if Linux takes it for a network device. Raises ConfigurationError."""
    octets = os.fsencode(name)
    if len(octets) > LONGEST_NAME:
        raise ConfigurationError(f"TAP name {name!r} has {len(octets)} octets; Linux takes at most {LONGEST_NAME}")
    if not name or name in (".", "..") or not name.isprintable() or any(c in "/:% " for c in name):
        raise ConfigurationError(f"TAP name {name!r} is none that Linux takes: use letters and digits, as in tap0")
    return name


class Tap:
    """An open TAP device, non-blocking, of plain Ethernet frames. Raises ConfigurationError and DeviceError."""

    def __init__(self, name: str) -> None:
        self.name = check_name(name)
        try:
            self._fd = os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _explain_clone_device(error) from None
        try:
            fcntl.ioctl(self._fd, _TUNSETIFF, _IFREQ.pack(os.fsencode(name), _IFF_TAP | _IFF_NO_PI))
            flags = _IFREQ.unpack(fcntl.ioctl(self._fd, _TUNGETIFF, bytes(_IFREQ.size)))[1]
        except OSError as error:
            os.close(self._fd)
            raise _explain_attach(name, error) from None
        self.persistent = bool(flags & _IFF_PERSIST)
        """Whether the device was made beforehand and outlives us."""

    def fileno(self) -> int:
        """The file descriptor, for a selector and for the fastpath; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Let go of the device; one that we created is then gone."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _explain_clone_device(error: OSError) -> DeviceError:
    what = f"cannot open {CLONE_DEVICE}: {error.strerror}."
    match error.errno:
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return DeviceError(
                f"{what} The kernel's TUN/TAP driver is not there: sudo modprobe tun"
                f" (for a container: start it with --device {CLONE_DEVICE} --cap-add NET_ADMIN)"
            )
        case errno.EACCES:
            return DeviceError(
                f"{what} Run as root, or give everybody access, as udev does: sudo chmod 0666 {CLONE_DEVICE}"
            )
        case errno.EPERM:
            return DeviceError(f"{what} A container needs: --device {CLONE_DEVICE} --cap-add NET_ADMIN")
    return DeviceError(what)


def _explain_attach(name: str, error: OSError) -> DeviceError:
    what = f"cannot open TAP {name!r}: {error.strerror}."
    match error.errno:
        case errno.EPERM:
            return DeviceError(
                f"{what} Opening one needs CAP_NET_ADMIN, or a device made for you:"
                f" sudo ip tuntap add {name} mode tap user $USER"
            )
        case errno.EBUSY:
            return DeviceError(f"{what} Another program holds it; stop that one, or choose another name with --tap")
        case errno.EINVAL:
            return DeviceError(
                f"{what} A device of that name exists and is no TAP (or one with multi_queue);"
                " choose another name with --tap"
            )
    return DeviceError(what)
