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
from stack.fastpath.offload import VIRTIO_HEADER_LENGTH

CLONE_DEVICE: Final = "/dev/net/tun"
LONGEST_NAME: Final = 15  # IFNAMSIZ less the terminating zero

_TUNSETIFF: Final = 0x400454CA  # _IOW('T', 202, int)
_TUNSETOFFLOAD: Final = 0x400454D0  # _IOW('T', 208, unsigned int)
_TUNGETIFF: Final = 0x800454D2  # _IOR('T', 210, unsigned int)
_TUNSETVNETHDRSZ: Final = 0x400454D8  # _IOW('T', 216, int)
_IFF_TAP: Final = 0x0002
_IFF_MULTI_QUEUE: Final = 0x0100
_IFF_PERSIST: Final = 0x0800
_IFF_NO_PI: Final = 0x1000
_IFF_VNET_HDR: Final = 0x4000
_TUN_F_CSUM: Final = 0x01
_TUN_F_TSO4: Final = 0x02
_TUN_F_TSO_ECN: Final = 0x08
_OFFLOADS: Final = (_TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO_ECN, _TUN_F_CSUM | _TUN_F_TSO4, _TUN_F_CSUM)  # best first
_IFREQ: Final = struct.Struct("16sH22x")
_INT: Final = struct.Struct("i")


def check_name(name: str) -> str:
    """`name` as it is, if Linux takes it for a network device. Raises ConfigurationError."""
    octets = os.fsencode(name)
    if len(octets) > LONGEST_NAME:
        raise ConfigurationError(f"TAP name {name!r} has {len(octets)} octets; Linux accepts at most {LONGEST_NAME}")
    # The last two mean every device in /proc/sys/net, for which reason Linux lets none have them.
    if not name or name in (".", "..", "all", "default") or not name.isprintable() or any(c in "/:% " for c in name):
        raise ConfigurationError(f"TAP name {name!r} is not one that Linux accepts: use letters and digits, as in tap0")
    return name


class Tap:
    """An open TAP device, non-blocking, of Ethernet frames. Raises ConfigurationError and DeviceError.

    With `offload` the kernel is asked to leave out checksums, and to hand over and take super-frames; a virtio header
    then comes before every frame (stack/fastpath/offload.py). With `multi_queue` this is one queue of the device, and
    more can be opened by the same name; the kernel hands the frames of a connection always to the same of them.
    """

    def __init__(self, name: str, *, offload: bool = False, multi_queue: bool = False) -> None:
        self.name = check_name(name)
        try:
            self._fd = os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _explain_clone_device(error) from None
        try:
            self.offload = self._attach(offload, multi_queue)
            """Whether the kernel does its part of the offload: a virtio header comes before every frame."""
            flags = _IFREQ.unpack(fcntl.ioctl(self._fd, _TUNGETIFF, bytes(_IFREQ.size)))[1]
        except OSError as error:
            os.close(self._fd)
            raise _explain_attach(name, error, multi_queue) from None
        self.persistent = bool(flags & _IFF_PERSIST)
        """Whether the device was made beforehand and outlives us."""

    def _attach(self, offload: bool, multi_queue: bool) -> bool:
        """Attach to the device, with offload if the kernel has it; returns whether it has."""
        queue = _IFF_MULTI_QUEUE if multi_queue else 0
        if offload and self._try_to_attach(_IFF_VNET_HDR | queue):
            fcntl.ioctl(self._fd, _TUNSETVNETHDRSZ, _INT.pack(VIRTIO_HEADER_LENGTH))
            any(self._leave_out(features) for features in _OFFLOADS)  # if none: it takes super-frames all the same
            return True
        self._try_to_attach(queue, or_raise=True)
        self._leave_out(0)  # a device that outlives its users still does what the last of them asked for
        return False

    def _try_to_attach(self, extra: int, *, or_raise: bool = False) -> bool:
        request = _IFREQ.pack(os.fsencode(self.name), _IFF_TAP | _IFF_NO_PI | extra)
        try:
            fcntl.ioctl(self._fd, _TUNSETIFF, request)
        except OSError as error:
            if or_raise or error.errno != errno.EINVAL:
                raise
            return False
        return True

    def _leave_out(self, features: int) -> bool:
        """Have the kernel leave out what `features` names, and nothing else, of what it sends; False: it does not."""
        try:
            fcntl.ioctl(self._fd, _TUNSETOFFLOAD, features)
        except OSError:
            return False
        return True

    def fileno(self) -> int:
        """The file descriptor, for a selector and for the fastpath; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Let go of the device; one that we created is then gone."""
        if self._fd >= 0:
            if self.offload:
                self._leave_out(0)
            os.close(self._fd)
            self._fd = -1

    def abandon(self) -> None:
        """In a child that was forked: close its copy of the file descriptor, and leave the device to the parent."""
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


def _explain_attach(name: str, error: OSError, multi_queue: bool) -> DeviceError:
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
            which = "none with multi_queue, as more than one worker needs it" if multi_queue else "one with multi_queue"
            return DeviceError(
                f"{what} The device of that name is not a TAP device (or {which}); choose another name with --tap"
            )
    return DeviceError(what)
