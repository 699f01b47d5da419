"""What Linux tells about processes and the machine, and what must be asked of it before a load can run."""
import atexit
import os
import pathlib
import random
import resource
import socket
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def process_tree(pid: int) -> list[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = stat_fields(int(entry))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def stat_fields(pid: int) -> list[str]:
    """/proc/PID/stat after the program's name (which may hold anything): state, parent, ...; empty: process gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def cpu_seconds(pids: list[int]) -> tuple[float, float]:
    """User and system time. The kernel scales the pair from its exact run time: the sum is good to a tick a process."""
    user = system = 0
    for pid in pids:
        fields = stat_fields(pid)
        if fields:
            user += int(fields[11])
            system += int(fields[12])
    return user / TICKS_PER_SECOND, system / TICKS_PER_SECOND


def memory(pids: list[int]) -> dict:
    """Sums over processes, in KiB. PSS shares common pages between processes; RSS counts them in each."""
    total = {"rss_kib": 0, "rss_peak_kib": 0, "pss_kib": 0, "threads": 0, "processes": len(pids)}
    names = {"VmRSS:": "rss_kib", "VmHWM:": "rss_peak_kib", "Threads:": "threads", "Pss:": "pss_kib"}
    for pid in pids:
        try:
            text = "".join(pathlib.Path(f"/proc/{pid}/{file}").read_text() for file in ("status", "smaps_rollup"))
        except OSError:
            continue
        for line in text.splitlines():
            words = line.split()
            if words and words[0] in names:
                total[names[words[0]]] += int(words[1])
    return total


def busy_seconds() -> tuple[float, float]:
    """CPU seconds that anything on this machine used so far, and those that the host took away."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    return (user + nice + system + irq + softirq) / TICKS_PER_SECOND, steal / TICKS_PER_SECOND


def wait_until_quiet(seconds_max: float, cpus_max: float = 0.15) -> None:
    """Waits until other work takes less than `cpus_max` of one CPU, but no longer than `seconds_max`."""
    look = 0.4
    end = time.monotonic() + seconds_max
    while True:
        before = busy_seconds()[0]
        time.sleep(look)
        if (busy_seconds()[0] - before) / look < cpus_max or time.monotonic() > end:
            return


def local_port_range() -> tuple[int, int]:
    first, last = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return first, last


def describe() -> dict:
    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpus": os.cpu_count(),
        "model": models[0] if models else "unknown",
        "kernel": os.uname().release,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def free_port() -> int:
    """A port to listen on, below those that the kernel gives to outgoing connections: thousands of these are made and
    one could take the port before the gateway does."""
    first = local_port_range()[0]
    for _ in range(1000):
        port = random.randrange(max(1024, first - 12_000), first)
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port found on 127.0.0.1")


def allow_open_files(wanted: int) -> str:
    """Raises the limit for this process and those it starts. Returns what is wrong, if anything."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return ""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard < wanted:
            return f"open files are limited to {hard:,}, {wanted:,} are needed (as root: ulimit -Hn {wanted})"
    return ""


def open_files_max() -> int:
    """How many this process and those it starts may have open, each."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def come_first(nice: int) -> None:
    """Gives this process and those it starts a nice value (negative ones need root); all contenders get the same."""
    if nice == 0:
        return
    try:
        os.nice(nice)
        # Where the scheduler weighs sessions, not processes, the session needs it too, for as long as this runs.
        autogroup = pathlib.Path("/proc/self/autogroup")
        before = autogroup.read_text().split()[-1]
        autogroup.write_text(str(nice))
        atexit.register(autogroup.write_text, before)
    except OSError:
        pass


def session_comes_first(pid: int, nice: int) -> None:
    """The same for the session of a server that has made itself one; its processes have the nice value already."""
    try:
        pathlib.Path(f"/proc/{pid}/autogroup").write_text(str(nice))
    except OSError:
        pass
