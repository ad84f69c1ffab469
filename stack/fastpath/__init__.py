"""What touches every octet: in C where the extension is built, in Python otherwise, with the same results.

TAPSTACK_FASTPATH=native or =reference chooses; without it the native one is taken if it is there. Both hold no
state: they are functions over buffers, and the tests compare them octet for octet.
"""

import logging
import os
from types import ModuleType
from typing import TYPE_CHECKING

from stack.errors import ConfigurationError
from stack.fastpath import reference
from stack.fastpath.reference import RECORD_ECHO, RECORD_OTHER, RECORD_TCP, Record

_CHOICES = ("native", "reference")


def _choose() -> ModuleType:
    wanted = os.environ.get("TAPSTACK_FASTPATH", "")
    if wanted and wanted not in _CHOICES:
        raise ConfigurationError(f"TAPSTACK_FASTPATH is {wanted!r}; it can be {' or '.join(_CHOICES)}")
    if wanted == "reference":
        return reference
    try:
        from stack.fastpath import native
    except ImportError as error:
        if wanted == "native":
            raise ConfigurationError(f"TAPSTACK_FASTPATH=native, but the extension is not built: {error}") from None
        logging.getLogger(__name__).warning("the C extension is not built: the stack runs on its slower Python twin")
        return reference
    return native  # type: ignore[no-any-return, unused-ignore]


if TYPE_CHECKING:
    from stack.fastpath.reference import (
        NAME,
        checksum,
        emit_tcp,
        parse_tcp,
        read_frames,
        reassemble,
        update_checksum,
        write_frames,
    )
else:
    _chosen = _choose()
    NAME = _chosen.NAME
    checksum = _chosen.checksum
    emit_tcp = _chosen.emit_tcp
    parse_tcp = _chosen.parse_tcp
    read_frames = _chosen.read_frames
    reassemble = _chosen.reassemble
    update_checksum = _chosen.update_checksum
    write_frames = _chosen.write_frames

__all__ = [
    "NAME",
    "RECORD_ECHO",
    "RECORD_OTHER",
    "RECORD_TCP",
    "Record",
    "checksum",
    "emit_tcp",
    "parse_tcp",
    "read_frames",
    "reassemble",
    "update_checksum",
    "write_frames",
]
