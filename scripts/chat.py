"""Measures the example `chat` beside a chat room on tokio, which has a task per member and a
broadcast channel (benches/peers/servers/chat.rs), in one interleaved run.

All members join. Then one says many lines, and every other must hear every line, in order
and exactly once. Reported are, per delivery of a line to a member: the CPU time of the server,
its system calls, and the returns of its epoll_wait. The calls are counted under strace in a
run of their own. Last, one more member joins and does not read, while all others hear every
line: reported is the memory (RSS) of the server.

Exits with 1 if a line is lost, doubled or changed, if our server keeps the member that
does not read, or if its memory exceeds the bound in docs/reliability.md.

CARGO_TARGET_DIR   where cargo builds   [target]
"""
import argparse
import os
import re
import resource
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from cpu_time import cpu_time

TARGET = os.environ.get("CARGO_TARGET_DIR") or "target"
THREADS = len(os.sched_getaffinity(0))
OURS, TOKIO = "ours", "tokio broadcast"
SERVERS = {
    OURS: [f"{TARGET}/release/examples/chat", "127.0.0.1", "0"],
    TOKIO: [f"{TARGET}/compare/build/release/peer-chat", "127.0.0.1", "0", str(THREADS)],
}
# Seconds that a line may take to reach all members.
PATIENCE = 60
# Lines of the run under strace.
COUNTED = 200
# Lines of the run with a member that does not read, bytes of each, and how many are said
# before all have heard the first of them. The kernel alone takes up to 4 MiB for a peer.
STUCK, LONG, FEW = 1200, 3900, 10
MIB = 1024 * 1024


class Room:
    """A server, and its members, who join when it is entered. Each must hear what `hear` expects, and nothing else."""

    def __init__(self, name, members):
        self.server = subprocess.Popen(SERVERS[name], stdout=subprocess.PIPE, text=True)
        self.pid = self.server.pid
        self.address = ("127.0.0.1", int(self.server.stdout.readline().rsplit(":", 1)[1]))
        self.poll, self.members, self.heard = select.epoll(), {}, {}
        # What each member may hear once, between any two lines, and the members that did.
        self.notice, self.told = b"", set()
        self.speaker = None
        self.wanted = members

    def __enter__(self):
        try:
            self.speaker = self.join(1)
            for number in range(2, self.wanted + 1):
                self.join(number)
                # The next one joins when all others have been told of this one.
                self.hear(b"guest%d joined\n" % number, but=number)
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.server.kill()
        self.server.wait()
        for member in self.members.values():
            member.close()

    def join(self, number):
        self.members[number] = greet(self.address, number)
        self.heard[number] = bytearray()
        self.poll.register(self.members[number], select.EPOLLIN)
        return self.members[number]

    def hear(self, expected, but):
        """Waits until every member but this one has received exactly these bytes next."""
        numbers = {member.fileno(): number for number, member in self.members.items()}
        left = set(self.members) - {but}
        while left:
            events = self.poll.poll(PATIENCE)
            if not events:
                sys.exit(f"error: {len(left)} members did not hear all within {PATIENCE} s")
            for fd, _ in events:
                number = numbers[fd]
                heard = self.heard[number]
                heard += self.members[number].recv(1 << 16) or sys.exit("error: a member was dropped")
                self.take_notice(number)
                if number in left and len(heard) >= len(expected):
                    if heard[: len(expected)] != expected:
                        sys.exit(f"error: guest{number} heard {bytes(heard[:100])} instead of {expected[:100]}")
                    # What is behind it must be what is expected next.
                    del heard[: len(expected)]
                    left.remove(number)

    def take_notice(self, number):
        if not self.notice or number in self.told:
            return
        heard = self.heard[number]
        place = heard.find(self.notice)
        if place == 0 or place > 0 and heard[place - 1 : place] == b"\n":
            del heard[place : place + len(self.notice)]
            self.told.add(number)

    def talk(self, lines, ahead, text=b""):
        """Has the first member say these lines, and all others hear them. Returns seconds."""
        began = time.monotonic()
        for first in range(0, lines, ahead):
            said = [b"%d %s\n" % (number, text) for number in range(first, min(first + ahead, lines))]
            self.speaker.sendall(b"".join(said))
            self.hear(b"".join(b"guest1: " + line for line in said), but=1)
        return time.monotonic() - began

    def end(self):
        """The first member leaves. No member may have heard anything before that."""
        self.poll.unregister(self.speaker)
        self.speaker.sendall(b"/quit\n")
        self.hear(b"guest1 left\n", but=1)
        while len(self.heard[1]) < len(b"bye\n"):
            self.heard[1] += self.speaker.recv(1 << 16) or sys.exit("error: no farewell")
            self.take_notice(1)
        if self.heard.pop(1) != b"bye\n" or any(self.heard.values()):
            sys.exit("error: a member heard more than was said")


def greet(address, number, buffer=None):
    """A connection that has been greeted. The kernel keeps `buffer` unread bytes for it."""
    member = socket.socket()
    if buffer:
        member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    member.settimeout(PATIENCE)
    member.connect(address)
    member.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    greeting, heard = b"welcome, guest%d; /quit leaves\n" % number, b""
    while len(heard) < len(greeting):
        heard += member.recv(len(greeting) - len(heard)) or sys.exit("error: no greeting")
    return member if heard == greeting else sys.exit(f"error: the greeting is {heard}")


def memory(pid, field):
    """Bytes of RSS: now (VmRSS), or the most since `forget_most` (VmHWM)."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def forget_most(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


def measured(name, plan):
    """Deliveries per second, and microseconds of CPU time per delivery."""
    with Room(name, plan.members) as room:
        deliveries, before = plan.lines * (plan.members - 1), cpu_time(room.pid)
        seconds = room.talk(plan.lines, plan.ahead)
        used = cpu_time(room.pid) - before
        room.end()
    return deliveries / seconds, used * 1e6 / deliveries


def counted(name, plan):
    """System calls per delivery, and returns of epoll_wait."""
    lines = min(plan.lines, COUNTED)
    with Room(name, plan.members) as room, tempfile.NamedTemporaryFile("r") as out:
        command = ["strace", "-f", "-c", "-U", "calls,name", "-o", out.name, "-p", str(room.pid)]
        strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        # One line for all threads.
        attached = strace.stderr.readline()
        if "attached" not in attached:
            sys.exit(f"error: {attached.strip()}")
        room.talk(lines, plan.ahead)
        strace.send_signal(signal.SIGINT)
        strace.communicate()
        room.end()
        calls = {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", out.read())}
    deliveries = lines * (plan.members - 1)
    waits = sum(calls.get(name, 0) for name in ("epoll_wait", "epoll_pwait", "epoll_pwait2"))
    return calls.pop("total") / deliveries, waits / deliveries


def stuck(name, plan):
    """One member does not read. The memory before, at most, and after; whether it is gone."""
    with Room(name, plan.members) as room:
        number = plan.members + 1
        silent = greet(room.address, number, buffer=4096)
        room.hear(b"guest%d joined\n" % number, but=None)
        before = memory(room.pid, "VmRSS")
        forget_most(room.pid)
        room.notice = b"guest%d left\n" % number
        room.talk(STUCK, FEW, text=b"x" * LONG)
        room.end()
        most, after = memory(room.pid, "VmHWM"), memory(room.pid, "VmRSS")
        silent.close()
        return before, most, after, len(room.told) == plan.members


def bound(members):
    """What docs/reliability.md allows our server to hold with lines of at most 4000 bytes."""
    each_member, each_thread = 4096 + 4000 + 4096, 64 * 1024 + 4 * MIB + (64 + 128) * 1024
    return 16 * MIB + (members + 1) * each_member + THREADS * each_thread


def build():
    cargo = ["cargo", "build", "--release", "--locked", "--quiet"]
    peers = ["--manifest-path", "benches/peers/Cargo.toml", "--target-dir", f"{TARGET}/compare/build"]
    subprocess.run([*cargo, "--example", "chat"], check=True)
    subprocess.run([*cargo, *peers, "--bin", "peer-chat"], check=True)


def between(least, most):
    def parse(text):
        if text.isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"must be a number from {least} to {most}")

    return parse


def command_line():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default, numbers, text in (
        ("--members", 1000, between(2, 10_000), "members of the room"),
        ("--lines", 10_000, between(1, 1_000_000), "lines that the first member says"),
        ("--ahead", 100, between(1, 500), "lines it says before all have heard the first of them"),
        ("--rounds", 3, between(1, 100), "rounds, of which the median is shown"),
    ):
        parser.add_argument(name, metavar="N", type=numbers, default=default, help=f"{text} [{default}]")
    return parser.parse_args()


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    plan = command_line()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    build()
    print(f"{plan.members} members, {plan.lines} lines, at most {plan.ahead} at once, {THREADS} threads, median of {plan.rounds} rounds")
    runs = {name: [] for name in SERVERS}
    for _ in range(plan.rounds):
        for name in SERVERS:
            runs[name].append(measured(name, plan))
    for name in SERVERS:
        rate, used = (statistics.median(column) for column in zip(*runs[name]))
        calls, waits = counted(name, plan)
        print(f"{name:<16} {rate:>10,.0f} deliveries per second; per delivery {used:.3f} us of CPU, {calls:.4f} system calls, {waits:.5f} returns of epoll_wait")
    print("every member heard every line in order and exactly once")
    print(f"{plan.members} members and one that does not read, {STUCK} lines of {LONG} bytes")
    for name in SERVERS:
        before, most, after, is_gone = stuck(name, plan)
        sizes = ", ".join(f"{size / MIB:.1f} MiB {when}" for when, size in (("before", before), ("at most", most), ("after", after)))
        print(f"{name:<16} {sizes}; the member is {'dropped' if is_gone else 'kept'}")
        if name == OURS and not (is_gone and most - before <= bound(plan.members)):
            sys.exit(f"error: it must be dropped, and the server hold at most {bound(plan.members) / MIB:.1f} MiB more")
    print(f"the bound on what ours holds is {bound(plan.members) / MIB:.1f} MiB more than before")


if __name__ == "__main__":
    main()
