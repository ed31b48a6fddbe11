# shellcheck shell=bash
# Shared by the scripts in this directory's parent: a throw-away copy of a Moodle tree, with the store plugin in it and the extension loaded.
# Expects MOODLE_DIR, here (this script's directory's parent) and root; sets store, work, tree and public.

store=${STORE:-larder}

fail() { echo "test-moodle: $*" >&2; exit 2; }

# make_tree: copies MOODLE_DIR to $tree and puts the plugin that is to be tested, counting its calls, in it.
make_tree() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/larder-moodle.XXXXXX")
    tree=$work/tree
    trap finish EXIT
    trap 'exit 130' INT TERM
    # Servers and options may name directories of this run.
    SERVER=${SERVER:-} BESIDE=${BESIDE:-} OPTIONS=${OPTIONS:-}
    SERVER=${SERVER//WORK/$work} BESIDE=${BESIDE//WORK/$work}
    export OPTIONS=${OPTIONS//WORK/$work}
    slow_mount

    # PHP processes started by others (isolated tests, workers) need the same settings: they go by the environment.
    mkdir "$work/ini"
    export PHP_INI_SCAN_DIR=":$work/ini" LARDER_TEST_CALLS="$work/calls"
    printf 'max_input_vars = 5000\nmemory_limit = 1G\n' >"$work/ini/99-larder-test.ini"
    if [ "$store" = larder ]; then
        local extension=${EXTENSION:-$root/target/release/liblarder_php.so}
        [ -f "$extension" ] || fail "$extension is missing: run make first."
        echo "extension = $extension" >>"$work/ini/99-larder-test.ini"
        php -r 'exit(extension_loaded("larder") ? 0 : 1);' || fail "PHP does not load $extension."
    fi

    # Hard links cost nothing; every file that is written below is replaced first.
    cp -al "$MOODLE_DIR/." "$tree" 2>/dev/null || { rm -rf "$tree"; cp -a "$MOODLE_DIR/." "$tree"; }
    public=$tree
    [ ! -d "$tree/public" ] || public=$tree/public   # The layout of Moodle 5.1.
    local plugin=$public/cache/stores/$store
    if [ "$store" = larder ]; then
        rm -rf "$plugin"
        mkdir "$plugin"
        cp -rL "$root/moodle-plugin/." "$plugin"
    fi
    php "$here/lib/count_calls.php" "$store" "$plugin/lib.php"
}

# slow_mount: with SLOW_US, mounts $work/mounted, where each request to the filesystem takes so many microseconds, and makes
# a directory in it the default server.
slow_mount() {
    [ -n "${SLOW_US:-}" ] || return 0
    local program=${SLOW_MOUNT:-$root/target/release/slow-mount} answer=
    [ -x "$program" ] || fail "$program is missing: cargo build --release -p larder-benches --bin slow-mount."
    mkdir "$work/exported" "$work/mounted"
    mkfifo "$work/ask" "$work/told"   # Each line asks for the number of requests; the mount ends when nobody can ask.
    "$program" --delay-us "$SLOW_US" "$work/exported" "$work/mounted" <"$work/ask" >"$work/told" &
    slowpid=$!
    exec 9>"$work/ask" 8<"$work/told"
    read -r answer <&8 || true
    [ "$answer" = mounted ] || fail "SLOW_US needs FUSE, and nothing can be mounted here."
    SERVER=${SERVER:-dir:$work/mounted/store}
}

# clean_up: removes what the run has made. Nothing may use the store any more.
clean_up() {
    if [ -n "${slowpid:-}" ]; then
        exec 9>&- 8<&-
        wait "$slowpid" || true
    fi
    rm -rf "$work"
}

# change_config CODE: adds PHP code to the copy's config.php, just before Moodle is loaded.
change_config() {
    php "$here/lib/change_config.php" "$MOODLE_DIR/config.php" "$1" >"$work/config.php"
    mv -f "$work/config.php" "$tree/config.php"
}

# lay_out_public: moves what a web server may serve to public/, as Moodle 5.1 does. config.php and the command line stay.
lay_out_public() {
    local entry
    mkdir "$tree/public"
    for entry in "$tree"/* ; do
        case ${entry##*/} in
            public | config.php | vendor | node_modules | composer.* | package.json | npm-shrinkwrap.json | phpunit.xml*) ;;
            *) mv "$entry" "$tree/public/" ;;
        esac
    done
    public=$tree/public
    printf '%s\n' '<?php' "require_once(__DIR__ . '/../config.php');" >"$public/config.php"
}
