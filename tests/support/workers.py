"""Durable jobs as a caller sees them, and processes that carry them out: on SQLite alone, or on PostgreSQL, Redis and a
queue that speaks the protocol of Amazon SQS."""

import json
import os
import tempfile
import uuid

from support.admin import cli
from support.client import request
from support.cluster import Database
from support.gateway import KEY, UNPREFIXED, Gateway
from support.timing import setting, wait_until

MODEL = "claude-haiku-4-5-20251001"
VERSION = ("anthropic-version", "2023-06-01")
FINAL = ("succeeded", "failed", "cancelled", "expired", "dead")
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1"}


def body(text="hello", max_tokens=64, **sim):
    """A Messages body; `sim` are controls of the simulator: fault="status=529" is a line `x-sim-fault: status=529`."""
    lines = [f"x-sim-{name.replace('_', '-')}: {value}" for name, value in sim.items()]
    return {
        "model": MODEL,
        "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": "\n".join([*lines, text])}],
    }


class Jobs:
    """The API of one gateway with one key."""

    def __init__(self, gateway, key=KEY):
        self.gateway, self.key = gateway, key

    def send(self, method, path, content=None, headers=(), timeout=60):
        data = None if content is None else json.dumps(content).encode()
        with self.gateway.client(timeout=timeout) as client:
            return client.ask(request(method, path, data, [VERSION, *headers], key=self.key))

    def submit(self, what, **members):
        """With a user agent of its own, by which its calls upstream and its ledger rows are found."""
        agent = ("user-agent", "job-" + uuid.uuid4().hex)
        answer = self.send("POST", "/v1/jobs", {"request": what, **members}, [agent])
        assert answer.status == 202, (answer.status, answer.body)
        return answer.json()["id"]

    def find(self, job):
        answer = self.send("GET", f"/v1/jobs/{job}")
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json()

    def wait(self, job, *states, timeout=30):
        """Until it has one of the states, or is final."""
        states = states or FINAL
        return wait_until(
            lambda: (lambda it: it if it["status"] in states else None)(self.find(job)), timeout,
            f"{job} to be {states}"
        )

    def result(self, job):
        answer = self.send("GET", f"/v1/jobs/{job}/result")
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json()

    def events(self, job):
        """The log of a job that has ended, as (id, name, data)."""
        answer = self.send("GET", f"/v1/jobs/{job}/events")
        assert answer.status == 200, (answer.status, answer.body)
        found = []
        for block in answer.body.decode().replace("\r\n", "\n").split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "id" in lines:
                found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
        return found

    def cancel(self, job):
        return self.send("POST", f"/v1/jobs/{job}/cancel")

    def succeeded(self, job, timeout=30):
        it = self.wait(job, timeout=timeout)
        assert it["status"] == "succeeded", it
        return self.result(job)

    def direct(self, what):
        """What the same request gets without a job."""
        answer = self.send("POST", "/v1/messages", what)
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json()


class Stack:
    """Processes on one database and one queue. Every one has a journal of its own."""

    FAST = {
        "JOBS_LEASE": setting(1_500),
        "JOBS_HEARTBEAT_EVERY": setting(300),
        "JOBS_SWEEP_EVERY": setting(200),
        "JOBS_BACKOFF_FIRST": "100ms",
        "JOBS_BACKOFF_MAX": setting(1_000),
    }

    def __init__(self, simulator, postgres=None, redis=None, sqs=None, **settings):
        self._directory = tempfile.TemporaryDirectory(prefix="claude-proxy-jobs-")
        self.directory = self._directory.name
        self.simulator = simulator
        self.database = Database.postgres(postgres) if postgres else Database.sqlite(self.directory)
        self.settings = {**self.FAST, **self.database.settings}
        if redis:
            self.settings["REDIS_URL"] = redis.url
        if sqs:
            queue = {"QUEUE_URL": "jobs-" + uuid.uuid4().hex[:12], "AWS_ENDPOINT_URL_SQS": sqs.url, **AWS}
            self.settings.update(queue)
        self.settings.update(settings)
        self.processes = []
        if postgres:
            done = cli(self.directory, "migrate", *(["--with-queue"] if sqs else []), **self.plain_settings())
            assert done.code == 0, done.out + done.err

    def plain_settings(self):
        return {name: value for name, value in self.settings.items() if name in UNPREFIXED}

    def start(self, *words, **settings):
        journal = os.path.join(self.directory, f"journal-{len(self.processes)}")
        made = Gateway(
            self.simulator.url, words=words, **{**self.settings, "JOURNAL_DIR": journal, **settings}
        )
        self.processes.append(made)
        return made

    def both(self, **settings):
        return self.start("serve", "--with-worker", **settings)

    def kill(self, process):
        """kill -9; it is gone when this returns."""
        process.process.kill()
        process.process.wait()

    def value(self, sql, *values):
        return self.database.value(sql, *values)

    def history(self, job):
        return self.database.query(
            "SELECT attempt, outcome, reason, request_id FROM claude_proxy.job_attempts WHERE job_id = %s"
            " ORDER BY attempt", job
        )  # fmt: skip

    def attempts_used(self, job):
        return self.value("SELECT attempts_used FROM claude_proxy.jobs WHERE id = %s", job)

    def stop(self):
        for process in self.processes:
            if process.process.poll() is None:
                process.stop()
        self.close()

    def close(self):
        for process in self.processes:
            process.cleanup()
        self._directory.cleanup()


def metric(gateway, name, labels=""):
    for line in gateway.metrics().body.decode().splitlines():
        if line.startswith(f"claude_proxy_{name}{labels} "):
            return float(line.split()[1])
    return None
