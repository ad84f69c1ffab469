"""What pyproject.toml cannot say: how the C extension is built (see native/build.py)."""

from setuptools import setup

import build as native_build

setup(**native_build.setup_arguments())
