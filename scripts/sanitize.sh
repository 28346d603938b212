#!/usr/bin/env bash
# Looks for memory that is misused or leaked and for descriptors that stay open: runs the
# tests under AddressSanitizer and LeakSanitizer, and the server under valgrind.
#
#   scripts/sanitize.sh [asan|valgrind]    [both]
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=$target/sanitize
mkdir -p "$out"
server=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true' EXIT
fail() { echo "sanitize: $1: $2" >&2; exit 1; }

# RUSTC_BOOTSTRAP allows sanitizers, which are unstable, with the stable compiler. Naming
# the target keeps them out of build scripts and macros. The documentation's tests need the
# same of rustdoc, and the fault harness judges memory that the sanitizer uses, so neither
# runs here. Programs that the tests start report to files, because their output may not be
# read. What must stay small or keep a rate is larger and slower under a sanitizer, and
# LeakSanitizer works neither under strace, nor without /proc, nor as a user who may not write
# its report, so those tests are left out.
asan() {
    local failed=0
    local skipped=(--skip overloaded_workers --skip announced_lengths)
    skipped+=(--skip memory_does_not_grow --skip the_rate_decides --skip examples::)
    skipped+=(--skip sandbox:: --skip without_proc:: --skip without_a_thread)
    rm -f "$out"/report.*
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS="detect_leaks=1:log_path=$out/report" \
        cargo test --locked --quiet --target x86_64-unknown-linux-gnu --target-dir "$out/asan" \
        --lib --bins --test it -- "${skipped[@]}" >"$out/tests" 2>&1 || failed=1
    ! cat "$out"/report.* >&2 2>/dev/null || fail asan "something was found: $out/report.*"
    ((!failed)) || { tail -n 40 "$out/tests" >&2; fail asan "a test fails: $out/tests"; }
    awk '/^test result: ok/ { passed += $4 }
        END { printf "asan: %d tests, nothing misused, nothing leaked\n", passed; exit !passed }' "$out/tests"
}

# opened LOG: prints the descriptors that are open at the end and were not inherited.
opened() {
    sed -E 's/^==[0-9]+== *//' "$1" | awk '
        what { if (!/inherited from parent/) print what, $0 }
        { what = /^Open / ? $0 : "" }'
}

# serve WORKERS FLAGS...: runs a server under valgrind and a client, then sends SIGTERM.
serve() {
    local log=$out/valgrind workers=$1
    shift
    rm -f "$out/address"
    valgrind --log-file="$log" --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=99 \
        --track-fds=yes "$target/release/server" 127.0.0.1 0 --io-threads 2 --workers "$workers" \
        --idle-timeout 10s "$@" >"$out/address" 2>"$out/server.log" &
    server=$!
    until grep -q . "$out/address" 2>/dev/null; do
        kill -0 "$server" 2>/dev/null || fail valgrind "the server does not start: $log"
        sleep 0.1
    done
    timeout 60 "$target/release/client" 127.0.0.1 "$(sed 's/.*://' "$out/address")" --connections 20 \
        --messages 200 --no-progress --quiet --output "$out/client" "$@" ||
        fail valgrind "the client found something: $out/client"
    kill -TERM "$server"
    wait "$server" || { cat "$log" >&2; fail valgrind "something was found, or no clean end: $log"; }
    server=''
    grep -qE 'definitely lost: 0 bytes|no leaks are possible' "$log" || fail valgrind "memory is lost: $log"
    # The thread that waits for signals holds the handle of the server, and with it the wakers of
    # the acceptor and of both I/O threads, until the process ends.
    local left wakers
    left=$(opened "$log")
    wakers=$(grep -c eventfd <<<"$left" || true)
    [[ $wakers -le 3 && -z $(grep -v eventfd <<<"$left") ]] ||
        { echo "$left" >&2; fail valgrind "descriptors are left open: $log"; }
    echo "valgrind: $workers workers${*:+ and $*}, nothing misused, nothing lost, no descriptor left open but those wakers"
}

valgrind_runs() {
    command -v valgrind >/dev/null || fail valgrind "it is needed: apt-get install valgrind"
    cargo build --release --quiet --bins
    serve 0
    serve 2 --framing len32 --reply-prefix reply:
}

case ${1:-both} in
    asan) asan ;;
    valgrind) valgrind_runs ;;
    both)
        asan
        valgrind_runs
        ;;
    *) echo "usage: scripts/sanitize.sh [asan|valgrind]" >&2; exit 2 ;;
esac
