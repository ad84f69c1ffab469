"""loop.sendfile() for transports of ours: the file's octets go from the system's cache to TCP, a piece at a time.

It is what asyncio calls native, so it works with fallback=False, too: no thread reads the file, and of a large one to
a slow peer there is never more in memory than what TCP has room for, and one piece.
"""

import asyncio
import io
import os
import stat
from typing import IO, TYPE_CHECKING, Any

from stack.aio.stream import StreamTransport

if TYPE_CHECKING:
    _Base = asyncio.SelectorEventLoop
else:
    _Base = object


class FileCalls(_Base):
    """The part of StackCalls that is about files."""

    async def _sendfile_native(self, transp: Any, file: IO[bytes], offset: int, count: int | None) -> int:
        """What sendfile() of asyncio's tries first. Raises SendfileNotAvailableError, and then it reads and writes."""
        if not isinstance(transp, StreamTransport):
            above: Any = super()
            sent: int = await above._sendfile_native(transp, file, offset, count)
            return sent
        check: Any = asyncio.BaseEventLoop._check_sendfile_params  # type: ignore[attr-defined]
        check(self, transp.get_extra_info("socket"), file, offset, count)
        try:
            descriptor = file.fileno()
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        except (AttributeError, io.UnsupportedOperation, OSError):
            is_file = False
        if not is_file:
            raise asyncio.SendfileNotAvailableError("not a regular file")
        was_reading = transp.is_reading()
        transp.pause_reading()
        try:
            sent = await transp.send_file(descriptor, offset, count)
        finally:
            if was_reading:
                transp.resume_reading()
        if sent:
            os.lseek(descriptor, offset + sent, os.SEEK_SET)
        return sent
