"""Calls that threads hand over to the hosts' thread, and where those wait that cannot be answered yet."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from stack.clock import Instant

_Result = TypeVar("_Result")


class Call(Generic[_Result]):
    """One thread waits until `attempt`, which the hosts' thread makes, raises no BlockingIOError any more."""

    __slots__ = ("_attempt", "_error", "_over", "_result", "is_over", "obstacle")

    def __init__(self, attempt: Callable[[], _Result]) -> None:
        self._attempt = attempt
        self._result: Any = None
        self._error: BaseException | None = None
        self.obstacle: BlockingIOError | None = None
        self._over = threading.Lock()
        self._over.acquire()
        self.is_over = False

    def make(self) -> bool:
        """Try; True: the call is over."""
        if not self.is_over:
            try:
                self._result = self._attempt()
            except BlockingIOError as error:
                self.obstacle = error
                return False
            except BaseException as error:
                self.fail(error)
            else:
                self._end()
        return True

    def fail(self, error: BaseException) -> None:
        """End with `error`, if it is not over."""
        if not self.is_over:
            self._error = error
            self._end()

    def _end(self) -> None:
        self.is_over = True
        self._over.release()

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end; False: it did not come in `timeout` seconds."""
        limit = -1 if timeout is None else min(max(timeout, 0), threading.TIMEOUT_MAX)
        if not self._over.acquire(timeout=limit):
            return False
        self._over.release()
        return True

    def outcome(self) -> _Result:
        """What the attempt returned, or raised."""
        if self._error is not None:
            raise self._error
        result: _Result = self._result
        return result


class Bell:
    """A subject's handler that any thread may call that drives the host: `then` is told, and waiting calls are made."""

    __slots__ = ("__weakref__", "_then", "waiting")

    def __init__(self, then: Callable[[], None] | None = None) -> None:
        self._then = then
        self.waiting: list[Call[Any]] = []

    def __call__(self, kinds: int, now: Instant) -> None:
        """See ring()."""
        self.ring()

    def ring(self) -> None:
        """Something has happened."""
        if self._then is not None:
            self._then()
        waiting, self.waiting = self.waiting, []
        self.waiting += [call for call in waiting if not call.make()]

    def fail(self, error: BaseException) -> None:
        """Nothing will happen any more."""
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call.fail(error)
