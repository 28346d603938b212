#!/usr/bin/env bash
# Counts what a promise is made of, and fails where one is broken: system calls
# an echo, bytes an idle connection, the time to start 64 threads (reported, and
# gated at five times its promise).
#
#   scripts/counts.sh
#
# CONNECTIONS   how many idle ones [15000, or what the descriptor limit allows]
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in strace python3; do
    command -v "$tool" >/dev/null || { echo "error: $tool is needed" >&2; exit 2; }
done
cargo build --release --quiet --bins
out=target/counts
mkdir -p "$out"

# echo_calls WHAT FLAGS...: counts the calls of one I/O thread, 30 connections.
echo_calls() {
    local what=$1 messages=30000 tracer server
    shift
    rm -f "$out/server.log" "$out/address"
    strace -f -c -o "$out/strace" target/release/server 127.0.0.1 0 --io-threads 1 \
        --log-file "$out/server.log" "$@" >"$out/address" &
    tracer=$!
    until grep -q . "$out/address" 2>/dev/null; do sleep 0.05; done
    target/release/client 127.0.0.1 "$(sed 's/.*://' "$out/address")" --messages $((messages / 30)) \
        --no-progress --quiet --output "$out/client" "$@"
    server=$(sed -n 's/.* pid=//p' "$out/server.log")
    kill -TERM "$server"
    wait "$tracer"
    awk -v what="$what" -v messages=$messages '
        $NF ~ /^(epoll_wait|recvfrom|sendto|epoll_ctl)$/ { calls[$NF] = $4 }
        END {
            all = (calls["epoll_wait"] + calls["recvfrom"] + calls["sendto"]) / messages
            printf "%-34s %.3f system calls an echo (wait %.3f, read %.3f, write %.3f); %d epoll_ctl for 30 connections\n",
                what, all, calls["epoll_wait"] / messages, calls["recvfrom"] / messages, calls["sendto"] / messages, calls["epoll_ctl"]
            exit !(all > 1 && all <= 2.05 && calls["epoll_ctl"] < 60)
        }' "$out/strace"
}

echo_calls "raw"
echo_calls "len32, replies with a prefix" --framing len32 --reply-prefix reply:
python3 scripts/idle.py raw
python3 scripts/idle.py len32
