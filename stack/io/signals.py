"""Unix signals as something to read: a handler that runs between any two bytecodes could find the host half-way."""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NoReturn, Self


class Signals:
    """Catches `numbers` and makes a file descriptor readable for each; a context manager. Main thread only."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before: dict[int, Any] = {number: signal.signal(number, _nothing) for number in numbers}

    def fileno(self) -> int:
        """The file descriptor, for a selector."""
        return self._reader

    def take(self) -> list[int]:
        """The signals that have come since the last call, oldest first."""
        try:
            return list(os.read(self._reader, 4096))
        except BlockingIOError:
            return []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def ends_by_exception() -> Iterator[None]:
    """Until its end, SIGTERM ends the program by way of every `finally`, as SIGINT does. Main thread only."""
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def _nothing(number: int, frame: object) -> None:
    """A handler must be there for the interpreter to write the signal's number to the wakeup descriptor."""
