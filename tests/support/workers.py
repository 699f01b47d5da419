"""Processes that carry jobs out: on SQLite alone, or on PostgreSQL, Redis and a queue that speaks the protocol of
Amazon SQS."""

import os
import tempfile
import uuid

from support.admin import cli
from support.cluster import Database
from support.gateway import UNPREFIXED, Gateway
from support.timing import setting

MODEL = "claude-haiku-4-5-20251001"
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1"}


def body(text="hello", max_tokens=64, **sim):
    """A Messages body; `sim` are controls of the simulator: fault="status=529" is a line `x-sim-fault: status=529`."""
    lines = [f"x-sim-{name.replace('_', '-')}: {value}" for name, value in sim.items()]
    return {
        "model": MODEL,
        "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": "\n".join([*lines, text])}],
    }


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
