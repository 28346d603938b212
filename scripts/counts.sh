#!/usr/bin/env bash
# Counts what a promise is made of, and fails where one is broken: system calls
# an echo (of the server and of the client), bytes an idle connection, the time to start
# 64 threads (reported, and gated at five times its promise). Processor time is reported.
#
#   scripts/counts.sh
#
# CONNECTIONS   how many idle ones [15000, or what the descriptor limit allows]
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in strace python3 taskset; do
    command -v "$tool" >/dev/null || { echo "error: $tool is needed" >&2; exit 2; }
done
cargo build --release --quiet --bins
out=target/counts
mkdir -p "$out"

# echo_calls WHO WHAT FLAGS...: counts the calls of the server's one I/O thread, or of
# the client, with 30 connections.
echo_calls() {
    local who=$1 what="$1, $2" messages=30000 server
    local trace=(strace -f -c -o "$out/strace") around_server=() around_client=()
    [ "$who" = server ] && around_server=("${trace[@]}") || around_client=("${trace[@]}")
    shift 2
    rm -f "$out/server.log" "$out/address"
    "${around_server[@]}" target/release/server 127.0.0.1 0 --io-threads 1 \
        --log-file "$out/server.log" "$@" >"$out/address" &
    server=$!
    until grep -q . "$out/address" 2>/dev/null; do sleep 0.05; done
    "${around_client[@]}" target/release/client 127.0.0.1 "$(sed 's/.*://' "$out/address")" \
        --messages $((messages / 30)) --no-progress --quiet --output "$out/client" "$@"
    kill -TERM "$(sed -n 's/.* pid=//p' "$out/server.log")"
    wait "$server"
    awk -v what="$what" -v messages=$messages '
        $NF ~ /^(epoll_wait|epoll_pwait2|recvfrom|sendto|epoll_ctl)$/ { calls[$NF] = $4 }
        END {
            waits = calls["epoll_wait"] + calls["epoll_pwait2"]
            all = (waits + calls["recvfrom"] + calls["sendto"]) / messages
            printf "%-34s %.3f system calls an echo (wait %.3f, read %.3f, write %.3f); %d epoll_ctl for 30 connections\n",
                what, all, waits / messages, calls["recvfrom"] / messages, calls["sendto"] / messages, calls["epoll_ctl"]
            exit !(all > 1 && all <= 2.05 && calls["epoll_ctl"] < 120)
        }' "$out/strace"
}

echo_calls server "raw"
echo_calls server "len32 with a prefix" --framing len32 --reply-prefix reply:
echo_calls client "raw"
echo_calls client "len32 with a prefix" --framing len32 --reply-prefix reply:

# processor_time: what an echo costs either end, each on a CPU of its own.
processor_time() {
    local server
    rm -f "$out/address"
    taskset -c 0 target/release/server 127.0.0.1 0 --io-threads 1 --log-file "$out/server.log" >"$out/address" &
    server=$!
    until grep -q . "$out/address" 2>/dev/null; do sleep 0.05; done
    for _ in 1 2 3 4 5; do
        taskset -c 1 target/release/client 127.0.0.1 "$(sed 's/.*://' "$out/address")" --messages 10k \
            --no-progress --quiet --server-pid "$server" | sed -n '/^client \|^server /p'
    done | sort -k1,1 -k2,2n | awk '{ cpu[$1] = cpu[$1] " " $2; n[$1]++; if (n[$1] == 3) median[$1] = $2; if (n[$1] == 1) least[$1] = $2 }
        END { for (who in n) printf "%-34s %s us of CPU a message, the median of %d runs; at least %s\n", who, median[who], n[who], least[who] }'
    kill -TERM "$server"
    wait "$server"
}
(($(nproc) < 2)) || processor_time
python3 scripts/idle.py raw
python3 scripts/idle.py len32
