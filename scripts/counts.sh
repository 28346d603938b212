#!/usr/bin/env bash
# Counts what the README promises, and fails where a promise is broken: system calls per
# echo (of the server and of the client), wake-ups per hand-off, heap blocks per message
# and per connection, bytes per idle connection, the time to start 64 threads (reported;
# fails at five times the promise). Processor time is reported only.
#
#   scripts/counts.sh
#
# CONNECTIONS   number of idle connections   [15000, or what the descriptor limit allows]
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' scripts/counts.sh && exit ;; esac
[[ ${CONNECTIONS:-1} =~ ^[1-9][0-9]*$ ]] || { echo "error: CONNECTIONS is a whole number of at least 1" >&2; exit 2; }
for tool in strace valgrind python3 taskset; do
    command -v "$tool" >/dev/null || { echo "error: $tool is needed" >&2; exit 2; }
done
target=${CARGO_TARGET_DIR:-target}
bin=$target/release
out=$target/counts
cargo build --release --quiet --bins
mkdir -p "$out"

# serve WORD... -- FLAG...: starts a server with one I/O thread, with those words (of a
# tracer, such as strace) in front of it.
serve() {
    local before=()
    while [ "$1" != -- ]; do before+=("$1"); shift; done
    shift
    rm -f "$out/server.log" "$out/address"
    "${before[@]}" "$bin/server" 127.0.0.1 0 --io-threads 1 --log-file "$out/server.log" "$@" >"$out/address" &
    server=$!
    until grep -q . "$out/address" 2>/dev/null; do sleep 0.05; done
    port=$(sed 's/.*://' "$out/address")
}

# Under strace the server is a child, whose process id is in the log.
stop() {
    kill -TERM "$(sed -n 's/.* pid=//p' "$out/server.log")"
    wait "$server"
}

# talk WORD... -- FLAG...: runs the client, with those words in front of it.
talk() {
    local before=()
    while [ "$1" != -- ]; do before+=("$1"); shift; done
    shift
    "${before[@]}" "$bin/client" 127.0.0.1 "$port" --no-progress --quiet --output "$out/client" "$@"
}

# echo_calls PROGRAM MOST NAME FLAGS...: counts the system calls of the server's one I/O
# thread, or of the client, with 30 connections. strace slows the traced program down, so
# it nearly always has work ready; the client less so, since the server keeps up with it.
echo_calls() {
    local traced=$1 most=$2 name="$1, $3" messages=30000 calls=epoll_wait,epoll_pwait2,sched_yield,recvfrom,sendto,epoll_ctl
    local trace=(strace -f -e "trace=$calls" -e signal=none -o "$out/strace") around_server=() around_client=()
    [ "$traced" = server ] && around_server=("${trace[@]}") || around_client=("${trace[@]}")
    shift 3
    serve "${around_server[@]}" -- "$@"
    talk "${around_client[@]}" -- --messages $((messages / 30)) "$@"
    stop
    calls_of "$name" "$most" $messages
}

# calls_of NAME MOST MESSAGES: calls without result (a look for more that finds nothing)
# are counted apart.
calls_of() {
    awk -v name="$1" -v most="$2" -v messages="$3" '
        /unfinished/ { next }
        match($0, /(epoll_wait|epoll_pwait2|sched_yield|recvfrom|sendto|epoll_ctl)/) {
            call = substr($0, RSTART, RLENGTH)
            if (call == "sched_yield" || call ~ /wait/ && / = 0$/ || /EAGAIN/) without++
            else if (call ~ /wait/) waits++
            else calls[call]++
        }
        END {
            all = (waits + calls["recvfrom"] + calls["sendto"]) / messages
            printf "%-34s %.3f system calls per echo (wait %.3f, read %.3f, write %.3f), and %.3f without result; %d epoll_ctl for 30 connections\n",
                name, all, waits / messages, calls["recvfrom"] / messages, calls["sendto"] / messages, without / messages, calls["epoll_ctl"]
            exit !(all > 1 && all <= most && without <= messages / 2 && calls["epoll_ctl"] < 120)
        }' "$out/strace"
}

prefix=(--framing len32 --reply-prefix reply:)
echo_calls server 2.05 "raw"
echo_calls server 2.05 "len32 with a prefix" "${prefix[@]}"
echo_calls client 2.10 "raw"
echo_calls client 2.10 "len32 with a prefix" "${prefix[@]}"

# wake_ups NAME MOST COUNT FLAGS... -- FLAGS...: how often a thread of the server wakes
# another (a write to its eventfd) for COUNT hand-offs: connections to a reactor, or jobs
# back from a worker. MOST is per hand-off.
wake_ups() {
    local name=$1 most=$2 count=$3 flags=()
    shift 3
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    shift
    serve strace -f -e trace=write -o "$out/strace" -- "${flags[@]}"
    talk -- "$@"
    stop
    grep -F '"\1\0\0\0\0\0\0\0", 8' "$out/strace" | wc -l | awk -v name="$name" -v most="$most" -v count="$count" '{
        printf "%-34s %.3f wake-ups each\n", name, $1 / count
        exit !($1 <= most * count)
    }'
}

wake_ups "3000 connections handed over" 0.1 3000 -- --connections 30 --messages 100 --reconnect-every 1
wake_ups "30000 jobs of one worker" 0.02 30000 --workers 1 -- --connections 30 --messages 1000

# blocks CONNECTIONS MESSAGES FLAGS...: how many heap blocks a server has allocated by the
# end, after it has echoed MESSAGES on each of CONNECTIONS.
blocks() {
    local connections=$1 messages=$2
    shift 2
    RUST_LOG=warn serve valgrind --log-file="$out/valgrind" -- "$@"
    talk -- --connections "$connections" --messages "$messages"
    kill -TERM "$server"
    wait "$server"
    sed -n 's/,//g; s/.*total heap usage: \([0-9]*\) allocs.*/\1/p' "$out/valgrind"
}

# allocations NAME PER_MESSAGE PER_CONNECTION FLAGS...: heap blocks per message, and per
# connection with its hundred messages; the limits come first.
allocations() {
    local name=$1 per_message=$2 per_connection=$3 few more most
    shift 3
    few=$(blocks 10 100 "$@")
    more=$(blocks 10 2100 "$@")
    most=$(blocks 210 100 "$@")
    awk -v name="$name" -v per_message="$per_message" -v per_connection="$per_connection" -v few="$few" -v more="$more" -v most="$most" 'BEGIN {
        message = (more - few) / 20000; connection = (most - few) / 200
        printf "%-34s %.4f heap blocks per message, %.2f per connection\n", name, message, connection
        exit !(few > 0 && more > 0 && most > 0 && message < per_message && connection < per_connection)
    }'
}

allocations "raw" 0.001 1
# The queue between threads allocates a block for every 31 messages.
allocations "raw, one worker" 0.04 8 --workers 1

# processor_time: what an echo costs the client and the server, each on a CPU of its own.
processor_time() {
    serve taskset -c 0 --
    for _ in 1 2 3 4 5; do
        taskset -c 1 "$bin/client" 127.0.0.1 "$port" --messages 10k \
            --no-progress --quiet --server-pid "$server" | sed -n '/^client \|^server /p'
    done | sort -k1,1 -k2,2n | awk '{ cpu[$1] = cpu[$1] " " $2; n[$1]++; if (n[$1] == 3) median[$1] = $2; if (n[$1] == 1) least[$1] = $2 }
        END { for (program in n) printf "%-34s %s us of CPU per message, the median of %d runs; at least %s\n", program, median[program], n[program], least[program] }'
    stop
}
(($(nproc) < 2)) || processor_time
python3 scripts/idle.py raw
python3 scripts/idle.py len32
