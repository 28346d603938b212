#!/usr/bin/env bash
# Runs src/net/mailbox.rs in all interleavings of its senders and its reader (tests/loom/).
set -euo pipefail
cd "$(dirname "$0")/.."
out=${CARGO_TARGET_DIR:-target}/loom
mkdir -p "$out"

# Without link-time optimisation: nothing here is measured.
CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 RUSTFLAGS='--cfg loom' \
    cargo test --locked --no-default-features --release --quiet --target-dir "$out" --test loom -- --nocapture | tee "$out/models"
grep -oE '[0-9]+ interleavings' "$out/models" | awk '
    { all += $1 }
    END {
        printf "loom: %d models, %d interleavings, no wake-up lost\n", NR, all
        exit !NR
    }'
