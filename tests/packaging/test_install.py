"""The distribution is built and installed as a user would, each time into a clean venv."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEEN = "from stack import fastpath; import stack; print(fastpath.NAME, stack.__file__)"

pytestmark = pytest.mark.packaging


def run(*command, cwd, **environment):
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TAPSTACK_FASTPATH")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What git has, and nothing that was built here."""
    folder = tmp_path_factory.mktemp("packaging") / "checkout"
    folder.mkdir()
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def sdist(checkout, tmp_path_factory):
    out = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", out, cwd=checkout)
    return next(out.glob("tapstack-*.tar.gz"))


@pytest.fixture
def clean_venv(tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    return tmp_path / "venv" / "bin"


def test_the_sdist_has_what_a_build_needs(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"native/net.h", "native/backend.py", "native/build.py", "native/parse.c", "setup.py", "LICENSE"} <= names
    assert not any(name.endswith((".so", ".o", ".pyc")) for name in names)
    assert not any(name.startswith("tests/") for name in names), "a few of the tests are worse than none"


def test_a_wheel_from_the_sdist_has_the_extension_for_the_stable_abi(sdist, clean_venv, tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, sdist, cwd=tmp_path)
    wheel = next(tmp_path.glob("tapstack-*.whl"))
    assert "-cp311-abi3-linux_" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "stack/_native.abi3.so" in names
    assert any(name.endswith(".html") for name in names), "the built-in page is missing"
    run(clean_venv / "pip", "install", "--quiet", wheel, cwd=tmp_path)
    name, where = run(clean_venv / "python", "-c", SEEN, cwd=tmp_path).split()
    assert name == "native"
    assert str(tmp_path) in where
    assert run(clean_venv / "tapstack", "--version", cwd=tmp_path).strip()


def test_an_editable_install_runs_the_checkout(checkout, clean_venv, tmp_path):
    run(clean_venv / "pip", "install", "--quiet", "--editable", checkout, cwd=tmp_path)
    name, where = run(clean_venv / "python", "-c", SEEN, cwd=tmp_path).split()
    assert name == "native"
    assert Path(where).parent == checkout / "stack"


def test_without_the_extension_the_stack_runs_and_says_so_once(checkout, tmp_path):
    (tmp_path / "pure").mkdir()
    shutil.copytree(checkout / "stack", tmp_path / "pure" / "stack", ignore=shutil.ignore_patterns("*.so"))
    code = f"import logging; logging.basicConfig(); {SEEN}; import stack.host"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],  # without site-packages, where the extension may be
        cwd=tmp_path / "pure",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "pure")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split()[0] == "reference"
    assert done.stderr.count("the C extension is not built") == 1
