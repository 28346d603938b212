"""The CPU time of a process, for the scripts that measure servers."""
import os


def cpu_time(pid):
    """Seconds of CPU time, user and system, of all threads it has or had. A process that has
    ended and was not waited for has it too."""
    with open(f"/proc/{pid}/stat") as stat:
        user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
