#!/usr/bin/env bash
# Counts what a promise is made of, and fails where one is broken: system calls an echo
# (of the server and of the client), wake-ups a hand-off, blocks of the heap a message
# and a connection, bytes an idle connection, the time to start 64 threads (reported, and
# gated at five times its promise). Processor time is reported.
#
#   scripts/counts.sh
#
# CONNECTIONS   how many idle ones [15000, or what the descriptor limit allows]
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
for tool in strace valgrind python3 taskset; do
    command -v "$tool" >/dev/null || { echo "error: $tool is needed" >&2; exit 2; }
done
cargo build --release --quiet --bins
out=target/counts
mkdir -p "$out"

# serve WORD... -- FLAG...: starts a server with one I/O thread, behind those words.
serve() {
    local before=()
    while [ "$1" != -- ]; do before+=("$1"); shift; done
    shift
    rm -f "$out/server.log" "$out/address"
    "${before[@]}" target/release/server 127.0.0.1 0 --io-threads 1 --log-file "$out/server.log" "$@" >"$out/address" &
    server=$!
    until grep -q . "$out/address" 2>/dev/null; do sleep 0.05; done
    port=$(sed 's/.*://' "$out/address")
}

# What runs behind strace is its child, whose number is in the log.
stop() {
    kill -TERM "$(sed -n 's/.* pid=//p' "$out/server.log")"
    wait "$server"
}

# talk WORD... -- FLAG...: runs the client, behind those words.
talk() {
    local before=()
    while [ "$1" != -- ]; do before+=("$1"); shift; done
    shift
    "${before[@]}" target/release/client 127.0.0.1 "$port" --no-progress --quiet --output "$out/client" "$@"
}

# echo_calls WHO MOST WHAT FLAGS...: counts the calls of the server's one I/O thread, or of
# the client, with 30 connections. Who is watched is slowed down and always has much to do;
# the client less, since the server does not wait for the slow.
echo_calls() {
    local who=$1 most=$2 what="$1, $3" messages=30000 calls=epoll_wait,epoll_pwait2,sched_yield,recvfrom,sendto,epoll_ctl
    local trace=(strace -f -e "trace=$calls" -e signal=none -o "$out/strace") around_server=() around_client=()
    [ "$who" = server ] && around_server=("${trace[@]}") || around_client=("${trace[@]}")
    shift 3
    serve "${around_server[@]}" -- "$@"
    talk "${around_client[@]}" -- --messages $((messages / 30)) "$@"
    stop
    calls_of "$what" "$most" $messages
}

# calls_of WHAT MOST MESSAGES: looking whether there is more, in vain, is told apart.
calls_of() {
    awk -v what="$1" -v most="$2" -v messages="$3" '
        /unfinished/ { next }
        match($0, /(epoll_wait|epoll_pwait2|sched_yield|recvfrom|sendto|epoll_ctl)/) {
            name = substr($0, RSTART, RLENGTH)
            if (name == "sched_yield" || name ~ /wait/ && / = 0$/ || /EAGAIN/) vain++
            else if (name ~ /wait/) waits++
            else calls[name]++
        }
        END {
            all = (waits + calls["recvfrom"] + calls["sendto"]) / messages
            printf "%-34s %.3f system calls an echo (wait %.3f, read %.3f, write %.3f), and %.3f in vain; %d epoll_ctl for 30 connections\n",
                what, all, waits / messages, calls["recvfrom"] / messages, calls["sendto"] / messages, vain / messages, calls["epoll_ctl"]
            exit !(all > 1 && all <= most && vain <= messages / 2 && calls["epoll_ctl"] < 120)
        }' "$out/strace"
}

prefix=(--framing len32 --reply-prefix reply:)
echo_calls server 2.05 "raw"
echo_calls server 2.05 "len32 with a prefix" "${prefix[@]}"
echo_calls client 2.10 "raw"
echo_calls client 2.10 "len32 with a prefix" "${prefix[@]}"

# wake_ups WHAT MOST COUNT FLAGS... -- FLAGS...: how often a thread of the server is woken
# by another's bell, for so many hand-offs: connections to a reactor, or jobs home.
wake_ups() {
    local what=$1 most=$2 count=$3 flags=()
    shift 3
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    shift
    serve strace -f -e trace=write -o "$out/strace" -- "${flags[@]}"
    talk -- "$@"
    stop
    grep -F '"\1\0\0\0\0\0\0\0", 8' "$out/strace" | wc -l | awk -v what="$what" -v most="$most" -v count="$count" '{
        printf "%-34s %.3f wake-ups each\n", what, $1 / count
        exit !($1 <= most * count)
    }'
}

wake_ups "3000 connections handed over" 0.02 3000 -- --connections 30 --messages 100 --reconnect-every 1
wake_ups "30000 jobs of one worker" 0.02 30000 --workers 1 -- --connections 30 --messages 1000

# blocks CONNECTIONS MESSAGES FLAGS...: how many blocks of the heap a server has used by
# the end, having echoed so many messages on each of so many connections.
blocks() {
    local connections=$1 messages=$2
    shift 2
    RUST_LOG=warn serve valgrind --log-file="$out/valgrind" -- "$@"
    talk -- --connections "$connections" --messages "$messages"
    kill -TERM "$server"
    wait "$server"
    sed -n 's/,//g; s/.*total heap usage: \([0-9]*\) allocs.*/\1/p' "$out/valgrind"
}

# allocations WHAT MESSAGE CONNECTION FLAGS...: those that a message costs, and a
# connection with its hundred messages; and how many they may.
allocations() {
    local what=$1 a_message=$2 a_connection=$3 few more most
    shift 3
    few=$(blocks 10 100 "$@")
    more=$(blocks 10 2100 "$@")
    most=$(blocks 210 100 "$@")
    awk -v what="$what" -v a_message="$a_message" -v a_connection="$a_connection" -v few="$few" -v more="$more" -v most="$most" 'BEGIN {
        message = (more - few) / 20000; connection = (most - few) / 200
        printf "%-34s %.4f blocks of the heap a message, %.2f a connection\n", what, message, connection
        exit !(few > 0 && more > 0 && most > 0 && message < a_message && connection < a_connection)
    }'
}

allocations "raw" 0.001 1
# The queue between threads takes a block for 31 letters.
allocations "raw, one worker" 0.04 8 --workers 1

# processor_time: what an echo costs either end, each on a CPU of its own.
processor_time() {
    serve taskset -c 0 --
    for _ in 1 2 3 4 5; do
        taskset -c 1 target/release/client 127.0.0.1 "$port" --messages 10k \
            --no-progress --quiet --server-pid "$server" | sed -n '/^client \|^server /p'
    done | sort -k1,1 -k2,2n | awk '{ cpu[$1] = cpu[$1] " " $2; n[$1]++; if (n[$1] == 3) median[$1] = $2; if (n[$1] == 1) least[$1] = $2 }
        END { for (who in n) printf "%-34s %s us of CPU a message, the median of %d runs; at least %s\n", who, median[who], n[who], least[who] }'
    stop
}
(($(nproc) < 2)) || processor_time
python3 scripts/idle.py raw
python3 scripts/idle.py len32
