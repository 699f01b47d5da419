#!/usr/bin/env python3
"""What durable jobs cost: submits a second, time to the first event, CPU of streams that are followed.

  bench/jobs.py                         every bar, a few minutes; exit code 1 when one is missed or has errors
  bench/jobs.py --parts streams         one part: submit, first-event, streams
  bench/jobs.py --rounds 1              in short

Starts PostgreSQL, Redis and an SQS server of its own (`tools/setup.sh test` installs them). PostgreSQL waits for its
disk, as it does where jobs must not be lost. bench/README.md tells how to read the figures.
"""
import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import machine
import tables
from bars import median
from build_tools import build_tools
from contender import API_KEY, HEADERS, HERE, Mock, NotRunnable
from make_bodies import BodyWriter

sys.path.insert(0, str(HERE.parent / "tests"))
sys.dont_write_bytecode = True

from support.servers import Postgres, Redis, Sqs  # noqa: E402

REPOSITORY = HERE.parent
PARTS = ("submit", "first-event", "streams")
STREAMS = 2000
STREAM = "s100-n100"  # an event every 100 ms for 10 s
RUN_SECONDS_MAX = 60


@dataclasses.dataclass
class Row:
    what: str
    measured: float
    bar: str
    is_good: bool
    notes: str = ""


class Processes:
    """Our processes on one database: `words` of each, the first one has the API."""

    def __init__(self, arguments, mock, settings, *words):
        self.rundir = arguments.work / "run" / "jobs"
        shutil.rmtree(self.rundir, ignore_errors=True)
        self.rundir.mkdir(parents=True)
        self.gateway, self.running = arguments.gateway, []
        self.port = machine.free_port()
        self.settings = {
            "CLAUDE_PROXY_UPSTREAM_URL": f"http://127.0.0.1:{mock.port}",
            "ANTHROPIC_API_KEY": "sk-ant-bench-upstream-key",
            "CLAUDE_PROXY_API_KEYS": API_KEY,
            "CLAUDE_PROXY_JOBS_OPEN_PER_TEAM_MAX": "100000000",
            "CLAUDE_PROXY_JOBS_CONCURRENCY": str(STREAMS + 500),
            "CLAUDE_PROXY_THREADS": "1",
            "LOG_FORMAT": "json",
            **settings,
        }
        if "DATABASE_URL" in settings:
            more = ["--with-queue"] if "QUEUE_URL" in settings else []
            subprocess.run(
                [self.gateway, "migrate", *more], env=self.settings, cwd=self.rundir, check=True, capture_output=True
            )
        for number, each in enumerate(words):
            self.start(number, each)

    def start(self, number, words):
        listen = {
            "CLAUDE_PROXY_LISTEN": f"127.0.0.1:{self.port if number == 0 else 0}",
            "CLAUDE_PROXY_ADMIN_LISTEN": "127.0.0.1:0",
            "CLAUDE_PROXY_JOURNAL_DIR": str(self.rundir / f"journal-{number}"),
        }
        log = self.rundir / f"{number}.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [self.gateway, *words], env={**self.settings, **listen}, cwd=self.rundir, stdout=file, stderr=file
            )
        self.running.append(process)
        end = time.monotonic() + 15
        while b'"listening"' not in log.read_bytes():
            if time.monotonic() > end or process.poll() is not None:
                raise NotRunnable(f"{' '.join(words)} did not start, see {log}")
            time.sleep(0.01)

    @property
    def pids(self):
        return [process.pid for process in self.running]

    def cpu(self):
        return [sum(machine.cpu_seconds([pid])) for pid in self.pids]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.kill()
            process.wait()


class Bench:
    def __init__(self, arguments, stack):
        self.arguments, self.work, self.rounds = arguments, arguments.work, arguments.rounds
        self.mock = Mock(self.work, ",".join(map(str, sorted(os.sched_getaffinity(0)))))
        stack.callback(self.mock.stop)
        self.postgres = stack.enter_context(Postgres(synced=True))
        self.redis = stack.enter_context(Redis())
        self.sqs = stack.enter_context(Sqs())
        for server in (self.postgres, self.redis, self.sqs):
            machine.session_comes_first(server.process.pid, arguments.nice)
        self.databases = 0
        self.rows = []

    def shared(self, queue=False):
        """Settings of processes that share a new database, Redis, and a new queue."""
        self.databases += 1
        settings = {
            "DATABASE_URL": self.postgres.create_database(f"bench_{self.databases}"),
            "REDIS_URL": self.redis.url,
        }
        if queue:
            settings |= {
                "QUEUE_URL": f"bench-{self.databases}",
                "AWS_REGION": "eu-west-1",
                "AWS_ENDPOINT_URL_SQS": self.sqs.url,
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
            }
        return settings

    def body(self, name, model, is_job):
        small = BodyWriter().small(f"claude-mock-{model}", stream=not is_job)
        path = self.work / "bodies" / f"{name}.json"
        path.write_text(json.dumps({"request": small} if is_job else small))
        return path

    def load(self, processes, mode, body, path, peak_memory=False, **options):
        """One run of gwload; what it says, and what our processes used meanwhile."""
        machine.wait_until_quiet(self.arguments.quiet_s)
        words = [str(self.work / "gwload"), "--mode", mode, "--port", str(processes.port), "--path", path]
        words += ["--body", str(body)]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        for name, value in HEADERS.items():
            words += ["-H", f"{name}: {value}"]
        before, busy, began = processes.cpu(), machine.busy_seconds(), time.monotonic()
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        peak = {}
        while peak_memory and process.poll() is None:
            for number, pid in enumerate(processes.pids):
                rss = machine.memory([pid])["rss_kib"]
                peak[number] = max(peak.get(number, 0), rss)
            time.sleep(0.5)
        output, complaints = process.communicate(timeout=RUN_SECONDS_MAX * 2)
        if not output.startswith("{"):
            raise NotRunnable(f"gwload: {complaints[-300:]}")
        told = json.loads(output)
        seconds = time.monotonic() - began
        told["cpu"] = [after - earlier for after, earlier in zip(processes.cpu(), before)]
        told["machine_cpu"] = (machine.busy_seconds()[0] - busy[0]) / seconds
        told["others_cpu"] = told["machine_cpu"] - (sum(told["cpu"]) + told["loadgen_cpu_s"]) / seconds
        told["rss_mib"] = [peak[number] / 1024 for number in sorted(peak)]
        if told["errors"]:
            print(f"  ERRORS {told['error_kinds']} {complaints[-300:]}", flush=True)
        return told

    def add(self, what, values, bar, at_least, notes="", errors=0):
        value = median(values)
        is_good = not errors and (value >= bar if at_least else value <= bar)
        limit = f"{'>=' if at_least else '<='} {bar:,g}"
        notes = f"{errors} errors; {notes}" if errors else notes
        self.rows.append(Row(what, value, limit, is_good, notes))
        print(f"  {what}: {value:,.2f} ({limit}), rounds {[round(each, 2) for each in values]} {notes}", flush=True)

    # --- the parts

    def submit(self):
        """Jobs of 1 KB that nobody carries out, so that the submit alone is measured."""
        body = self.body("submit", "s100-n10", is_job=True)
        for name, settings, bar in (("SQLite", dict, 5000), ("PostgreSQL", self.shared, 3000)):
            rates, tails, errors, cpu = [], [], 0, []
            for _ in range(self.rounds):
                chosen = {"CLAUDE_PROXY_THREADS": "2", **settings()}
                with Processes(self.arguments, self.mock, chosen, ["serve"]) as ours:
                    common = {"status": 202, "must": '"queued"', "conns": 256}
                    full = self.load(ours, "req", body, "/v1/jobs", duration=5, **common)
                    half = self.load(ours, "req", body, "/v1/jobs", duration=5, warmup=1, rate=bar / 2, **common)
                    missing = full["ok"] + half["ok"] - self.jobs_of(ours)
                rates.append(full["per_s"])
                tails.append(half["latency_us"]["p99"] / 1000)
                cpu.append(sum(full["cpu"]) / full["ok"] * 1e6 if full["ok"] else 0)
                errors += full["errors"] + half["errors"] + abs(missing)
            notes = f"{median(cpu):.0f} us of our CPU a submit; others used {full['others_cpu']:.1f} CPUs"
            self.add(f"{name}: submits a second", rates, bar, True, notes, errors)
            self.add(f"{name}: submit, p99 at {bar // 2:,} a second, ms", tails, 50, False, "", errors)

    def jobs_of(self, processes):
        """How many there are in the database: each answer must stand for one."""
        count = "SELECT count(*) FROM {}jobs"
        url = processes.settings.get("DATABASE_URL")
        if url:
            return int(self.postgres.sql(count.format("claude_proxy."), url.rpartition("/")[2]))
        with contextlib.closing(sqlite3.connect(processes.rundir / "var" / "claude-proxy.db")) as database:
            return database.execute(count.format("")).fetchone()[0]

    def first_event(self):
        """One job at a time on an idle system, beside one direct stream at a time through the same process."""
        job, stream = self.body("job", "s10-n10", True), self.body("stream", "s10-n10", False)
        embedded = ("embedded", dict, [["serve", "--with-worker"]], 20)
        shared = ("PostgreSQL, SQS server", lambda: self.shared(queue=True), [["serve"], ["worker"]], 60)
        for name, settings, words, bar in (embedded, shared):
            added, tails, errors = [], [], 0
            for _ in range(self.rounds):
                with Processes(self.arguments, self.mock, settings(), *words) as ours:
                    common = {"conns": 1, "total": 40, "duration": 30, "expect": 10}
                    self.load(ours, "jobs", job, "/v1/jobs", **{**common, "total": 3})
                    direct = self.load(ours, "sse", stream, "/v1/messages", **common)
                    jobs = self.load(ours, "jobs", job, "/v1/jobs", **common)
                    errors += direct["errors"] + jobs["errors"]
                    added.append((jobs["first_event_us"]["p50"] - direct["first_event_us"]["p50"]) / 1000)
                    tails.append((jobs["first_event_us"]["p95"] - direct["first_event_us"]["p95"]) / 1000)
            notes = f"p95 {median(tails):.1f}; others used {jobs['others_cpu']:.1f} CPUs"
            self.add(f"{name}: submit to first event beyond the direct way, p50, ms", added, bar, False, notes, errors)

    def streams(self):
        """As many streams at once, direct through one process, and as jobs with a follower each on two processes."""
        job, stream = self.body("jobs", STREAM, True), self.body("streams", STREAM, False)
        ratios, notes, errors = [], "", 0
        for _ in range(self.rounds):
            common = {"conns": STREAMS, "total": STREAMS, "expect": int(STREAM.split("-n")[1]), "peak_memory": True}
            common |= {"duration": RUN_SECONDS_MAX, "ramp_ms": 3000, "timeout": 30}
            with Processes(self.arguments, self.mock, self.shared(), ["serve"]) as ours:
                direct = self.load(ours, "sse", stream, "/v1/messages", **common)
            with Processes(self.arguments, self.mock, self.shared(queue=True), ["serve"], ["worker"]) as ours:
                jobs = self.load(ours, "jobs", job, "/v1/jobs", **common)
            errors += direct["errors"] + jobs["errors"]
            each = [sum(run["cpu"]) / max(run["deltas"], 1) * 1e6 for run in (direct, jobs)]
            ratios.append(each[1] / each[0])
            split = ", ".join(
                f"{name} {used / max(jobs['deltas'], 1) * 1e6:.1f} us, {rss:.0f} MiB"
                for name, used, rss in zip(("API", "worker"), jobs["cpu"], jobs["rss_mib"])
            )
            notes = (
                f"direct {each[0]:.1f} us an event, {direct['rss_mib'][0]:.0f} MiB; jobs {each[1]:.1f} us ({split});"
                f" an event is seen after {jobs['lag_us']['p50'] / 1000:.0f} ms (p50),"
                f" {jobs['lag_us']['p99'] / 1000:.0f}"
                f" (p99), direct {direct['lag_us']['p50'] / 1000:.0f}, {direct['lag_us']['p99'] / 1000:.0f};"
                f" others used {jobs['others_cpu']:.1f} CPUs"
            )
            print(f"  {notes}", flush=True)
        self.add(f"{STREAMS:,} jobs with a follower each: CPU an event, times direct", ratios, 3, False, notes, errors)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=REPOSITORY / "build/bench")
    parser.add_argument("--gateway", type=pathlib.Path, default=REPOSITORY / "build/release/claude-proxy")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet-s", type=float, default=4, help="longest wait for other work to end before a run")
    parser.add_argument("--nice", type=int, default=-10 if os.geteuid() == 0 else 0, help="for all processes")
    arguments = parser.parse_args()
    arguments.work, arguments.gateway = arguments.work.resolve(), arguments.gateway.resolve()
    unknown = set(arguments.parts.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"unknown parts {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if not arguments.gateway.exists():
        raise NotRunnable(f"{arguments.gateway}: make build")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    build_tools(arguments.work)
    complaint = machine.allow_open_files(4 * STREAMS + 500)
    if complaint:
        print(f"WARNING {complaint}", file=sys.stderr)
    machine.come_first(arguments.nice)
    with contextlib.ExitStack() as stack:
        bench = Bench(arguments, stack)
        for part in arguments.parts.split(","):
            print(f"{part}, load average {os.getloadavg()[0]:.1f}", flush=True)
            getattr(bench, part.replace("-", "_"))()
    lines = [[row.what, f"{row.measured:,.2f}", row.bar, ("FAIL", "ok")[row.is_good], row.notes] for row in bench.rows]
    print("\n" + tables.markdown(["", "measured", "bar", "", "notes"], lines))
    return 0 if all(row.is_good for row in bench.rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotRunnable as reason:
        print(f"MISSING {reason}", file=sys.stderr)
        sys.exit(2)
