"""Builds the C extension stack._native (cffi, API mode, stable ABI).

    python native/build.py --inplace     into stack/, for work on the checkout
    python native/build.py --sanitize    the C files and their harness with ASan and UBSan, and run it

With TAPSTACK_PURE=1 in the environment nothing is built, and the stack runs on its Python twin. With
TAPSTACK_COMPILE=1 mypyc makes C of the core, too: the typed Python that every segment goes through. That Python is the
one source, and what the tests run; compiled it does the same in a quarter of the time. It takes minutes, and what
comes out fits one version of Python, so it is not what an installation does unasked.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import cffi
from setuptools import Extension
from setuptools.command.build_ext import build_ext
from setuptools.dist import Distribution
from setuptools.errors import CompileError

ROOT: Final = Path(__file__).resolve().parent.parent
NATIVE: Final = Path("native")  # relative to ROOT: setuptools wants its paths so
SOURCES: Final = [
    str(NATIVE / name)
    for name in ("batch.c", "checksum.c", "merge.c", "offload.c", "parse.c", "reassemble.c", "split.c")
]
HEADERS: Final = [str(NATIVE / name) for name in ("net.h", "offload.h")]
WARNINGS: Final = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
OPTIMIZATION: Final = ["-O3"]
SANITIZERS: Final = [
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
]

CORE: Final = [
    "clock.py",
    "echo.py",
    "events.py",
    "path.py",
    "host.py",
    "fastpath/native.py",
    "fastpath/ring.py",
    "internet/*.py",
    "io/driver.py",
    "io/engine.py",
    "io/waiting.py",
    "link/conflict.py",
    "link/interface.py",
    "link/neighbors.py",
    "transport/flow.py",
    "transport/udp.py",
    "transport/tcp/*.py",
    "transport/tcp/congestion/*.py",
    "wire/ethernet.py",
    "wire/icmp.py",
    "wire/ipv4.py",
    "wire/tcp.py",
    "wire/tcp_options.py",
    "application/http/connection.py",
    "application/http/dates.py",
    "application/http/messages.py",
    "application/http/reading/framing.py",
    "application/http/reading/grammar.py",
    "application/http/routes.py",
    "application/http/server.py",
    "application/http/targets.py",
    "application/site.py",
]


class BuildExt(build_ext):
    """Compiles our C files with every warning an error; the file that cffi generates would not bear that."""

    def build_extension(self, ext: Extension) -> None:
        """Build `ext` from the generated file and our objects."""
        ours = [source for source in ext.sources if source in SOURCES]
        ext.sources = [source for source in ext.sources if source not in SOURCES]
        try:
            objects = self.compiler.compile(
                ours,
                output_dir=self.build_temp,
                include_dirs=ext.include_dirs,
                extra_postargs=WARNINGS + OPTIMIZATION,
                depends=HEADERS,
            )
            ext.extra_objects = [*ext.extra_objects, *objects]
            super().build_extension(ext)
        except CompileError as error:
            raise CompileError(
                f"{error}\ntapstack's C extension could not be compiled. It needs a C compiler and Python's headers "
                "(Debian, Ubuntu: sudo apt-get install gcc libc6-dev python3-dev); or set TAPSTACK_PURE=1 to do without"
            ) from None


def setup_arguments() -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    if os.environ.get("TAPSTACK_PURE") == "1":
        return {}
    if os.environ.get("TAPSTACK_COMPILE") == "1":
        return {"ext_modules": [extension(), *core_extensions()], "cmdclass": {"build_ext": BuildExt}}
    return {
        "ext_modules": [extension()],
        "cmdclass": {"build_ext": BuildExt},
        "options": {"bdist_wheel": {"py_limited_api": "cp311"}},
    }


def extension() -> Extension:
    """stack._native, its wrapper generated from net.h."""
    builder = cffi.FFI()
    builder.cdef((ROOT / NATIVE / "net.h").read_text())
    builder.set_source(
        "stack._native",
        '#include <stddef.h>\n#include <stdint.h>\n#include "net.h"',
        include_dirs=[str(NATIVE)],
        py_limited_api=True,
        extra_compile_args=OPTIMIZATION,
    )
    generated = Path("build") / "native" / "_native.c"
    (ROOT / generated).parent.mkdir(parents=True, exist_ok=True)
    builder.emit_c_code(str(ROOT / generated))
    return Extension(
        "stack._native",
        sources=[str(generated), *SOURCES],
        include_dirs=[str(NATIVE)],
        extra_compile_args=OPTIMIZATION,
        depends=[*SOURCES, *HEADERS],  # what build_ext compares with the time of the last link
        py_limited_api=True,
    )


def core_extensions() -> list[Any]:
    """The modules of the core, compiled; to be called in the folder that `stack` lies in."""
    from mypyc.build import mypycify  # only here: who does not ask for it need not have it

    files = sorted(str(path) for pattern in CORE for path in Path("stack").glob(pattern))
    extensions = list(mypycify(["--strict", *files], opt_level="2"))
    for each in extensions:
        each.extra_compile_args.append("-g0")  # debug information takes the compiler as long as the code
    return extensions


def build_inplace() -> None:
    """Build the extension into the checkout's stack/."""
    os.chdir(ROOT)
    distribution = Distribution({"name": "tapstack", "packages": ["stack"], **setup_arguments()})
    command = BuildExt(distribution)
    command.inplace = True
    command.ensure_finalized()
    command.run()


def run_sanitized() -> int:
    """Compile the C files and native/fuzz/harness.c with sanitizers, and run it; returns its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "harness"
        sources = [*SOURCES, str(NATIVE / "fuzz" / "harness.c")]
        compiler = os.environ.get("CC", "cc")
        subprocess.run(
            [compiler, *WARNINGS, *SANITIZERS, f"-I{NATIVE}", *sources, "-o", str(program)], cwd=ROOT, check=True
        )
        return subprocess.run([program], timeout=300, check=False).returncode


if __name__ == "__main__":
    if sys.argv[1:] == ["--inplace"]:
        build_inplace()
    elif sys.argv[1:] == ["--sanitize"]:
        sys.exit(run_sanitized())
    else:
        sys.exit(__doc__)
