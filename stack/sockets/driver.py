"""The thread that drives the hosts, and how every other thread gets something done by them.

Theory. A host belongs to one thread at a time. A thread that wants something of it hands over a call, and waits until
that has been made; a call that has to wait for the network (recv, accept, ...) is left at the bell of what it waits
for, and is tried again whenever that rings. So a blocking call is one change of threads there and one back, whatever
happens in between.

An event loop that has the hosts in it calls into them from its own thread without asking, so while it runs the hosts
are its: it takes them, and this thread rests. What other threads hand over then is done in the loop's turns: desk() is
a file descriptor that whoever drives the hosts has in its selector. And when the loop's own thread makes a blocking
call, the hosts go back to this thread for as long as it waits, since nobody else could bring what it waits for. What
the loop's transports would be told meanwhile is held until the loop goes on: nothing of it may run while its thread is
in the middle of something.
"""

import errno
import logging
import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar

from stack.aio.underlay import GRACE, Underlay
from stack.errors import StackError
from stack.events import Subject
from stack.io.engine import Engine
from stack.sockets.calls import Bell, Call

_Result = TypeVar("_Result")
_PATIENCE: Final = 5.0  # s, until a thread says that it waits in vain, it seems

logger = logging.getLogger(__name__)
_drivers: "weakref.WeakSet[Driver]" = weakref.WeakSet()


def may_be_told(subject: Subject) -> bool:
    """Whether `subject` may be told by any thread, and not only by its event loop's."""
    return isinstance(subject.handler, Bell)


class Owner(Protocol):
    """Whose driver it is."""

    def finish(self) -> bool:
        """Called when it is to end, for GRACE at most, until it returns True: nobody has anything left to send."""

    def ended(self, reason: OSError) -> None:
        """The hosts are driven no longer; in their thread."""

    def abandon(self) -> None:
        """This is a child that was forked: let go of the copies of what is the parent's."""


class Driver:
    """Drives `underlay` in a thread of its own, but for when an event loop has taken it; `engines` are its parts."""

    def __init__(self, underlay: Underlay, engines: Sequence[Engine], owner: Owner) -> None:
        self.underlay = underlay
        self._engines = engines
        self._owner = owner
        self._watched: dict[int, Callable[[int], None]] = {}
        self._calls: deque[Callable[[], None]] = deque()
        self._bells: weakref.WeakSet[Bell] = weakref.WeakSet()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._desk = select.epoll()
        self._desk.register(self._wake, select.EPOLLIN)
        self._epoll = select.epoll()
        for fileno in (*underlay.filenos(), self._desk.fileno()):
            self._epoll.register(fileno, select.EPOLLIN)
        self._change = threading.Condition()
        self._takers = 0
        self._rests = False
        self._holder: int | None = None  # the thread whose event loop has the hosts
        self._failure: OSError | None = None
        self._is_stopping = False
        self._admit_only_bells(True)
        self._thread = threading.Thread(target=self._run, name="tapstack", daemon=True)
        _drivers.add(self)
        self._own: int | None = None  # the thread, while it drives: its number may be another's later
        self._thread.start()

    # What any thread may ask

    def call(self, function: Callable[[], _Result]) -> _Result:
        """What `function()` gives, called in the hosts' thread. Raises what it raises, and OSError(ENETDOWN)."""
        return self.call_when(None, function, None)

    def call_when(self, bell: Bell | None, attempt: Callable[[], _Result], timeout: float | None) -> _Result:
        """What `attempt()` gives in the hosts' thread, made again at each ring of `bell` while that blocks.

        It blocks by raising BlockingIOError. Raises what else it raises, OSError(ENETDOWN), and TimeoutError after
        `timeout` seconds; with 0, BlockingIOError.
        """
        if self._failure is not None:
            raise _again(self._failure)
        call = Call(attempt)
        waits = bell is not None and timeout != 0

        def begin() -> None:
            if not call.make():
                if waits and bell is not None and self._failure is None:
                    bell.waiting.append(call)
                else:
                    call.fail(_again(self._failure) if self._failure else call.obstacle or BlockingIOError())

        if self.is_held_here:
            begin()
            if call.is_over:
                return call.outcome()
            with self.lent():
                return self._wait(call, bell, timeout)
        self._hand_over(begin, call)
        return self._wait(call, bell, timeout if waits else None)

    def _wait(self, call: Call[_Result], bell: Bell | None, timeout: float | None) -> _Result:
        try:
            if not self._is_over_in(timeout, call):
                raise TimeoutError("timed out")
        except BaseException as error:  # KeyboardInterrupt, too
            why = error

            def withdraw() -> None:
                if bell is not None and call in bell.waiting:
                    bell.waiting.remove(call)
                    call.fail(why)

            if self._failure is None:
                self._hand_over(withdraw, call)
                call.wait(None)
            if not isinstance(error, TimeoutError):
                raise
        return call.outcome()

    def _is_over_in(self, timeout: float | None, call: Call[Any]) -> bool:
        """As call.wait(timeout); and says so where nobody seems to make the call."""
        if timeout is not None and timeout <= _PATIENCE:
            return call.wait(timeout)
        if call.wait(_PATIENCE):
            return True
        if self._holder is not None and self._calls:
            logger.warning(
                "a thread has waited %.0f s for the stack, which an event loop has whose thread does something else;"
                " a loop's thread must not wait for threads that need the stack",
                _PATIENCE,
            )
        return call.wait(None if timeout is None else timeout - _PATIENCE)

    def _hand_over(self, function: Callable[[], None], call: Call[Any]) -> None:
        with self._change:
            if self._failure is not None:
                call.fail(_again(self._failure))
                return
            self._calls.append(function)
            os.eventfd_write(self._wake, 1)

    def post(self, function: Callable[[], None]) -> None:
        """Have `function` called in the hosts' thread; without waiting, and not at all if they are driven no longer."""
        self._hand_over(function, Call(function))

    # What an event loop does that has the hosts in it

    @property
    def is_held_here(self) -> bool:
        """Whether the hosts are this thread's."""
        return threading.get_ident() == (self._holder or self._own)

    def desk(self) -> int:
        """Readable when step() has something to do: to be watched by whoever drives the hosts."""
        return self._desk.fileno()

    def step(self) -> None:
        """Make the calls that were handed over, and do what is to be done about watched file descriptors."""
        for fileno, events in self._desk.poll(0):
            if fileno == self._wake:
                os.eventfd_read(self._wake)
                while self._calls:
                    self._calls.popleft()()
            elif fileno in self._watched:
                try:
                    self._watched[fileno](events)
                except Exception:
                    logger.exception("what was to be done about a file descriptor has failed; going on")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Until its end the hosts are this thread's, and it drives them."""
        if self.is_held_here:
            raise RuntimeError("Cannot run the event loop while another loop is running")
        self._take()
        try:
            yield
        finally:
            self._give_back()

    def _take(self) -> None:
        with self._change:
            self._takers += 1
            if self._failure is None:
                os.eventfd_write(self._wake, 1)
            self._change.wait_for(lambda: (self._rests or self._failure) and self._holder is None)
            self._holder = threading.get_ident()
            self._admit_only_bells(False)

    def _give_back(self) -> None:
        with self._change:
            self._holder = None
            self._takers -= 1
            self._admit_only_bells(True)
            self._change.notify_all()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Until its end the hosts are the driver's own thread's again, where this one has them: it is going to wait."""
        if not self.is_held_here:
            yield
            return
        if self._holder is None:
            raise RuntimeError("the thread that drives the stack cannot wait for it")
        self._give_back()
        try:
            yield
        finally:
            self._take()

    def _admit_only_bells(self, on: bool) -> None:
        for engine in self._engines:
            engine.audience = may_be_told if on else None

    # In the hosts' thread

    def watch(self, fileno: int, events: int, action: Callable[[int], None]) -> None:
        """Call `action` with what `fileno` is ready for, when that is one of `events` (of epoll), or a hang-up."""
        known = fileno in self._watched
        self._watched[fileno] = action
        (self._desk.modify if known else self._desk.register)(fileno, events)

    def unwatch(self, fileno: int) -> None:
        """No longer."""
        if self._watched.pop(fileno, None) is not None:
            self._desk.unregister(fileno)

    def bell(self, then: Callable[[], None] | None = None) -> Bell:
        """A bell whose calls fail when the hosts are driven no longer."""
        bell = Bell(then)
        self._bells.add(bell)
        return bell

    # The thread

    def stop(self) -> None:
        """End the thread, once no event loop has the hosts, and let connections finish; harmless when done twice."""
        if self._holder == threading.get_ident():
            raise RuntimeError("the stack cannot be closed by its own event loop while that runs")
        with self._change:
            self._is_stopping = True
            if self._failure is None:
                os.eventfd_write(self._wake, 1)
        self._thread.join()
        _drivers.discard(self)

    def fail(self, error: StackError) -> None:
        """The device has failed."""
        self._end(OSError(errno.ENETDOWN, str(error)))

    def _run(self) -> None:
        reason = OSError(errno.ENETDOWN, "the stack was closed")
        self._own = threading.get_ident()
        try:
            while self._takers or not self._is_stopping:
                self._rest() if self._takers else self._turn(None)
            end = time.monotonic_ns() + GRACE
            while self._failure is None and not self._owner.finish() and time.monotonic_ns() < end:
                self._turn(0.01)
        except StackError as error:
            logger.error("%s", error)
            reason = OSError(errno.ENETDOWN, str(error))
        except Exception as error:
            logger.exception("the stack's thread has failed")
            reason = OSError(errno.ENETDOWN, f"the stack's thread has failed: {error!r}")
        finally:
            self._end(self._failure or reason)
            self._own = None
            self._close()

    def _turn(self, timeout: float | None) -> None:
        for fileno, _ in self.underlay.turn(self._epoll.poll, timeout):
            if fileno == self._desk.fileno():
                self.step()

    def _rest(self) -> None:
        with self._change:
            self._rests = True
            self._change.notify_all()
            self._change.wait_for(lambda: not self._takers)
            self._rests = False

    def _end(self, reason: OSError) -> None:
        with self._change:
            if self._failure is not None:
                return
            self._failure = reason
            self._is_stopping = True
            self._change.notify_all()
        while self._calls:
            self._calls.popleft()()
        self._owner.ended(_again(reason))
        for bell in list(self._bells):
            bell.fail(_again(reason))

    def _close(self) -> None:
        try:
            self.underlay.close()
        finally:
            self._desk.close()
            self._epoll.close()
            os.close(self._wake)

    def _abandon(self) -> None:
        """In a child that was forked: the thread is not there, and the hosts are the parent's."""
        self._change = threading.Condition()
        self._own = self._holder = None
        self._failure = OSError(errno.ENETDOWN, "the stack is the parent process's: fork() does not copy its thread")
        self._is_stopping = True
        self._desk.close()
        self._epoll.close()
        os.close(self._wake)
        self._owner.abandon()


def _abandon_all() -> None:
    for driver in list(_drivers):
        driver._abandon()


os.register_at_fork(after_in_child=_abandon_all)


def _again(error: OSError) -> OSError:
    return OSError(error.errno, error.strerror)
