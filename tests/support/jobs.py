"""The API of durable jobs with one key, and what the database has of a job."""

import json
import sqlite3
import uuid

from support import job_log
from support.admin import sqlite_path
from support.client import request
from support.gateway import KEY
from support.timing import seconds, wait_until

MODEL = "claude-opus-4-8"
VERSION = ("anthropic-version", "2023-06-01")
BODY = {"model": MODEL, "max_tokens": 16, "messages": [{"role": "user", "content": "hi é \u0001"}]}


class Jobs:
    """The API with one key."""

    def __init__(self, gateway, key=KEY):
        self.gateway, self.key = gateway, key

    def send(self, method, path, body=None, headers=(), timeout=60):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        target = path if path.startswith("/") else "/v1/jobs/" + path
        with self.gateway.client(timeout=timeout) as client:
            return client.ask(request(method, target, body, headers, key=self.key))

    def submit(self, *headers, request=None, **members):
        return self.send("POST", "/v1/jobs", {"request": request or BODY, **members}, headers)

    def new(self, request=None, **members):
        """The id of a job with a user agent of its own, by which its calls upstream and its ledger rows are found."""
        answer = self.submit(VERSION, ("user-agent", "job-" + uuid.uuid4().hex), request=request, **members)
        assert answer.status == 202, (answer.status, answer.body)
        return answer.json()["id"]

    def message(self, *headers, body=None):
        return self.send("POST", "/v1/messages", body or BODY, [("Prefer", "respond-async"), *headers])

    def get(self, job, query=""):
        answer = self.send("GET", job + query)
        assert answer.status == 200, answer.body
        return answer.json()

    def list(self, query=""):
        answer = self.send("GET", "/v1/jobs" + query)
        assert answer.status == 200, answer.body
        return answer.json()

    def wait(self, job, *states, timeout=30):
        """Until it has one of the states, or is final."""
        states = states or job_log.FINAL
        return wait_until(
            lambda: (lambda it: it if it["status"] in states else None)(self.get(job)), timeout, f"{job} to be {states}"
        )

    def result(self, job):
        answer = self.send("GET", job + "/result")
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json()

    def succeeded(self, job, timeout=30):
        it = self.wait(job, timeout=timeout)
        assert it["status"] == "succeeded", it
        return self.result(job)

    def events(self, job):
        """The log of a job that has ended, as (id, name, data)."""
        answer = self.send("GET", job + "/events")
        assert answer.status == 200, (answer.status, answer.body)
        return job_log.parse(answer.body.replace(job_log.PING, b""))

    def cancel(self, job):
        return self.send("POST", job + "/cancel")

    def direct(self, what):
        """What the same request gets without a job."""
        answer = self.send("POST", "/v1/messages", what, [VERSION])
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json()


def check_refused(answer, status, why, kind=None):
    assert answer.status == status, (answer.status, answer.body)
    told = answer.json()
    assert told["type"] == "error" and told["error"]["details"]["reason"] == why, told
    assert told["request_id"] == answer.header("request-id")
    if kind:
        assert told["error"]["type"] == kind
    return told["error"]["message"]


def stored(gateway, job):
    connection = sqlite3.connect(sqlite_path(gateway), timeout=seconds(10))
    try:
        return connection.execute(
            "SELECT r.request, r.headers, j.metadata, j.holds FROM jobs j JOIN job_requests r ON r.job_id = j.id"
            " WHERE j.id = ?",
            (job,),
        ).fetchone()
    finally:
        connection.close()


def metric(gateway, name, labels=""):
    for line in gateway.metrics().body.decode().splitlines():
        if line.startswith(f"claude_proxy_{name}{labels} "):
            return float(line.split()[1])
    return None
