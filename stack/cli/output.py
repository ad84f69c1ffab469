"""Standard output where there is none, or one that takes nothing: a closed terminal, a full disk, `| head`."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
_FAILURES: Final = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class OutputError(Exception):
    """What was printed cannot be written. It says why, unless nobody reads on: who has seen enough need not hear."""


def ensure_streams() -> None:
    """Have /dev/null for each standard stream that was closed.

    Nobody then stumbles over a sys.stdout that is None, and the device that is opened next is not taken for one.
    """
    for name, mode in _STREAMS:  # in the order of their descriptors: open() takes the lowest that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


@contextmanager
def written() -> Iterator[None]:
    """Have written out at its end what was printed meanwhile. Raises OutputError; what follows is then dropped."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _FAILURES:
            raise
        drop()
        gone = isinstance(error, BrokenPipeError)
        raise OutputError("" if gone else f"cannot write to standard output: {error.strerror}") from None


def drop() -> None:
    """Write nothing to standard output from now on: Python would try again at exit, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
