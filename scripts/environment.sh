# shellcheck shell=bash
# Sourced by the other scripts: makes .venv and installs the project into it, once; later calls return at once.
#
# environment base | EXTRA…     wants the project, with these extras of pyproject.toml
# packages PROGRAM:PACKAGE…     wants programs

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=$ROOT/.venv

# Hundreds of programs are started from here: without bytecode on the disk each would compile the sources again.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*" >&2; }
die() {
    say "${0##*/}: $*"
    exit 1
}

# The system's own Python, if it can do all that is wanted, or else the first one that is new enough. Debian's is built
# with optimisations, a seventh faster here than one that was built without, as pyenv does.
find_python() {
    local candidate
    if new_enough /usr/bin/python3 && makes_environments /usr/bin/python3; then
        echo /usr/bin/python3
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    die "Python 3.11 or later is needed (Debian 12 and later: apt install python3 python3-venv)"
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

makes_environments() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# Debian packages by name. Services that come with them are not started. Ordinary users are told what to ask for.
# In a shell of its own, so that the ban on starting services ends with it whatever happens.
install_packages() (
    [ "$(id -u)" = 0 ] || exit 1
    command -v apt-get >/dev/null || exit 1
    say "installing: $*"
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get -qq update </dev/null >&2 || say "package lists could not be renewed, going on with what there is"
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" </dev/null >&2
)

# What is missing of PROGRAM:PACKAGE pairs is installed where we may; where not, its tests are skipped with their reason.
packages() {
    local pair missing=()
    for pair in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}" || say "not installed: ${missing[*]}"
}

# A venv that was moved with its folder, or whose Python has gone, is no good. Where its path is long or has blanks, a
# program of it begins with two lines of shell.
venv_works() {
    "$VENV/bin/python" -c '' 2>/dev/null && grep -qF "$VENV/bin/" <(head -n 2 "$VENV/bin/pip" 2>/dev/null)
}

make_venv() {
    venv_works && return
    local python
    python=$(find_python) || exit 1
    if ! makes_environments "$python"; then
        install_packages python3-venv || die "the module venv is missing (apt install python3-venv)"
    fi
    [ ! -L "$VENV" ] || rm "$VENV" # It leads to another checkout's, which is not ours to empty.
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear "$VENV" || die "cannot make $VENV"
}

mark_current() {
    local extra
    for extra in "$@"; do
        printf '%s' "$WANTED" >"$VENV/.installed-$extra"
    done
}

# Every wanted extra was installed for this pyproject.toml already.
is_current() {
    local extra
    for extra in "$@"; do
        [ "$(cat "$VENV/.installed-$extra" 2>/dev/null)" = "$WANTED" ] || return 1
    done
    venv_works
}

environment() {
    local WANTED extras=
    WANTED=$(sha256sum <"$ROOT/pyproject.toml")
    is_current "$@" && return
    if ! mkdir -p "$VENV" || [ ! -w "$VENV" ]; then
        die "cannot write to $VENV: use a copy of the project that is yours"
    fi
    exec 9<"$ROOT/pyproject.toml" # Two scripts at once: the second waits for the first, then finds all done.
    flock 9
    if ! is_current "$@"; then
        make_venv
        if [ "$*" != base ]; then
            extras=[$(IFS=,; printf '%s' "$*")]
        fi
        say "installing proxyd$extras and what it needs into .venv"
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e "$ROOT$extras" </dev/null ||
            die "installation failed, see above"
        mark_current base "$@"
    fi
    exec 9<&-
}
