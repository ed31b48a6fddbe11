# shellcheck shell=bash
# Shared by the scripts beside it.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
target=${CARGO_TARGET_DIR:-$PWD/target}
# shellcheck disable=SC2034 # read by the scripts that include this one
extension=$target/release/liblarder_php.so

fail() { echo "${0##*/}: $*" >&2; exit 1; }

# step TITLE COMMAND...: runs one step under its title; a step that fails ends the run.
step() {
    local title=$1 started=$SECONDS
    shift
    printf '\n── %s\n' "$title"
    "$@" || fail "failed: $title"
    printf '   ok, %d s\n' "$((SECONDS - started))"
}

# skip TITLE WHY: names a step that cannot be taken here. In continuous integration that is a failure.
skip() {
    [ "${CI:-}" != true ] || fail "$1: $2"
    printf '\n── %s\n   skipped: %s\n' "$1" "$2"
}

build_extension() { cargo build --release --locked -p larder-php "$@"; }

# venv NAME REQUIREMENTS: sees to it that $target/NAME has these Python packages.
venv() {
    local directory=$target/$1
    cmp -s "$2" "$directory/requirements.txt" && return
    rm -rf "$directory"
    python3 -m venv "$directory"
    "$directory/bin/pip" install --quiet --disable-pip-version-check -r "$2" || fail "the Python packages of $2 could not be installed"
    cp "$2" "$directory/requirements.txt"
}
