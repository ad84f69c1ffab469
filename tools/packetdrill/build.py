"""Builds the shared object: python -m tools.packetdrill.build --header packetdrill.h [--output FILE]

packetdrill.h is the interface, from packetdrill's own sources, which are not part of this project.
"""

import argparse
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TYPES = """
    struct iovec { void *iov_base; size_t iov_len; };
    struct pollfd { int fd; short events; short revents; };
"""


def build(header: Path, output: Path) -> None:
    """Compile glue.c and an embedded Python into `output`."""
    ffi = FFI()
    ffi.cdef(TYPES)
    ffi.embedding_api((HERE / "exports.h").read_text())
    library = Path(sysconfig.get_config_var("LIBDIR")) / sysconfig.get_config_var("LDLIBRARY")
    ffi.set_source(
        "tapstack_packetdrill",
        "#include <poll.h>\n#include <stdint.h>\n#include <sys/uio.h>\n",
        sources=[str(HERE / "glue.c")],
        include_dirs=[str(HERE)],
        # By its path: the directory that it is in has an assert.h of its own.
        define_macros=[("TAPSTACK_LIBPYTHON", f'"{library}"'), ("PACKETDRILL_H", f'"{header.resolve()}"')],
    )
    path = [str(ROOT), *[each for each in sys.path if each]]
    ffi.embedding_init_code(f"import sys\nsys.path[:0] = {path!r}\nimport tools.packetdrill.embedded\n")
    with tempfile.TemporaryDirectory() as directory:
        shutil.move(ffi.compile(tmpdir=directory, target="tapstack_packetdrill.so"), output)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools.packetdrill.build", description="Build the stack for packetdrill.")
    parser.add_argument("--header", type=Path, required=True, metavar="FILE", help="packetdrill.h")
    parser.add_argument("--output", type=Path, default=Path("build/tapstack_packetdrill.so"), help="the shared object")
    options = parser.parse_args(arguments)
    if not options.header.is_file():
        print(f"{parser.prog}: there is no {options.header}", file=sys.stderr)
        return 1
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        print(f"{parser.prog}: this Python has no shared library to be embedded", file=sys.stderr)
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    build(options.header, options.output)
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
