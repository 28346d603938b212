#!/usr/bin/env bash
# Tries a fleet for real: HAProxy with the configuration beside this script, in front of echo
# servers on loopback, under load from our client. One server is drained, one is killed, one
# is added: first while HAProxy runs, then while it reloads at the same moment.
#
# Each event must cost no wrong byte, and every outage must end. The server that is drained
# must answer all that it read, and exit with 0. It takes about a minute. Logs stay in
# target/fleet (or $CARGO_TARGET_DIR/fleet). Set BIN to a folder to use the programs in it.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
[ -n "${BIN:-}" ] || cargo build --release --quiet --bins
bin=${BIN:-$target/release}
out=$(mkdir -p "$target/fleet" && cd "$target/fleet" && pwd)
rm -f "$out"/*
declare -A pid=() port=() admin=()
proxy='' load='' workers='' flags=()
trap 'for it in $load $proxy $workers "${pid[@]}"; do kill -KILL "$it" 2>/dev/null || true; done' EXIT

fail() { echo "error: $*; see $out" >&2; exit 1; }

# serve NAME: starts a server.
serve() {
    local address=$out/$1.address
    rm -f "$out/$1.log" "$address"
    "$bin/server" 127.0.0.1 0 --io-threads 1 --log-connections used --log-file "$out/$1.log" \
        --admin 127.0.0.1:0 --drain-delay 1s --drain-spread 1s >"$address" &
    pid[$1]=$!
    until grep -qs 'live page' "$address"; do sleep 0.05; done
    port[$1]=$(sed -n 's/^listening on .*://p' "$address")
    admin[$1]=$(sed -n 's,^live page on .*:\([0-9]*\)/,\1,p' "$address")
}

# server NAME: how HAProxy reaches a server, and asks its /readyz.
server() { echo "127.0.0.1:${port[$1]} check port ${admin[$1]} inter 250ms fall 2 rise 1"; }

# configure NAME...: has HAProxy's configuration name these servers.
configure() {
    local name
    sed -e "s|/run/haproxy.sock|$out/haproxy.sock|" -e "s|bind :9009|bind 127.0.0.1:$front|" \
        -e 's/maxconn 100000/maxconn 1000/' -e '/^    server /d' \
        scripts/fleet/haproxy.cfg >"$out/haproxy.cfg"
    for name; do echo "    server $name $(server "$name")" >>"$out/haproxy.cfg"; done
    haproxy -c -q -f "$out/haproxy.cfg"
}

# tell COMMAND: sends it to HAProxy's runtime API, and prints the answer.
tell() {
    python3 - "$out/haproxy.sock" "$1" <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_UNIX) as api:
    api.settimeout(10)
    api.connect(sys.argv[1])
    api.sendall(sys.argv[2].encode() + b"\n")
    sys.stdout.write(b"".join(iter(lambda: api.recv(65536), b"")).decode())
PYTHON
}
worker() { tell 'show info' 2>/dev/null | sed -n 's/^Pid: //p'; }

# reload NAME...: has HAProxy's master replace its worker by one with these servers. The old
# worker keeps its connections until they close.
reload() {
    local before now
    configure "$@"
    before=$(worker)
    kill -USR2 "$proxy"
    for _ in {1..100}; do
        now=$(worker || true)
        if [ -n "$now" ] && [ "$now" != "$before" ]; then workers+=" $now"; return; fi
        sleep 0.05
    done
    fail "HAProxy does not reload"
}

# drain NAME: ends a server in order, which must lose nothing.
drain() {
    local summary
    kill -TERM "${pid[$1]}"
    wait "${pid[$1]}" || fail "$1 exits with $?"
    unset "pid[$1]"
    summary=$(grep -o 'summary connections=.*' "$out/$1.log")
    [[ $summary =~ in=([0-9]+B)\ out=([0-9]+B) && ${BASH_REMATCH[1]} = "${BASH_REMATCH[2]}" ]] ||
        fail "$1 does not answer all: $summary"
    echo "  drained   $1: $summary"
}
crash() { kill -KILL "${pid[$1]}"; wait "${pid[$1]}" 2>/dev/null || true; unset "pid[$1]"; }

accepted() { grep -c 'new connection fd=' "$out/$1.log" || true; }

# during WHAT COMMAND...: runs a command in the middle of a load, and prints what followed.
during() {
    local what=$1 name before=()
    shift
    echo "$what"
    for name in a b c d; do before+=("$([ ! -e "$out/$name.log" ] || accepted "$name")"); done
    "$bin/client" 127.0.0.1 "$front" -c 60 -d 5s --think 5ms --on-error reconnect "${flags[@]}" --no-progress \
        --json -o "$out/client.json" 2>"$out/client.log" &
    load=$!
    sleep 1.5
    "$@"
    wait "$load" || fail "the client exits with $?: $(cat "$out/client.log")"
    load=''
    printf '  accepted '
    for name in a b c d; do
        if [ -e "$out/$name.log" ]; then printf ' %s %d' "$name" $(($(accepted "$name") - ${before[0]:-0})); fi
        before=("${before[@]:1}")
    done
    python3 - "$out/client.json" <<'PYTHON'
import json, sys
it = json.load(open(sys.argv[1]))
out = it["outages"]
print(f"\n  client    {it['messages']:,} messages, {it['mismatches']} mismatches, {it['errors']} errors, "
      f"{it['unanswered']} unanswered; {out['count']} outages, max {out['max_seconds']:.3f} s")
for reason, count in out["reasons"].items() if isinstance(out["reasons"], dict) else out["reasons"]:
    print(f"            {count} x {reason}")
sys.exit(it["mismatches"] + it["errors"] > 0 or out["count"] != out["reconnects"])
PYTHON
}

# A free port that the kernel gives to no client.
until front=$((20000 + RANDOM % 10000)) && python3 -c "import socket; socket.create_server(('127.0.0.1', $front))" 2>/dev/null; do :; done
for name in a b c; do serve "$name"; done
configure a b c
haproxy -W -f "$out/haproxy.cfg" >"$out/haproxy.log" 2>&1 &
proxy=$!
for _ in {1..100}; do workers=$(worker || true); [ -z "$workers" ] || break; sleep 0.05; done
[ -n "$workers" ] || fail "HAProxy does not start"

add_one() {
    serve d
    tell "add server echo/d $(server d)" >/dev/null
    tell 'enable health echo/d; enable server echo/d' >/dev/null
}
during "a is drained" drain a
# Only new connections reach a server that is added.
flags=(--reconnect-every 100)
during "d is added" add_one
flags=()
during "b is killed" crash b

# The same again with a fleet of three, and a reload at each event.
crash d
for name in a b; do serve "$name"; done
rm -f "$out/d.log"
reload a b c
drain_and_reload() { reload b c; drain a; }
add_and_reload() { serve d; reload b c d; }
crash_and_reload() { crash b; reload c d; }
during "HAProxy reloads" reload a b c
during "a is drained as HAProxy reloads" drain_and_reload
flags=(--reconnect-every 100)
during "d is added as HAProxy reloads" add_and_reload
flags=()
during "b is killed as HAProxy reloads" crash_and_reload

kill -TERM "$proxy"
wait "$proxy" || true
proxy=''
for name in c d; do drain "$name"; done
echo "no wrong byte, and every outage ended"
