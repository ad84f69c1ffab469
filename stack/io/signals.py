"""Unix signals as something to read: a handler that runs between any two bytecodes could find the host half-way."""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, NoReturn, Self

TO_ALL: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""What a terminal, its end, or a service manager sends to every process of a group at once."""


def ignore_in_child() -> None:
    """In a forked process that is ended by its parent: heed none of TO_ALL, and write nothing to the parent's pipe."""
    signal.set_wakeup_fd(-1)
    for number in TO_ALL:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_ALL)


def fork() -> int:
    """os.fork(), in whose child no handler of the parent's runs: TO_ALL are blocked there, until ignore_in_child()."""
    signal.pthread_sigmask(signal.SIG_BLOCK, TO_ALL)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_ALL)
    return pid


class Signals:
    """Catches `numbers` and makes a file descriptor readable for each; a context manager. Main thread only."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = _set(numbers, _nothing)

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
        _restore(self._before)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def ends_by_exception() -> Iterator[None]:
    """Until its end, SIGTERM and SIGHUP end the program through every `finally`, as SIGINT does. Main thread only."""
    before = _set((signal.SIGTERM, signal.SIGHUP), _leave)
    try:
        yield
    finally:
        _restore(before)


def _set(numbers: Iterable[int], handler: Callable[[int, Any], None]) -> dict[int, Any]:
    """Have `handler` handle `numbers`; returns what did before. Who has called nohup(1) means it."""
    meant = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    return {number: signal.signal(number, handler) for number in numbers if meant or number != signal.SIGHUP}


def _restore(before: Mapping[int, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def _nothing(number: int, frame: object) -> None:
    """A handler must be there for the interpreter to write the signal's number to the wakeup descriptor."""
