#!/usr/bin/env bash
# Fuzzes the codec and the connection against a naive codec, under AddressSanitizer.
#
#   scripts/fuzz.sh [SECONDS]    [60]
#
# The corpus stays in tests/fuzz/corpus/, an input that fails in tests/fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
cargo fuzz --version >/dev/null 2>&1 ||
    { echo "error: cargo-fuzz is needed: cargo install --locked cargo-fuzz" >&2; exit 2; }

out=${CARGO_TARGET_DIR:-target}/fuzz
log=$out/log
mkdir -p "$out"
# RUSTC_BOOTSTRAP allows sanitizers, which are unstable, with the stable compiler.
if ! RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz --target-dir "$out" echo -- \
    -max_total_time="$seconds" -timeout=10 -print_final_stats=1 >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "fuzz: an input fails, or the target does not build: $log" >&2
    exit 1
fi
awk '$1 == "Done" { printf "fuzz: %d executions in %d seconds, nothing found\n", $2, $5; done = 1 } END { exit !done }' "$log"
