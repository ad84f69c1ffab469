"""The build backend (PEP 517 and 660): setuptools, with the extension of native/build.py.

It lies in the tree, so that building needs nothing but what pyproject.toml names; setup.py imports `build` from this
folder, which is on the path because this backend is.
"""

import os
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What pyproject.toml names, and for the compiled core the compiler."""
    compiler = ["mypy>=1.18"] if os.environ.get("TAPSTACK_COMPILE") == "1" else []
    return [*build_meta.get_requires_for_build_wheel(config_settings), *compiler]
