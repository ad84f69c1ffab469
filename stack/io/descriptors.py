"""How many files may be open at once."""

import resource
from contextlib import suppress
from typing import Final

_ENOUGH: Final = 65536


def allow_many() -> None:
    """Raise the soft limit as far as the hard one allows: it is 1,024 by custom, and a file that is sent takes one.

    (By custom because of select(2), which cannot do with more; we use epoll.)
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
