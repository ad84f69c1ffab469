"""Waiting for what comes very soon; a clock of the test's own, which every look takes a microsecond of."""

from collections.abc import Callable

import pytest

from stack.clock import MICROSECOND, SECOND
from stack.io import waiting
from stack.io.waiting import EAGER, Waiting


class Epoll:
    """Events come at the instants `at`; `slept` are the waits that were not mere looks."""

    def __init__(self, *at: int) -> None:
        self.now = 0
        self.slept: list[float | None] = []
        self._at = list(at)

    def poll(self, timeout: float | None) -> list[int]:
        self.now += MICROSECOND
        if timeout != 0:
            self.slept.append(timeout)
            end = self.now + round(timeout * SECOND) if timeout is not None else self._at[0]
            self.now = max(self.now, min([end, *self._at[:1]]))
        return [self._at.pop(0)] if self._at and self._at[0] <= self.now else []


@pytest.fixture
def waiter(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Epoll, Waiting]]:
    def make(*at: int, loops: int = 1) -> tuple[Epoll, Waiting]:
        epoll = Epoll(*at)
        monkeypatch.setattr(waiting.time, "monotonic_ns", lambda: epoll.now)
        monkeypatch.setattr(waiting.os, "sched_getaffinity", lambda process: {0, 1})
        return epoll, Waiting(loops)

    return make


def test_after_a_short_wait_it_looks_before_it_sleeps(waiter) -> None:
    epoll, waits = waiter(EAGER // 2, EAGER, 2 * EAGER)
    assert [waits.wait(epoll.poll, 1.0) for _ in range(3)] == [[EAGER // 2], [EAGER], [2 * EAGER]]
    assert epoll.slept == [1.0]


def test_after_a_long_one_it_sleeps_at_once(waiter) -> None:
    epoll, waits = waiter(2 * EAGER, 4 * EAGER)
    assert waits.wait(epoll.poll, None) and waits.wait(epoll.poll, None)
    assert epoll.slept == [None, None]


def test_it_looks_in_vain_once_only_and_no_longer_than_it_may_wait(waiter) -> None:
    epoll, waits = waiter(EAGER // 2, 10 * EAGER, 20 * EAGER)
    assert waits.wait(epoll.poll, None)
    began = epoll.now
    assert waits.wait(epoll.poll, 20 * MICROSECOND / SECOND) == []
    assert epoll.now - began < 30 * MICROSECOND and epoll.slept == [None]
    assert waits.wait(epoll.poll, None) and epoll.slept == [None, None]


def test_the_time_that_it_looked_is_part_of_the_wait(waiter) -> None:
    epoll, waits = waiter(EAGER // 2)
    assert waits.wait(epoll.poll, None)
    began = epoll.now
    assert waits.wait(epoll.poll, 3 * EAGER / SECOND) == []
    assert abs(epoll.now - began - 3 * EAGER) < 10 * MICROSECOND


def test_who_does_not_wait_looks_once(waiter) -> None:
    epoll, waits = waiter(EAGER // 2, 10 * EAGER)
    assert waits.wait(epoll.poll, None)
    began = epoll.now
    assert waits.wait(epoll.poll, 0) == [] and epoll.now - began == MICROSECOND


def test_without_a_processor_for_the_others_it_sleeps(waiter) -> None:
    epoll, waits = waiter(EAGER // 2, EAGER, loops=2)
    assert waits.wait(epoll.poll, None) and waits.wait(epoll.poll, None)
    assert epoll.slept == [None, None]
