"""Measures this server beside the C++ server that it re-does, with the clients of the original.

    python3 scripts/original.py FOLDER [--threads LIST] [--rounds N] [--messages N]

FOLDER holds the sources of the original's last version (ReactorServer, epollReactorServer/37).
A copy of them is built with three changes: the number of I/O threads and the number of messages
are arguments, and a new connection's reactor is chosen before its socket is moved, without which
the server crashes at the first connection.

Each measurement is a fresh server and 30 fresh clients; the servers take turns. Reported are
thousands of messages per second from the start of the clients to the end of the last, and the
CPU time of the server per message: median/least/most. The clients compare no bytes, but a client
that gets none fails, and one that waits for a minute is stuck: such a run is counted as failed.

Run it in the folder of this project; it needs g++ and make. Exits with 1 if this server failed, 2 for wrong usage.
"""
import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TARGET = os.environ.get("CARGO_TARGET_DIR") or "target"
CLIENTS = 30
# Seconds that a run may take.
PATIENCE = 60
OURS, ORIGINAL = "ours", "original"
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
            sys.exit(f"error: {file} is not that of the last version: it has no `{before}`")
        with open(path, "w", encoding="utf-8") as text:
            text.write(code.replace(before, after))
    subprocess.run(["make", "-B", "-C", folder], check=True, capture_output=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def wait_for(port):
    """Waits until the port is listened on. A connection that only tries crashes the original."""
    for _ in range(500):
        with open("/proc/net/tcp", encoding="ascii") as sockets:
            if any(f":{int(port):04X} 00000000:0000 0A" in line for line in sockets):
                return
        time.sleep(0.01)
    sys.exit(f"error: nothing listens on port {port}")


def cpu_time(process):
    """Nanoseconds that its threads have run."""
    folder = f"/proc/{process.pid}/task"
    threads = [open(f"{folder}/{thread}/schedstat") for thread in os.listdir(folder)]
    return sum(int(thread.read().split()[0]) for thread in threads)


def run(server, client, messages):
    """Returns thousands of messages per second and microseconds of CPU per message, or None."""
    port = free_port()
    server = [word.replace("PORT", port) for word in server]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(server, **quiet) as process:
        try:
            wait_for(port)
            cpu, began = cpu_time(process), time.monotonic()
            command = [client, "127.0.0.1", port, str(messages)]
            clients = [subprocess.Popen(command, **quiet) for _ in range(CLIENTS)]
            codes = [end(it, began + PATIENCE) for it in clients]
            seconds = time.monotonic() - began
            if any(codes):
                return None
            total = CLIENTS * messages
            return total / seconds / 1e3, (cpu_time(process) - cpu) / total / 1e3
        except OSError:
            # The server has ended: it crashes now and then as clients leave.
            return None
        finally:
            process.kill()


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

    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bins"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        build(arguments.folder, folder)
        client = os.path.join(folder, "client")
        flags = ["--framing", "len32", "--reply-prefix", "reply:", "--log-file", "/dev/null"]
        commands = {
            OURS: lambda count: [f"{TARGET}/release/server", "127.0.0.1", "PORT", "--io-threads", count, *flags],
            ORIGINAL: lambda count: [os.path.join(folder, "server"), "127.0.0.1", "PORT", count],
        }
        results = {(count, name): [] for count in counts for name in commands}
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
            for count in counts:
                for name in list(commands)[:: 1 if number % 2 == 0 else -1]:
                    results[count, name].append(run(commands[name](count), client, arguments.messages))
    print("| threads | server | thousands/s | CPU us per message | failed runs |\n|---|---|---|---|---|")
    for (count, name), runs in results.items():
        done = [it for it in runs if it]
        rates, times = ([it[column] for it in done] for column in (0, 1))
        shown = f"{figures(rates)} | {figures(times)}" if done else "- | -"
        print(f"| {count} | {name} | {shown} | {len(runs) - len(done)} of {len(runs)} |")
    return any(it is None for (_, name), runs in results.items() if name == OURS for it in runs)


if __name__ == "__main__":
    sys.exit(main())
