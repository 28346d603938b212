"""Measures this server beside the C++ server that it re-does, with the clients of the original.

    python3 scripts/original.py FOLDER [--threads LIST] [--rounds N] [--messages N]

FOLDER holds the sources of the original's last version (ReactorServer, epollReactorServer/37).
A copy of them is built with three changes: the number of I/O threads and the number of messages
are arguments, and a new connection's reactor is chosen before its socket is moved, without which
the server crashes at the first connection.

Each measurement is a fresh server and 30 fresh clients; the servers take turns. Reported are
thousands of messages per second from the start of the clients to the end of the last, and the
CPU time of the server per message: median/least/most. The clients compare no bytes, but a client
that gets no reply fails, and so does one that has not ended after a minute. Such a run counts as
failed, and so does one in which the server crashes; its figures are left out.

Run it in the folder of this project; it needs g++ and make. Exits with 1 if this server failed,
2 for wrong usage or if the original cannot be built, 130 if interrupted.
"""
import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from cpu_time import cpu_time

TARGET = os.environ.get("CARGO_TARGET_DIR") or "target"
CLIENTS = 30
# Seconds that a run may take.
PATIENCE = 60
OURS, ORIGINAL = "ours", "original"
FLAGS = ["--framing", "len32", "--reply-prefix", "reply:", "--log-file", "/dev/null"]
# File, what stands there, and what is put in its place.
CHANGES = [
    ("server.cpp", "argc != 3", "argc != 4"),
    ("server.cpp", "atoi(argv[2]),32,0", "atoi(argv[2]),atoi(argv[3]),0"),
    ("client.cpp", "argc != 3", "argc != 4"),
    ("client.cpp", "ii<100000", "ii<atoi(argv[3])"),
    (
        "TcpServer.cpp",
        "spConnection conn(new Connection(subeloops_[clientsock->fd()%threadnum_].get(),",
        "EventLoop *loop = subeloops_[clientsock->fd()%threadnum_].get();"
        " spConnection conn(new Connection(loop,",
    ),
]


def build(sources, folder):
    """Builds a changed copy of the original in this folder."""
    shutil.copytree(sources, folder, dirs_exist_ok=True)
    for file, before, after in CHANGES:
        path = os.path.join(folder, file)
        with open(path, encoding="utf-8") as text:
            code = text.read()
        if before not in code:
            raise OSError(f"{file} is not that of the last version: it has no `{before}`")
        with open(path, "w", encoding="utf-8") as text:
            text.write(code.replace(before, after))
    subprocess.run(["make", "-B", "-C", folder], check=True, stdout=subprocess.DEVNULL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(server, port):
    """Waits until the server listens on the port. Returns whether it does. A trial connection
    would crash the original."""
    for _ in range(500):
        with open("/proc/net/tcp", encoding="ascii") as sockets:
            if any(f":{port:04X} 00000000:0000 0A" in line for line in sockets):
                return True
        if server.poll() is not None:
            return False
        time.sleep(0.01)
    return False


def run(server, client, messages):
    """Returns thousands of messages per second and microseconds of CPU per message, or None if
    the server or a client failed."""
    port = free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([word.replace("PORT", str(port)) for word in server], **quiet)
    started = [server]
    try:
        if not listens(server, port):
            return None
        before, began = cpu_time(server.pid), time.monotonic()
        for _ in range(CLIENTS):
            started.append(subprocess.Popen([client, "127.0.0.1", str(port), str(messages)], **quiet))
        codes = [end(it, began + PATIENCE) for it in started[1:]]
        seconds = time.monotonic() - began
        used = cpu_time(server.pid) - before
        if any(codes) or server.poll() is not None:
            return None
        total = CLIENTS * messages
        return total / seconds / 1e3, used * 1e6 / total
    finally:
        for process in started:
            process.kill()
            process.wait()


def end(client, by):
    """Waits for a client to end, until then. Returns its exit code."""
    try:
        return client.wait(max(0, by - time.monotonic()))
    except subprocess.TimeoutExpired:
        client.kill()
        return client.wait()


def figures(values):
    return f"{statistics.median(values):.1f}/{min(values):.1f}/{max(values):.1f}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--threads", default="2,4,8,16,32,64", metavar="LIST")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--messages", type=int, default=10_000, metavar="N", help="per client")
    arguments = parser.parse_args()
    counts = arguments.threads.split(",")
    if not all(count.isdigit() and int(count) for count in counts):
        parser.error(f"--threads: {arguments.threads} is no list of numbers")
    if not os.path.isfile(os.path.join(arguments.folder, "TcpServer.cpp")):
        parser.error(f"{arguments.folder} has no TcpServer.cpp")
    if min(arguments.rounds, arguments.messages) < 1:
        parser.error("--rounds and --messages are at least 1")

    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bins"], check=True)
            build(arguments.folder, folder)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        commands = {
            OURS: lambda count: [f"{TARGET}/release/server", "127.0.0.1", "PORT", "--io-threads", count, *FLAGS],
            ORIGINAL: lambda count: [os.path.join(folder, "server"), "127.0.0.1", "PORT", count],
        }
        client = os.path.join(folder, "client")
        results = {(count, name): [] for count in counts for name in commands}
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
            for count in counts:
                for name in list(commands)[:: 1 if number % 2 == 0 else -1]:
                    results[count, name].append(run(commands[name](count), client, arguments.messages))
    print("| threads | server | thousands/s | CPU us per message | failed runs |\n|---|---|---|---|---|")
    for (count, name), runs in results.items():
        done = [it for it in runs if it]
        shown = " | ".join(figures(column) for column in zip(*done)) or "- | -"
        print(f"| {count} | {name} | {shown} | {len(runs) - len(done)} of {len(runs)} |")
    return int(any(None in runs for (_, name), runs in results.items() if name == OURS))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
