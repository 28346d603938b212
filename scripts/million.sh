#!/usr/bin/env bash
# Holds a million connections to this project's server on one machine, and has each of
# them echo once.
#
#   scripts/million.sh [CONNECTIONS]                                  [1000000]
#
# It starts as few servers and clients as the descriptor limit allows: one of each if
# the hard limit (ulimit -Hn) is above the number of connections, 51 of each if it is
# 20,000. First it checks memory, descriptors, fs.file-max and ports, and prints what
# does not fit instead of trying. Then it opens all connections, holds them until the
# last is open, has each echo once, and closes them.
#
# SECONDS_EACH   seconds that opening, and echoing, may take     [300]
# PER_PROCESS    connections per process, at most                [what its descriptors allow]
#
# Exits with 1 if a connection failed, a byte was wrong, or it does not fit; with 2 if a
# value is wrong. Logs and results stay in target/million (or $CARGO_TARGET_DIR/million).
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; }
case ${1:-} in -h | --help) usage; exit ;; esac
(($# <= 1)) || { usage >&2; exit 2; }
connections=${1:-1000000} patience=${SECONDS_EACH:-300}
for number in "$connections" "$patience" "${PER_PROCESS:-1}"; do
    [[ $number =~ ^[1-9][0-9]{0,8}$ ]] && continue
    echo "error: CONNECTIONS, SECONDS_EACH and PER_PROCESS are whole numbers, at least 1" >&2
    exit 2
done
target=${CARGO_TARGET_DIR:-target}
out=$target/million
bin=$target/release
# Bytes per connection, both ends: the kernel's, the server's and the client's.
each=10800
# Descriptors of a process for other things than connections.
other=300
servers=() clients=()

# ---- what fits
read -r first_port last_port </proc/sys/net/ipv4/ip_local_port_range
read -r files_open _ files_most </proc/sys/fs/file-nr
available=$(($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) * 1024))
hard=$(ulimit -Hn)
[ "$hard" = unlimited ] && hard=$(cat /proc/sys/fs/nr_open)
per=${PER_PROCESS:-$((hard - other))}
short=0

# fits WHAT NEEDED AVAILABLE FIX
fits() {
    local verdict=fits
    (($2 <= $3)) || { verdict="short: $4" short=1; }
    printf '%-28s %15d of %20d  %s\n' "$1" "$2" "$3" "$verdict"
}
fits "memory (bytes)" $((connections * each)) "$available" "fewer connections, or more memory"
fits "descriptors per process" $((other + ${PER_PROCESS:-1})) "$hard" "raise the hard limit (ulimit -Hn)"
fits "open files, all processes" $((2 * connections + 10000)) $((files_most - files_open)) \
    "sysctl fs.file-max=$((files_open + 2 * connections + 10000))"
# 127.0.0.0/8 has 16 million addresses, each with all ports.
fits "ports x source addresses" "$connections" $(((last_port - first_port + 1) * (1 << 24))) \
    "widen net.ipv4.ip_local_port_range"
# The kernel tracks connections only where a firewall has asked it to.
tracked=$(cat /proc/sys/net/netfilter/nf_conntrack_count 2>/dev/null || echo 0)
if ((tracked > 0)); then
    fits "tracked connections" "$connections" \
        $(($(cat /proc/sys/net/netfilter/nf_conntrack_max) - tracked)) \
        "sysctl net.netfilter.nf_conntrack_max=$connections"
fi
((short == 0)) || exit 1

processes=$(((connections + per - 1) / per))
rm -rf "$out"
mkdir -p "$out"
cargo build --release --quiet --bins

cleanup() {
    local pid
    for pid in "${clients[@]}" "${servers[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---- figures of the machine
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
kernel() { awk '/^Slab/ { printf "%.0f\n", $2 * 1024 }' /proc/meminfo; }
# rss PID...: the resident bytes of all these processes together.
rss() {
    local pid sum=0 pages
    for pid; do { read -r _ pages _ <"/proc/$pid/statm"; } 2>/dev/null && sum=$((sum + pages)); done
    echo $((sum * $(getconf PAGESIZE)))
}
# Both ends of a connection are on this machine.
established() { awk '/^TCP:/ { print int($3 / 2) }' /proc/net/sockstat; }
# show TEXT: progress, on one line; without a terminal a line every five seconds.
shown=0
show() {
    if [ -t 2 ]; then
        printf '\r%-70s' "$*" >&2
    elif [ -n "$*" ] && ((SECONDS >= shown + 5)); then
        echo "$*" >&2
        shown=$SECONDS
    fi
}

# ---- the servers
echo "$connections connections, $processes servers and $processes clients with up to $per each"
started=$(now)
for ((i = 0; i < processes; i++)); do
    RUST_LOG=warn "$bin/server" 127.0.0.1 0 --io-threads "$((processes > 1 ? 1 : $(nproc)))" \
        --log-file "$out/server-$i.log" >"$out/address-$i" 2>&1 &
    servers+=($!)
done
for ((i = 0; i < processes; i++)); do
    until grep -q . "$out/address-$i" 2>/dev/null; do
        kill -0 "${servers[i]}" || { echo "error: a server did not start" >&2; exit 1; }
        sleep 0.02
    done
done
kernel_before=$(kernel) rss_before=$(rss "${servers[@]}")

# ---- open all
began=$(now)
left=$connections
for ((i = 0; i < processes; i++)); do
    share=$(((left + processes - i - 1) / (processes - i)))
    left=$((left - share))
    "$bin/client" 127.0.0.1 "$(sed 's/.*://' "$out/address-$i")" --connections "$share" \
        --threads "$((processes > 1 ? 1 : $(nproc)))" --hold 1h --connect-timeout "${patience}s" \
        --timeout "${patience}s" --close strict --no-progress --json --output "$out/client-$i.json" 2>"$out/client-$i.err" &
    clients+=($!)
done
# holding: the number of clients that have opened all their connections.
holding() { cat "$out"/client-*.err 2>/dev/null | grep -c '^holding ' || true; }
# alive PID...: the number of these that still run.
alive() { local pid count=0; for pid; do kill -0 "$pid" 2>/dev/null && count=$((count + 1)); done; echo "$count"; }
until (($(holding) >= $(alive "${clients[@]}"))); do
    show "opening: $(established) of $connections after $(since "$began") s"
    awk -v since="$(since "$began")" -v most="$patience" 'BEGIN { exit since > most }' ||
        { echo "error: not all connections are open after $patience s" >&2; exit 1; }
    sleep 0.2
done
opening=$(since "$began")
held=$(established)
sleep 1
kernel_each=$((($(kernel) - kernel_before) / (held > 0 ? held : 1)))
server_each=$((($(rss "${servers[@]}") - rss_before) / (held > 0 ? held : 1)))
client_each=$(($(rss "${clients[@]}") / (held > 0 ? held : 1)))

# ---- echo on all
began=$(now)
kill -USR1 "${clients[@]}" 2>/dev/null || true
while (($(alive "${clients[@]}"))); do
    show "echoing: $((processes - $(alive "${clients[@]}"))) of $processes clients done after $(since "$began") s"
    awk -v since="$(since "$began")" -v most="$patience" 'BEGIN { exit since > most }' ||
        { echo "error: not all connections have echoed after $patience s" >&2; exit 1; }
    sleep 0.2
done
echoing=$(since "$began")
failed=0
for pid in "${clients[@]}"; do wait "$pid" || failed=1; done
clients=()
kill -TERM "${servers[@]}" 2>/dev/null || true
for pid in "${servers[@]}"; do wait "$pid" || failed=1; done
servers=()
show ""
if [ -t 2 ]; then printf '\r' >&2; fi

# ---- results
# Each client has a server of its own, and client report merges the results of one server.
# figure KEY: the sum over all clients.
figure() {
    awk -v key="\"$1\":" 'FNR == 1 { found = 0 } $1 == key && !found { found = 1; sum += $2 } END { print sum + 0 }' \
        "$out"/client-*.json
}
# From the first message of any client to the last reply of any client.
seconds() {
    awk '/^  "ended":/ { ended = $2 + 0 } /^  "seconds":/ { seconds = $2 + 0 }
        ended && seconds {
            if (!last || ended - seconds < first) first = ended - seconds
            if (ended > last) last = ended
            ended = seconds = 0
        }
        END { print last - first }' "$out"/client-*.json
}
opened=$(figure opened)
printf '%-24s %s of %s, %s held at once, %s failed\n' opened "$opened" "$connections" "$held" "$((connections - opened))"
printf '%-24s %s s, %.0f connections per second\n' "opening took" "$opening" "$(awk -v n="$opened" -v s="$opening" 'BEGIN { print n / s }')"
# With fewer connections the fixed costs of the processes and the kernel dominate.
((opened < 10000)) ||
    printf '%-24s server %d, client %d, kernel (both ends) %d\n' "bytes per connection" "$server_each" "$client_each" "$kernel_each"
printf '%-24s %s of %s in %.1f s, %s mismatches, %s errors\n' "echoes verified" "$(figure messages)" "$opened" \
    "$(seconds)" "$(figure mismatches)" "$(figure errors)"
printf '%-24s %s s\n' "echoing and closing" "$echoing"
printf '%-24s %s s\n' "total" "$(since "$started")"
((opened == connections && held >= connections)) || failed=1
exit "$failed"
