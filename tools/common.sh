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

# side_by_side FUNCTION...: runs functions, each of which takes steps, at the same time; prints what each printed as it ends.
side_by_side() {
    local work function pid failed=0
    local -A running=()
    work=$(mktemp -d)
    for function; do
        "$function" >"$work/$function" 2>&1 &
        running[$!]=$function
    done
    while [ "${#running[@]}" -gt 0 ]; do
        wait -n -p pid "${!running[@]}" || failed=1
        cat "$work/${running[$pid]}"
        unset "running[$pid]"
    done
    rm -r "$work"
    return "$failed"
}

# skip TITLE WHY: names a step that cannot be taken here. In continuous integration that is a failure.
skip() {
    [ "${CI:-}" != true ] || fail "$1: $2"
    printf '\n── %s\n   skipped: %s\n' "$1" "$2"
}

# All commands that compile for tests name the same, so that no crate is compiled twice for another choice of features.
# shellcheck disable=SC2034 # read by the scripts that include this one
everything=(--locked --workspace --all-targets --features larder-php/probe)

# release CRATE [OPTION...]: builds it as it is installed. No path of this machine is in what comes out.
release() {
    local home=${CARGO_HOME:-$HOME/.cargo} separator=$'\x1f'
    CARGO_ENCODED_RUSTFLAGS="${RUSTFLAGS:+${RUSTFLAGS// /$separator}$separator}--remap-path-prefix=$PWD=/larder$separator--remap-path-prefix=$target=/larder/target$separator--remap-path-prefix=$home=/cargo" \
        CFLAGS="${CFLAGS:-} -ffile-prefix-map=$PWD=/larder -ffile-prefix-map=$home=/cargo" cargo build --release --locked -p "$@"
}
# shellcheck disable=SC2120 # some callers give options, some none
build_extension() { release larder-php "$@"; }
build_command() { release larder-cli; }

# venv NAME REQUIREMENTS: sees to it that $target/NAME has these Python packages.
venv() {
    local directory=$target/$1
    cmp -s "$2" "$directory/requirements.txt" && return
    rm -rf "$directory"
    python3 -m venv "$directory"
    "$directory/bin/pip" install --quiet --disable-pip-version-check -r "$2" || fail "the Python packages of $2 could not be installed"
    cp "$2" "$directory/requirements.txt"
}
