#!/usr/bin/env bash
# Runs this project's programs against others: their clients against our server, our
# client against their echo servers, and our client through their proxies to our server.
# A tool that is not installed is skipped, with a line that names it. Logs stay in
# target/foreign (or $CARGO_TARGET_DIR/foreign).
#
# Our client needs no special flags for any of them: it half-closes only after the last
# reply, so a proxy that then closes both directions loses nothing. A server with a short
# accept queue (10 in ncat) makes some of a burst of connects wait a second;
# --connect-rate avoids that.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet --bins
target=${CARGO_TARGET_DIR:-target}
bin=$target/release
mkdir -p "$target/foreign"
# nginx wants an absolute path.
out=$(cd "$target/foreign" && pwd)
server='' theirs=''
trap 'for pid in $theirs $server; do kill -KILL "$pid" 2>/dev/null || true; done' EXIT

# has TOOL: returns whether it is installed, and prints a line if it is not.
has() { command -v "$1" >/dev/null || { echo "$1: skipped, it is not installed"; false; }; }
# serve FLAGS...: starts our server and sets $port.
serve() {
    # It holds the address of the previous server.
    rm -f "$out/address"
    "$bin/server" 127.0.0.1 0 --log-file "$out/server.log" "$@" >"$out/address" &
    server=$!
    until grep -q . "$out/address" 2>/dev/null; do sleep 0.05; done
    port=$(sed 's/.*://' "$out/address")
}
# stop: stops our server, which must drain and exit with 0.
stop() { kill -TERM "$server"; wait "$server"; server=''; }
# pick: sets $free to a free port, for programs that cannot choose one. It is none that the
# kernel gives to a client: until their program listens, that client would talk to itself.
pick() {
    until free=$((20000 + RANDOM % 10000)) && python3 -c "import socket; socket.create_server(('127.0.0.1', $free))" 2>/dev/null; do :; done
}
# ask NAME COMMAND...: starts their program on $free, and has our client verify the replies.
ask() {
    local name=$1
    "${@:2}" </dev/null >"$out/theirs.log" 2>&1 &
    theirs=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$free") 2>/dev/null; do
        kill -0 "$theirs" || { cat "$out/theirs.log" >&2; exit 1; }
        sleep 0.05
    done
    for flags in '' '--pipeline 8 -s 1k --reconnect-every 100' '--rate 5k -d 1s'; do
        # shellcheck disable=SC2086 # They are several.
        timeout 60 "$bin/client" 127.0.0.1 "$free" -q -c 20 -n 1000 --timeout 5s $flags >"$out/report"
        echo "our client, $name${flags:+, $flags}: $(sed -n 's/^messages *//p' "$out/report")"
    done
    # Any exit status of theirs will do.
    kill -TERM "$theirs" && wait "$theirs" || true
    theirs=''
}

if has socat; then
    head -c 67108864 /dev/urandom >"$out/sent"
    for workers in 0 2; do
        serve --workers "$workers"
        timeout 60 socat -t 30 - "TCP:127.0.0.1:$port" <"$out/sent" >"$out/received"
        cmp "$out/sent" "$out/received"
        stop
        echo "socat: 64 MiB before a half-close came back byte for byte, $workers workers"
    done
fi

serve --framing len32 --reply-prefix reply:
python3 - "$port" <<'PYTHON'
import socket, struct, sys

stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)


def receive(count):
    data = b""
    while len(data) < count:
        piece = stream.recv(count - len(data))
        assert piece, "closed early"
        data += piece
    return data


for number in range(10_000):
    message = f"message number {number}".encode()
    stream.sendall(struct.pack("<I", len(message)) + message)
    (length,) = struct.unpack("<I", receive(4))
    assert receive(length) == b"reply:" + message, number
print("python: 10000 len32 replies, each with its prefix")
PYTHON
stop

if has socat; then
    for what in PIPE EXEC:cat; do
        pick
        ask "socat $what" socat "TCP-LISTEN:$free,bind=127.0.0.1,fork,reuseaddr,backlog=128" "$what"
    done
fi
if has ncat; then
    pick
    ask 'ncat --exec cat' ncat -l -k --exec /bin/cat 127.0.0.1 "$free"
fi
pick
ask asyncio python3 tests/faults/peers/echo.py "$free"

serve
module=/usr/lib/nginx/modules/ngx_stream_module.so
if has nginx && { [ -e "$module" ] || { echo "nginx: skipped, it has no $module"; false; }; }; then
    pick
    cat >"$out/nginx.conf" <<NGINX
load_module $module;
daemon off;
pid $out/nginx.pid;
error_log $out/nginx.log;
events {}
stream { server { listen 127.0.0.1:$free; proxy_pass 127.0.0.1:$port; } }
NGINX
    ask 'nginx, our server' nginx -p "$out" -e "$out/nginx.log" -c "$out/nginx.conf"
fi
if has haproxy; then
    pick
    cat >"$out/haproxy.cfg" <<HAPROXY
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen echo
    bind 127.0.0.1:$free
    server ours 127.0.0.1:$port
HAPROXY
    ask 'HAProxy, our server' haproxy -db -f "$out/haproxy.cfg"
fi
stop
