"""How much the property tests try: the same examples in every run of a check, other and many more in the long one."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("check", derandomize=True, deadline=None)
settings.register_profile("long", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("check")


@pytest.fixture
def heeds_sighup() -> Iterator[None]:
    """SIGHUP ends processes, ours and those that the test starts, also where pytest runs under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
