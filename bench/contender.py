"""The programs of a benchmark: the mock upstream and the gateways that are put before it.

A contender is a row of contenders.json (bench/README.md tells the fields). Texts of the row may hold {port}
{upstream_port} {rundir} {gateway} {api_key} and the names under "vars".
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import machine

HERE = pathlib.Path(__file__).resolve().parent
API_KEY = "sk-cp-bench-0123456789abcdef"
# The same for every contender, so that all of them carry the same bytes.
HEADERS = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01", "content-type": "application/json"}
PATH = "/v1/messages"
START_SECONDS_MAX = 15
# Where tools/with_servers says that its servers are.
SERVERS = {"postgres": "TEST_POSTGRES_URL", "redis": "TEST_REDIS_URL"}
# A gateway's memory is read this long after its first answer, when start-up work is over.
SETTLE_SECONDS = 0.5


class NotRunnable(Exception):
    """A program is missing or did not start; the text says what to do."""


class Mock:
    """The upstream, alone on the CPU of the load generator."""

    def __init__(self, work: pathlib.Path, load_cpu: str):
        self.port = machine.free_port()
        self.questions = 0  # each is a connection that no gateway made
        self.process = subprocess.Popen(["taskset", "-c", load_cpu, work / "mock_upstream", "--port", str(self.port)])
        end = time.monotonic() + 5
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise NotRunnable("mock_upstream did not start")
            time.sleep(0.01)

    def answers(self) -> bool:
        try:
            return "requests" in self.stats()
        except OSError:
            return False

    def stats(self) -> dict:
        self.questions += 1
        with socket.create_connection(("127.0.0.1", self.port), 2) as peer:
            peer.sendall(b"GET /stats HTTP/1.1\r\nhost: mock\r\n\r\n")
            answer = b""
            while b"}" not in answer:
                part = peer.recv(4096)
                if not part:
                    raise OSError("the mock closed the connection")
                answer += part
        stats = json.loads(answer.split(b"\r\n\r\n", 1)[1])
        stats["connections"] -= self.questions
        return stats

    def cpu(self) -> float:
        return sum(machine.cpu_seconds([self.process.pid]))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Contender:
    def __init__(self, row: dict, work: pathlib.Path, gateway: pathlib.Path):
        self.row = row
        self.name = row["name"]
        self.work = work
        self.rundir = work / "run" / self.name
        self.values = {"rundir": self.rundir, "gateway": gateway, "api_key": API_KEY, **row.get("vars", {})}
        self.values |= {name: os.environ.get(variable, "") for name, variable in SERVERS.items()}
        self.port = 0
        self.process = None

    @property
    def is_direct(self) -> bool:
        return not self.row["cmd"]

    def missing(self) -> str:
        """What must be done before this can run; empty: nothing."""
        if any(not self.values[server] for server in self.row.get("needs", [])):
            return f"{self.name}: needs {' and '.join(self.row['needs'])}; run tools/with_servers bench/run.py ..."
        if self.is_direct or self.program():
            return ""
        program = self.fill(self.row["cmd"][0])
        return f"{self.name}: {program} is not there; run: {self.row.get('install', 'install it')}"

    def program(self) -> str | None:
        # Debian keeps servers where only root looks.
        return shutil.which(self.fill(self.row["cmd"][0]), path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def fill(self, text: str) -> str:
        for name, value in self.values.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def headers(self) -> dict:
        return {**HEADERS, **{name: self.fill(value) for name, value in self.row.get("headers", {}).items()}}

    def start(self, mock: Mock, prefix: tuple = ()) -> dict:
        """Starts it afresh and waits for its first answer. `prefix` goes before its command line (strace)."""
        if self.is_direct:
            self.port = mock.port
            return {}
        self.port = machine.free_port()
        self.values.update(port=self.port, upstream_port=mock.port)
        shutil.rmtree(self.rundir, ignore_errors=True)
        self.rundir.mkdir(parents=True)
        for name, template in self.row.get("conf", {}).items():
            (self.rundir / name).write_text(self.fill((HERE / template).read_text()))
        for words in self.row.get("before", []):
            subprocess.run(
                [self.program(), *map(self.fill, words)],
                env=self.environment(),
                cwd=self.rundir,
                stdout=subprocess.DEVNULL,
                check=False,  # what is there from the round before is there
            )
        command = [
            "taskset",
            "-c",
            self.row.get("cpus", "0"),
            *prefix,
            self.program(),
            *map(self.fill, self.row["cmd"][1:]),
        ]
        body = (self.work / "bodies" / "w1.json").read_bytes()

        with open(self.log, "wb") as log:
            began = time.monotonic()
            self.process = subprocess.Popen(
                command, env=self.environment(), cwd=self.rundir, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while not self.answers(body):
            if time.monotonic() - began > START_SECONDS_MAX or self.process.poll() is not None:
                raise NotRunnable(f"{self.name} did not start, see {self.log}")
            time.sleep(0.001)
        cold_start = time.monotonic() - began
        time.sleep(SETTLE_SECONDS)
        return {"cold_start_ms": round(cold_start * 1000, 1), "idle": self.memory()}

    @property
    def log(self) -> pathlib.Path:
        return self.rundir / "out.log"

    def environment(self) -> dict:
        # Settings of whoever runs the benchmark must not reach the gateway.
        ours = ("CLAUDE_PROXY_", "ANTHROPIC_", "LOG_", "OTEL_", "DATABASE_", "QUEUE_", "REDIS_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {**inherited, **{name: self.fill(value) for name, value in self.row.get("env", {}).items()}}

    def answers(self, body: bytes) -> bool:
        """One small request over a connection of its own."""
        headers = "".join(f"{name}: {value}\r\n" for name, value in self.headers().items())
        headers += f"host: 127.0.0.1:{self.port}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        head = f"POST {PATH} HTTP/1.1\r\n{headers}\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as peer:
                peer.settimeout(5)
                peer.sendall(head.encode() + body)
                answer = b""
                while b"end_turn" not in answer:
                    part = peer.recv(65536)
                    if not part:
                        break
                    answer += part
        except OSError:
            return False
        return answer.startswith(b"HTTP/1.1 200") and b"end_turn" in answer

    def processes(self) -> list[int]:
        return machine.process_tree(self.process.pid) if self.process else []

    def memory(self) -> dict:
        return machine.memory(self.processes())

    def stop(self) -> None:
        """At once: how long a gateway drains is not measured here."""
        if not self.process:
            return
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.process.wait()
        self.process = None


def load_contenders(files: list[pathlib.Path], work: pathlib.Path, gateway: pathlib.Path) -> dict[str, Contender]:
    """By name, in the order of the files; a later row replaces an earlier one of the same name."""
    rows = [row for file in files for row in json.loads(file.read_text())]
    return {row["name"]: Contender(row, work, gateway) for row in rows}
