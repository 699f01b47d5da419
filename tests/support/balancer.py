"""A real HAProxy before replicas at fixed addresses: health checks on /ready, commands over its stats socket."""

import csv
import io
import os
import shutil
import socket
import time

from support.servers import Server
from support.timing import seconds, setting

# As docs/operations.md recommends it; only the checks are more often, so that tests are short.
CONFIGURATION = """
global
    stats socket {directory}/control level admin
    maxconn 4000
    nbthread 1
defaults
    mode http
    retries 3
    option redispatch
    timeout connect 5s
    timeout check 5s
    timeout client 10m
    timeout server 10m
    timeout http-keep-alive 10m
frontend clients
    bind 127.0.0.1:{port}
    default_backend gateways
backend gateways
    balance leastconn
    option httpchk GET /ready
    http-check expect status 200
    default-server check inter {inter} fall 2 rise 2
"""
CHECK_EVERY_MS = 250
LOOK_EVERY_SECONDS = 0.1


def ports_of_services(count):
    """Ports that are free and that the kernel does not hand out: they are still ours after a restart."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        end = min(int(file.read().split()[0]), 32_768)
    start = 10_000 + os.getpid() * 7 % 10_000
    found = []
    for port in [*range(start, end), *range(10_000, start)]:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"there are no {count} free ports below {end}")


class Haproxy(Server):
    name = "haproxy"

    def __init__(self, ports):
        """`ports`: of the replicas, which are called by their number."""
        super().__init__()
        self.ports = ports

    def command(self):
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        assert os.path.exists(program), "HAProxy is not installed: tools/setup.sh test"
        path = os.path.join(self.directory, "haproxy.cfg")
        text = CONFIGURATION.format(directory=self.directory, port=self.port, inter=setting(CHECK_EVERY_MS))
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
            file.writelines(f"    server {number} 127.0.0.1:{port}\n" for number, port in enumerate(self.ports))
        return [program, "-db", "-q", "-f", path]

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds(10))
            connection.connect(os.path.join(self.directory, "control"))
            connection.sendall(command.encode() + b"\n")
            said = b""
            while more := connection.recv(65536):
                said += more
        return said.decode()

    def rows(self):
        """What HAProxy counts, by server; the backend itself is BACKEND."""
        text = self.ask("show stat").removeprefix("# ")
        return {row["svname"]: row for row in csv.DictReader(io.StringIO(text)) if row["pxname"] == "gateways"}

    def status(self, number):
        return self.rows()[str(number)]["status"]

    def busy(self, number):
        """Requests under way at a replica."""
        return int(self.rows()[str(number)]["scur"])

    def set_state(self, number, state):
        """ready, drain (what runs goes on, nothing new comes) or maint."""
        said = self.ask(f"set server gateways/{number} state {state}").strip()
        assert not said, said

    def wait_for_status(self, number, wanted, timeout=20):
        deadline = time.monotonic() + seconds(timeout)
        while (found := self.status(number)) != wanted:
            assert time.monotonic() < deadline, f"replica {number} is {found} at the balancer, not {wanted}"
            time.sleep(LOOK_EVERY_SECONDS)

    def wait_until_idle(self, number, timeout):
        """Until a replica has nothing under way. How many requests it had."""
        deadline, first = time.monotonic() + seconds(timeout), self.busy(number)
        while left := self.busy(number):
            assert time.monotonic() < deadline, f"replica {number} has {left} requests that do not end"
            time.sleep(LOOK_EVERY_SECONDS)
        return first
