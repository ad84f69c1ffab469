"""The C library's heap, in a process that moves much data."""

import ctypes
from contextlib import suppress
from typing import Final

# Of malloc.h; mallopt(3) says what they are.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT: Final = 16 << 20  # octets that are free and stay ours
_LARGE: Final = 1 << 20  # octets; what is larger is given back at once, as ever


def keep_what_is_freed() -> None:
    """Have glibc's malloc keep freed memory for what is allocated next.

    What arrives is copied into objects of up to 64 KiB, which live for an instant. By default glibc gives the end of
    its heap back to the kernel as soon as 128 KiB are free there, and the kernel then has to find, clear and map new
    pages for the next of them: that was two thirds of the time that a download took.
    """
    with suppress(AttributeError):  # other C libraries have no mallopt, and no need of it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
