#!/usr/bin/env bash
# Clients that are not ours, against a server of its own: socat, which sends 64 MiB
# and half-closes, and twenty lines of Python, which speak len32. Needs both.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet --bins
out=target/foreign
mkdir -p "$out"
server=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true' EXIT

# serve FLAGS...: starts a server; its port is in $port.
serve() {
    # The address of the one before is not its own.
    rm -f "$out/address"
    target/release/server 127.0.0.1 0 --log-file "$out/server.log" "$@" >"$out/address" &
    server=$!
    until grep -q . "$out/address" 2>/dev/null; do sleep 0.05; done
    port=$(sed 's/.*://' "$out/address")
}
# stop: it must drain and exit with 0.
stop() { kill -TERM "$server"; wait "$server"; server=''; }

head -c 67108864 /dev/urandom >"$out/sent"
for workers in 0 2; do
    serve --workers "$workers"
    timeout 60 socat -t 30 - "TCP:127.0.0.1:$port" <"$out/sent" >"$out/received"
    cmp "$out/sent" "$out/received"
    stop
    echo "socat: 64 MiB behind a half-close are back, byte for byte, with $workers workers"
done

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
