"""The selector of a SelectorEventLoop that has a network stack in it."""

import selectors

from stack.aio.underlay import Underlay

_NOBODY = (None, None)  # asyncio's data of a file descriptor: its reader's and its writer's handle


class StackSelector(selectors.EpollSelector):
    """An epoll that turns `underlay` whenever the loop asks what is ready."""

    def __init__(self, underlay: Underlay) -> None:
        super().__init__()
        self._underlay = underlay
        for fileno in underlay.filenos():
            self.register(fileno, selectors.EVENT_READ, _NOBODY)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What the loop's own file descriptors are ready for; the stack's work is done when this returns."""
        return list(self._underlay.turn(super().select, timeout))
