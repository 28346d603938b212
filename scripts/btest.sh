#!/usr/bin/env bash
# The run this project is known for: 30 client processes of one connection and
# 100,000 messages each, timed by the connect and close lines of the server's log.
#
#   scripts/btest.sh [IP PORT]                                       [127.0.0.1 9009]
#
# A server that answers there already is used as it is; otherwise one is started,
# and stopped again. Logs and results stay in a folder of the run under target/btest.
#
# CLIENTS, MESSAGES     how many processes, how many messages each   [30, 100000]
# IO_THREADS, WORKERS   of the server; several thread counts, as in
#                       IO_THREADS="8 16 32 64", give a table and a chart   [32, 0]
# LIMIT                 seconds that one run may take                [300]
# CHART                 where the chart is drawn                     [with the logs]
# LOG                   log of a server that answers at IP PORT already, to read
#                       the lines from; without it only the clients' figures are printed
#
# Exits with 1 if one byte was wrong or one connection failed.
set -euo pipefail
cd "$(dirname "$0")/.."

ip=${1:-127.0.0.1} port=${2:-9009}
clients=${CLIENTS:-30} messages=${MESSAGES:-100000} workers=${WORKERS:-0} limit=${LIMIT:-300}
read -ra threads <<<"${IO_THREADS:-32}"
out=target/btest/$$
bin=target/release
server='' failed=0

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; }
is_answering() { (exec 3<>"/dev/tcp/$ip/$port") 2>/dev/null; }

stop_server() {
    [ -z "$server" ] && return
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" || failed=1
    server=''
}
stop_all() {
    local pids
    pids=$(jobs -p)
    [ -z "$pids" ] || kill -TERM $pids 2>/dev/null || true
}

# start_server THREADS: starts one, with a log of its own, and waits until it answers.
start_server() {
    log=$out/server-$1.log
    : >"$log"
    RUST_LOG=info "$bin/server" "$ip" "$port" --io-threads "$1" --workers "$workers" --log-file "$log" &
    server=$!
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        grep -q ' listening on ' "$log" && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    echo "the server did not start" >&2
    exit 1
}

# run_clients: all at once, each writes its results to a file.
run_clients() {
    local pids=() number
    rm -f "$out"/client-*.json
    for ((number = 0; number < clients; number++)); do
        timeout "$limit" "$bin/client" "$ip" "$port" --connections 1 --messages "$messages" \
            --json --quiet --output "$out/client-$number.json" &
        pids+=($!)
    done
    for number in "${pids[@]}"; do wait "$number" || failed=1; done
}

# From the connect and close lines: first connect, last close, the time between,
# and the slowest and the fastest connection.
read_log() {
    awk '
        function seconds(time, part) { split(time, part, /[:.]/); return part[1] * 3600 + part[2] * 60 + part[3] + part[4] / 1000 }
        / new connection / { if (!first) { first = $2; from = seconds($2) } }
        / connection close / && !/ messages=0 / {
            last = $2; to = seconds($2); closed++
            match($0, /messages=[0-9]+/); messages += substr($0, RSTART + 9, RLENGTH - 9)
            match($0, /open=[0-9.]+/); open = substr($0, RSTART + 5, RLENGTH - 5) + 0
            if (closed == 1 || open > slowest) slowest = open
            if (closed == 1 || open < fastest) fastest = open
        }
        END {
            if (!closed) { print "the log has no close line"; exit 1 }
            time = to - from; if (time < 0) time += 86400; if (time < 0.001) time = 0.001
            printf "first connect        %s\nlast close           %s\n", first, last
            printf "time between         %.3f s\nmessages a second    %d\n", time, messages / time
            printf "slowest connection   %.3f s\nfastest connection   %.3f s\n", slowest, fastest
        }' "$1"
}

# From the results of the clients, merged: all messages together.
read_clients() {
    "$bin/client" report "$out"/client-*.json --json --output "$out/clients.json" ||
        "$bin/client" report "$out"/client-*.json >&2 || true
    awk -v expected=$((clients * messages)) '
        function number() { gsub(/[^0-9.]/, "", $2); return $2 + 0 }
        /^  "messages":/ { verified = number() }
        /^  "errors":/ { errors = number() }
        /^  "mismatches":/ { wrong = number() }
        /^  "latency_us":/ { corrected = 1 }
        /^  }/ { corrected = 0 }
        corrected && /^    "p50":/ { p50 = number() }
        corrected && /^    "p99":/ { p99 = number() }
        END {
            printf "verified             %d of %d\nwrong                %d\nerrors               %d\n", verified, expected, wrong, errors
            printf "p50 / p99            %.0f us / %.0f us\n", p50, p99
            exit verified != expected || wrong || errors
        }' "$out/clients.json"
}

# chart: the table on standard input, "threads messages-a-second" a line, as SVG.
chart() {
    awk '
        { threads[NR] = $1; rate[NR] = $2; if ($2 > most) most = $2 }
        END {
            step = 10000; while (most / step > 6) step *= 2
            top = step * (int(most / step) + 1); left = 70; width = 520; height = 260
            print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 360\" font-family=\"sans-serif\" font-size=\"13\">"
            print "<rect width=\"640\" height=\"360\" fill=\"#fff\"/>"
            print "<text x=\"320\" y=\"24\" text-anchor=\"middle\" font-size=\"15\">Messages a second over I/O threads</text>"
            for (value = 0; value <= top; value += step) {
                y = 40 + height - height * value / top
                printf "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>", left, y, left + width, y
                printf "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%d</text>\n", left - 8, y + 4, value
            }
            for (i = 1; i <= NR; i++) {
                x = left + width * (i - 0.5) / NR; y = 40 + height - height * rate[i] / top
                points = points sprintf("%.1f,%.1f ", x, y)
                marks = marks sprintf("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#1f5fa8\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"#1f5fa8\">%d</text>\n", x, y, x, y - 10, rate[i])
                marks = marks sprintf("<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x, 40 + height + 20, threads[i])
            }
            printf "<polyline points=\"%s\" fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\"/>\n%s", points, marks
            print "<text x=\"320\" y=\"348\" text-anchor=\"middle\">I/O threads</text>\n</svg>"
        }'
}

# one_run THREADS: prints its figures, and adds a line to the table.
one_run() {
    echo "== $clients clients x $messages messages, $1 I/O threads, $workers workers"
    start_server "$1"
    run_clients
    stop_server
    read_log "$log" | tee "$out/figures"
    read_clients || failed=1
    awk -v threads="$1" '/^time between/ { time = $3 } /^messages a second/ { print threads, $4, time }' \
        "$out/figures" >>"$out/table"
}

case ${1:-} in -h | --help) usage; exit ;; esac
for number in "$clients" "$messages" "$limit" "$port" "${threads[@]:-none}"; do
    [[ $number =~ ^[1-9][0-9]*$ ]] && continue
    echo "error: CLIENTS, MESSAGES, LIMIT, IO_THREADS and PORT are whole numbers, at least 1" >&2
    exit 2
done
[[ $workers =~ ^[0-9]+$ ]] || { echo "error: WORKERS is a whole number" >&2; exit 2; }
chart=${CHART:-$out/threads.svg}
[ -n "${CHART:-}" ] && : >>"$chart"
trap stop_all EXIT
trap 'exit 130' INT TERM
mkdir -p "$out"
cargo build --release --bins
: >"$out/table"

if is_answering; then
    echo "== $clients clients x $messages messages, to the server that answers at $ip $port"
    [ -z "${LOG:-}" ] || skip=$(wc -l <"$LOG")
    run_clients
    [ -z "${LOG:-}" ] || { tail -n "+$((skip + 1))" "$LOG" >"$out/server.log"; read_log "$out/server.log"; }
    read_clients || failed=1
    exit "$failed"
fi

for count in "${threads[@]}"; do one_run "$count"; done
if ((${#threads[@]} > 1)); then
    printf '\n%12s %22s %20s\n' "I/O threads" "$((clients * messages)) messages in" "messages a second"
    awk '{ printf "%12s %20.3f s %20d\n", $1, $3, $2 }' "$out/table"
    chart <"$out/table" >"$chart"
    echo "chart: $chart"
fi
echo "logs and results: $out"
exit "$failed"
