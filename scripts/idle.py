"""Starts a server, opens many connections to it and reports the memory per connection:
idle, after each has echoed 64 KiB in turn, and after all have at once. It also reports
how long 64 I/O threads take to start. Exits with 1 if a promise is broken. scripts/counts.sh
runs it, and builds the server first.

    python3 scripts/idle.py raw|len32

CONNECTIONS        number of connections   [15000, or what the descriptor limit allows]
CARGO_TARGET_DIR   where cargo builds      [target]
"""
import atexit
import os
import resource
import socket
import struct
import subprocess
import sys
import time

IP_BIND_ADDRESS_NO_PORT = 24  # Python has no name for it before 3.12
TARGET = os.environ.get("CARGO_TARGET_DIR") or "target"
SERVER = f"{TARGET}/release/server"
LOG = f"{TARGET}/counts/idle.log"
# Bytes of RSS per connection. Messages longer than one read are held for a while, which
# leaves the heap fragmented.
MOST = {"raw": 150, "len32": 250}
framing = sys.argv[1] if len(sys.argv) > 1 else "raw"
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
os.makedirs(os.path.dirname(LOG), exist_ok=True)
count = min(int(os.environ.get("CONNECTIONS", 15000)), hard - 200)


def start(*flags):
    flags = ["127.0.0.1", "0", "--framing", framing, "--log-file", LOG, *flags]
    began = time.monotonic()
    server = subprocess.Popen([SERVER, *flags], stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)  # Does nothing once it has ended.
    port = int(server.stdout.readline().rsplit(":", 1)[1])
    return server, port, time.monotonic() - began


def rss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Rss:"))


def settled(pid):
    """Waits until the server's memory no longer changes, and returns its bytes."""
    before, now = None, rss(pid)
    while before != now:
        time.sleep(0.3)
        before, now = now, rss(pid)
    return now


def open_all(port):
    streams = []
    for number in range(count):
        stream = socket.socket()
        # A source address has some 28,000 ports, and is slow beyond half of them. The
        # kernel chooses the port on connect: a port that is bound before stays
        # reserved for a minute, for all peers.
        stream.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        stream.bind((f"127.0.0.{2 + number // 10000}", 0))
        stream.connect(("127.0.0.1", port))
        streams.append(stream)
    return streams


def receive(stream, left):
    while left:
        left -= len(stream.recv(left)) or sys.exit("a connection was closed")


server, port, seconds = start("--io-threads", "64")
server.terminate()
assert server.wait() == 0
broken = []
print(f"{'64 I/O threads':<34} listening after {seconds * 1000:.0f} ms")
if seconds > 0.5:
    broken.append("64 I/O threads must listen within 500 ms")

body = os.urandom(65536)
message = body if framing == "raw" else struct.pack("<I", len(body)) + body
server, port, _ = start("--io-threads", "2")
# One connection for each thread, so that what a thread allocates once is in the base.
for _ in range(2):
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.sendall(message)
        receive(stream, len(message))
base = settled(server.pid)
streams = open_all(port)
figures = [("idle", settled(server.pid))]
for stream in streams:
    stream.sendall(message)
    receive(stream, len(message))
figures.append(("after 64 KiB each, in turn", settled(server.pid)))
for stream in streams:
    stream.sendall(message)
for stream in streams:
    receive(stream, len(message))
figures.append(("after 64 KiB each, all at once", settled(server.pid)))
for name, now in figures:
    each = (now - base) / count
    print(f"{f'{count} connections, {framing}':<34} {each:.0f} bytes of RSS per connection, {name}")
    if each > MOST[framing]:
        broken.append(f"a {framing} connection must take at most {MOST[framing]} bytes, {name}")
for stream in streams:
    stream.close()
server.terminate()
if server.wait() != 0:
    broken.append(f"the server ended with {server.returncode}")
# Printed, and the exit code is 1, unless there is nothing to say.
sys.exit("\n".join(f"error: {promise}" for promise in broken) or None)
