#!/usr/bin/env bash
# Answers which number of I/O threads is best: 30 client processes of one connection
# and 100,000 messages each, timed by the connect and close lines of the server's log.
#
#   scripts/btest.sh [IP PORT]                                 [127.0.0.1 9009]
#   IO_THREADS="8 16 32 64" scripts/btest.sh                   compares 1 2 4 8 16 32 64
#   IO_THREADS="=8 16" scripts/btest.sh                        compares 8 and 16 only
#
# One thread count gives a block of figures. Several give a table and a chart, of the
# median run of each count with the slowest and the fastest run beside it. Each run has
# a server process of its own, and the counts take turns: 1 2 4, 4 2 1, 1 2 4.
# Connection k goes to I/O thread k mod N, so that with more threads than clients some
# threads have nothing to do: "used" is the number of threads that had connections.
#
# A server that answers at IP PORT already is used as it is, for one run; IO_THREADS,
# WORKERS and RUNS have no effect on it.
#
#   CLIENTS      client processes                              [30]
#   MESSAGES     messages of each                              [100000]
#   IO_THREADS   thread counts of the server. Several include 1, 2 and 4 also where
#                they are not listed, unless the list begins with "="   [32]
#   WORKERS      worker threads of the server                  [0]
#   RUNS         runs of each thread count; of an even number the median is the lower
#                of the two in the middle   [1 for a single count, 3 for several]
#   LIMIT        seconds that one run may take                 [300]
#   CHART        file that the chart (SVG) of a server started here is written to
#                [threads.svg, with the logs]
#   LOG          log of a server that answers at IP PORT already, to read the lines
#                from; without it only the clients' figures are printed
#
# Results are written to standard output, progress to standard error. Logs and results
# of each run stay in a folder under target/btest (or $CARGO_TARGET_DIR/btest).
#
# Exits with 0 if every byte was verified, 1 if one was wrong or a connection failed,
# 2 if a value is wrong, 130 on SIGINT, SIGTERM, SIGHUP or SIGQUIT, which stop all that
# was started.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' scripts/btest.sh && exit ;; esac
wrong_value() { echo "error: $*" >&2; exit 2; }

# A script that is started in the background by another one ignores SIGINT and SIGQUIT,
# and bash cannot trap what is ignored at its start.
ignored=$(sed -n 's/^SigIgn:\s*//p' /proc/self/status)
if (((16#$ignored & 6) && !${BTEST_RESTARTED:-0})) && env --default-signal=INT,QUIT true 2>/dev/null; then
    BTEST_RESTARTED=1 exec env --default-signal=INT,QUIT scripts/btest.sh "$@"
fi

# ---- what to run
(($# <= 2)) || wrong_value "expected at most IP and PORT, got $# arguments (see --help)"
ip=${1:-127.0.0.1} port=${2:-9009}
clients=${CLIENTS:-30} messages=${MESSAGES:-100000} workers=${WORKERS:-0} limit=${LIMIT:-300}
list=${IO_THREADS:-32}
read -ra threads <<<"${list#=}"
((${#threads[@]})) || wrong_value "IO_THREADS='$list' has no thread count"
if ((${#threads[@]} > 1)) && [[ $list != =* ]]; then threads+=(1 2 4); fi
runs=${RUNS:-$((${#threads[@]} > 1 ? 3 : 1))}

# whole NAME VALUE [LEAST]: complains unless the value is a whole number.
whole() {
    [[ $2 =~ ^(0|[1-9][0-9]{0,8})$ ]] && (($2 >= ${3:-1})) && return
    wrong_value "$1='$2' is not a whole number of at least ${3:-1}"
}
# is_writable FILE: leaves no file where there was none.
is_writable() { if [ -e "$1" ]; then [ -w "$1" ]; else { : >"$1" && rm "$1"; } 2>/dev/null; fi; }
whole CLIENTS "$clients"
whole MESSAGES "$messages"
whole WORKERS "$workers" 0
whole RUNS "$runs"
whole LIMIT "$limit"
whole PORT "$port"
[[ $ip =~ ^[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]*(%.+)?$ ]] || wrong_value "IP='$ip' is not an IP address"
((port < 65536)) || wrong_value "PORT='$port' is above 65535"
for count in "${threads[@]}"; do
    whole IO_THREADS "$count"
    ((count <= 4096)) || wrong_value "IO_THREADS='$count' is above 4096"
done
readarray -t threads < <(printf '%s\n' "${threads[@]}" | sort -nu)
[ -z "${LOG:-}" ] || [ -r "$LOG" ] || wrong_value "LOG='$LOG' cannot be read"
[ -z "${CHART:-}" ] || is_writable "$CHART" || wrong_value "CHART='$CHART' cannot be written to"

target=${CARGO_TARGET_DIR:-target}
bin=$target/release
out=$target/btest/$$
chart=${CHART:-$out/threads.svg}
total=$((runs * ${#threads[@]}))
cpus=$(nproc)
server='' build='' ticker='' pids=() failed=0 number=0
mkdir -p "$out"
: >"$out/runs"

# ---- ending
# stop_all: nothing that was started is left when it returns. Clients end at SIGTERM or
# are killed by `timeout`, and without them the server has nothing to wait for.
stop_all() {
    trap '' INT TERM HUP QUIT
    [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true
    # Cargo has a process group of its own.
    [ -z "$build" ] || kill -TERM -- "-$build" 2>/dev/null || true
    ((${#pids[@]} == 0)) || kill -TERM "${pids[@]}" 2>/dev/null || true
    ((${#pids[@]} == 0)) || wait "${pids[@]}" 2>/dev/null || true
    [ -z "$server" ] || kill -TERM "$server" 2>/dev/null || true
    wait
}
interrupted() {
    stop_all
    hide_progress
    echo "interrupted in run $number of $total; logs and results so far: $out" >&2
    trap - EXIT
    exit 130
}
trap stop_all EXIT
trap interrupted INT TERM HUP QUIT

# ---- progress: one line that changes on a terminal, else a line for each run
hide_progress() { [ ! -t 2 ] || printf '\r\033[K' >&2; }
# show_progress TEXT LOG: a subshell of its own, until stop_progress.
show_progress() {
    [ -t 2 ] || { echo "$1" >&2; return; }
    local began=$SECONDS
    # A pipe that nobody writes to: `read` waits for it without another process.
    [ -p "$out/clock" ] || mkfifo "$out/clock"
    (
        trap - EXIT INT
        exec 3<>"$out/clock"
        while true; do
            printf '\r%s: %d s, %d of %d clients done\033[K' "$1" $((SECONDS - began)) \
                "$(grep -cE ' connection close .* messages=[1-9]' "$2" 2>/dev/null)" "$clients" >&2
            read -rt 1 -u 3 _ || true
        done
    ) &
    ticker=$!
}
stop_progress() {
    [ -n "$ticker" ] || return 0
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    ticker=''
    hide_progress
}

# ---- one run
threads_of() { echo "$1 I/O thread$([ "$1" = 1 ] || echo s)"; }
is_answering() { (exec 3<>"/dev/tcp/$ip/$port") 2>/dev/null; }

# start_server THREADS FOLDER: starts one and waits until it answers.
start_server() {
    local log=$2/server.log status=0 tries
    : >"$log"
    RUST_LOG=info "$bin/server" "$ip" "$port" --io-threads "$1" --workers "$workers" \
        --log-file "$log" >"$2/address" &
    server=$!
    for ((tries = 0; tries < 200; tries++)); do
        ! grep -q ' listening on ' "$log" || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" || status=$?
    server=''
    echo "error: the server did not start on $ip $port" >&2
    exit $((status == 2 ? 2 : 1))
}
stop_server() {
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" || failed=1
    server=''
}

# run_clients FOLDER: all at once, each writes its results to a file.
run_clients() {
    local client status
    for ((client = 0; client < clients; client++)); do
        timeout -k 5 "$limit" "$bin/client" "$ip" "$port" --connections 1 --messages "$messages" \
            --json --quiet --output "$1/client-$client.json" &
        pids+=($!)
    done
    for client in "${pids[@]}"; do
        status=0
        wait "$client" || status=$?
        ((status == 0)) || failed=1
        ((status != 124)) || echo "error: a client was not done after $limit s (LIMIT)" >&2
    done
    pids=()
}

# figures FOLDER [THREADS]: prints the block of figures of a run.
figures() {
    [ ! -s "$1/server.log" ] || awk -v threads="${2:-}" -f scripts/btest/log.awk "$1/server.log" || return 1
    "$bin/client" report "$1"/client-*.json --json --output "$1/clients.json" ||
        "$bin/client" report "$1"/client-*.json >&2 || true
    awk -v expected=$((clients * messages)) -f scripts/btest/clients.awk "$1/clients.json"
}

# one_run THREADS: leaves its figures in its folder, and adds a line to $out/runs.
one_run() {
    number=$((number + 1))
    local folder=$out/run-$number-threads-$1
    mkdir "$folder"
    show_progress "run $number of $total, $(threads_of "$1")" "$folder/server.log"
    start_server "$1" "$folder"
    run_clients "$folder"
    stop_server
    stop_progress
    if ! figures "$folder" "$1" >"$folder/figures"; then
        failed=1
        ((total == 1)) || { echo "run $number of $total, $(threads_of "$1"), is not clean:"; cat "$folder/figures"; } >&2
    fi
    awk -v threads="$1" '
        /^messages per second/ { rate = $4 } /^time between/ { time = $3 } /^threads used/ { used = $3 }
        /^fastest/ { fastest = $3 } /^slowest/ { slowest = $3 } /^p50/ { p50 = $4; p99 = $7 }
        END { if (rate) print threads, rate, time, used, fastest, slowest, p50, p99 }
    ' "$folder/figures" >>"$out/runs"
}

# ---- all of it
set -m
cargo build --release --bins &
build=$!
set +m
wait "$build" || exit 1
build=''

if is_answering; then
    [ -z "${IO_THREADS:-}${WORKERS:-}${RUNS:-}${CHART:-}" ] ||
        echo "note: a server answers at $ip $port already; IO_THREADS, WORKERS, RUNS and CHART have no effect" >&2
    echo "== $clients clients x $messages messages, to the server that answers at $ip $port"
    total=1 number=1
    skip=$(wc -l <"${LOG:-/dev/null}")
    show_progress "run 1 of 1" "$out/server.log"
    run_clients "$out"
    stop_progress
    tail -n "+$((skip + 1))" "${LOG:-/dev/null}" >"$out/server.log"
    figures "$out" || failed=1
    echo "logs and results: $out"
    exit "$failed"
fi

settings="$clients clients x $messages messages, $workers workers, $cpus CPUs"
if ((total == 1)); then
    echo "== $clients clients x $messages messages, $(threads_of "${threads[0]}"), $workers workers"
    one_run "${threads[0]}"
    cat "$out"/run-1-*/figures
else
    echo "== $settings; I/O threads ${threads[*]}, runs of each: $runs"
    for ((round = 0; round < runs; round++)); do
        for ((i = 0; i < ${#threads[@]}; i++)); do
            one_run "${threads[round % 2 ? ${#threads[@]} - 1 - i : i]}"
        done
    done
fi
sort -n -k1,1 -k2,2 "$out/runs" | awk -f scripts/btest/medians.awk >"$out/medians"
((total == 1)) || awk -v cpus="$cpus" -f scripts/btest/numbers.awk -f scripts/btest/table.awk "$out/medians"
if [ -s "$out/medians" ] && { ((${#threads[@]} > 1)) || [ -n "${CHART:-}" ]; }; then
    awk -v cpus="$cpus" -v what="$settings" -f scripts/btest/numbers.awk -f scripts/btest/chart.awk "$out/medians" >"$chart"
    echo "chart: $chart"
fi
echo "logs and results: $out"
exit "$failed"
