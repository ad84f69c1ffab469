# Makes the checkout's .venv. To be sourced by bash, not run; it defines
#
#     setup_venv run     the project and what it needs to run
#     setup_venv dev     the same, and what tests and checks need
#
# Both are quick when nothing has changed: the stamp is a hash of what the installation was made from. Run as root (by
# sudo) they work as the owner of the checkout, so that no file in it ends up owned by root.

tapstack_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

setup_fail() {
    printf 'tapstack: %s\n' "$@" >&2
    exit 1
}

# Runs a command as the owner of the checkout. (By env, since setpriv itself still finds what only root can read.)
setup_as_owner() {
    local uid gid
    uid=$(stat -c %u "$tapstack_root")
    gid=$(stat -c %g "$tapstack_root")
    if ((EUID == 0 && uid != 0)) && [[ $(</proc/self/uid_map) == *4294967295 ]]; then
        setpriv --reuid "$uid" --regid "$gid" --clear-groups \
            env "HOME=$(getent passwd "$uid" | cut -d: -f6)" "$@"
    else
        "$@"
    fi
}

# Prints the path of Python 3.11 or newer; $PYTHON, if set, is taken instead of searching.
setup_find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        setup_as_owner "$candidate" -c '
import sys
if sys.version_info < (3, 11):
    sys.exit(1)
print(sys.executable)' 2>/dev/null && return
    done
    if [[ -n ${PYTHON:-} ]]; then
        setup_fail "PYTHON=$PYTHON is not Python 3.11 or newer"
    fi
    setup_fail "Python 3.11 or newer is needed, and this machine has $(python3 --version 2>/dev/null || echo none)." \
        "On Debian 12, Ubuntu 24.04 and later:  sudo apt-get install python3 python3-dev python3-venv gcc libc6-dev"
}

# Names in one line every package that is missing, rather than one an attempt.
setup_check_packages() {
    local python=$1 version missing=()
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=("python$version-venv")
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
        missing+=("python$version-dev")
    if ! command -v "${CC:-cc}" >/dev/null; then
        missing+=(gcc libc6-dev)
    elif ! echo '#include <errno.h>' | "${CC:-cc}" -E - >/dev/null 2>&1; then
        missing+=(libc6-dev)
    fi
    if ((${#missing[@]})); then
        setup_fail "the C part cannot be built: ${missing[*]} missing. Install with:  sudo apt-get install ${missing[*]}"
    fi
}

# What the installation was made from: a move of the checkout or another Python makes it void too.
setup_stamp() {
    {
        printf '%s\n' "$tapstack_root" "$1"
        cat "$tapstack_root/pyproject.toml"
        find "$tapstack_root/native" -maxdepth 1 -type f \( -name '*.[ch]' -o -name '*.py' \) -print0 | LC_ALL=C sort -z |
            xargs -0 -r cat
    } | sha256sum | cut -d' ' -f1
}

setup_venv() {
    local mode=$1 venv=$tapstack_root/.venv python stamp what=.
    python=$(setup_find_python) || exit 1
    stamp=$(setup_stamp "$python") || exit 1
    # The lock lets two tools be started at once; it is on a file that is there anyway.
    exec 9<"$tapstack_root/pyproject.toml"
    flock 9
    if [[ $(cat "$venv/stamp-dev" 2>/dev/null) != "$stamp" ]] &&
        [[ $mode == dev || $(cat "$venv/stamp-run" 2>/dev/null) != "$stamp" ]]; then
        setup_check_packages "$python"
        echo "tapstack: setting up .venv with $python (once; takes a minute)" >&2
        if ! "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            setup_as_owner "$python" -m venv --clear "$venv" || setup_fail "cannot make $venv (see above)"
        fi
        if [[ $mode == dev ]]; then
            what='.[dev]'
        fi
        (cd "$tapstack_root" && setup_as_owner "$venv/bin/python" -m pip --disable-pip-version-check install --quiet \
            --editable "$what") || setup_fail "pip could not install the project into $venv (see above)"
        setup_as_owner tee "$venv/stamp-$mode" <<<"$stamp" >/dev/null
    fi
    exec 9<&-
}

# Makes build/compiled/stack: what TAPSTACK_COMPILE=1 pip install . installs, core compiled. For .venv of mode dev.
setup_compiled() {
    local folder=$tapstack_root/build/compiled stamp
    stamp=$(cd "$tapstack_root" && find native stack pyproject.toml -type f \( -name '*.[ch]' -o -name '*.py' -o -name '*.toml' \) \
        -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
    if [[ $(cat "$folder/stamp" 2>/dev/null) == "$stamp" ]]; then
        return
    fi
    echo "tapstack: compiling the core into build/compiled (takes two minutes)" >&2
    rm -rf "$folder"
    setup_as_owner mkdir -p "$folder"
    # By way of the source distribution: a build in the checkout would leave compiled modules for the next one.
    (
        cd "$tapstack_root" &&
            setup_as_owner .venv/bin/python -m build --no-isolation --sdist --outdir "$folder" . &&
            TAPSTACK_COMPILE=1 setup_as_owner .venv/bin/python -m pip --disable-pip-version-check --no-cache-dir wheel \
                --no-deps --no-build-isolation --wheel-dir "$folder" "$folder"/*.tar.gz
    ) >"$folder/log" 2>&1 || {
        tail -20 "$folder/log" >&2
        setup_fail "the core could not be compiled (see above)"
    }
    setup_as_owner "$tapstack_root/.venv/bin/python" -m zipfile -e "$folder"/*.whl "$folder"
    setup_as_owner tee "$folder/stamp" <<<"$stamp" >/dev/null
}
