"""What pyproject.toml cannot say: how the C extension is built (see native/build.py)."""

import build as native_build
from setuptools import setup

setup(**native_build.setup_arguments())
