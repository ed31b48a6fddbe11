# Shared by the scripts beside it.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
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

# skip TITLE WHY
skip() { printf '\n── %s\n   skipped: %s\n' "$1" "$2"; }

build_extension() { cargo build --release --locked -p larder-php; }
