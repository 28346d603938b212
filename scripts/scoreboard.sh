#!/usr/bin/env bash
# Puts the same faults to this project's server and to others, and prints a table of what
# each survived. Servers that are not installed or ran no row are left out, with a note.
#
#   scripts/scoreboard.sh [ROW...] [--all]
#
# Needs what scripts/faults.sh needs; the others are socat, ncat, python3 (asyncio), go
# and tokio (from crates.io).
set -euo pipefail
cd "$(dirname "$0")/.."
out=${CARGO_TARGET_DIR:-target}/scoreboard peers=tests/faults/peers
mkdir -p "$out"
names=()

# score NAME [-- COMMAND...]: runs the rows against the server of that command line, or ours.
score() {
    local name=$1
    shift
    echo "== $name" >&2
    # A row that fails is a result here.
    scripts/faults.sh "${rows[@]}" "$@" | tee "$out/$name" >&2 || true
    if grep -qE '^(F[0-9]+|MEM) ' "$out/$name"; then
        names+=("$name")
    else
        echo "== $name ran no row, and is left out" >&2
    fi
}

# has TOOL: whether it is installed.
has() { command -v "$1" >/dev/null || { echo "== $1 is not installed" >&2; return 1; }; }

rows=("$@")
score ours
if cargo build --quiet --release --locked --manifest-path "$peers/tokio/Cargo.toml" --target-dir "$out/tokio-build"; then
    score tokio -- "$out/tokio-build/release/tokio-echo" '{port}'
fi
if has go && go build -o "$out/go-echo" "$peers/echo.go"; then score go -- "$out/go-echo" '{port}'; fi
if has python3; then score asyncio -- python3 "$peers/echo.py" '{port}'; fi
# Their default limits would end these two early.
if has socat; then score socat -- socat 'TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=65535' EXEC:cat; fi
if has ncat; then score ncat -- ncat -lk -m 20000 127.0.0.1 '{port}' --exec /bin/cat; fi

((${#names[@]})) || { echo "no server ran a row" >&2; exit 1; }
# One line a row, one column a server.
for name in "${names[@]}"; do sed "s/^/$name /" "$out/$name"; done | awk -v names="${names[*]}" '
    BEGIN { count = split(names, name, " ") }
    $2 ~ /^(F[0-9]+|MEM)$/ {
        if (!($2 in fault)) {
            order[++rows] = $2
            fault[$2] = $0
            sub(/^[^ ]+ [^ ]+ [^ ]+ +/, "", fault[$2])
            sub(/:.*/, "", fault[$2])
        }
        verdict[$2, $1] = $3
        $3 == "survived" && ++survived[$1]
        $3 != "skipped" && ++tried[$1]
    }
    END {
        printf "| | fault |"; for (n = 1; n <= count; n++) printf " %s |", name[n]
        printf "\n|---|---|"; for (n = 1; n <= count; n++) printf "---|"
        for (r = 1; r <= rows; r++) {
            printf "\n| %s | %s |", order[r], fault[order[r]]
            for (n = 1; n <= count; n++) {
                word = verdict[order[r], name[n]]
                printf " %s |", word == "survived" ? "yes" : word == "FAILED" ? "**no**" : "-"
            }
        }
        printf "\n| | survived |"
        for (n = 1; n <= count; n++) printf " %d of %d |", survived[name[n]], tried[name[n]]
        printf "\n"
    }'
