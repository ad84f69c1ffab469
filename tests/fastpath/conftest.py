"""What the tests of the fastpath share: each implementation in turn."""

import pytest

from stack.fastpath import reference


@pytest.fixture(params=["native", "reference"])
def fastpath(request):
    if request.param == "reference":
        return reference
    return pytest.importorskip("stack.fastpath.native", reason="only the Python fastpath is installed")
