"""The API of durable jobs with one key, and what the database has of a job."""

import json
import re
import sqlite3

from support.admin import sqlite_path
from support.client import request
from support.gateway import KEY
from support.timing import seconds

MODEL = "claude-opus-4-8"
BODY = {"model": MODEL, "max_tokens": 16, "messages": [{"role": "user", "content": "hi é \u0001"}]}


class Jobs:
    """The API with one key."""

    def __init__(self, gateway, key=KEY):
        self.gateway, self.key = gateway, key

    def send(self, method, path, body=None, headers=(), timeout=20):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        target = path if path.startswith("/") else "/v1/jobs/" + path
        with self.gateway.client(timeout=timeout) as client:
            return client.ask(request(method, target, body, headers, key=self.key))

    def submit(self, *headers, request=None, **members):
        return self.send("POST", "/v1/jobs", {"request": request or BODY, **members}, headers)

    def new(self, **members):
        answer = self.submit(**members)
        assert answer.status == 202, answer.body
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

    def cancel(self, job):
        return self.send("POST", job + "/cancel")


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


def metric(gateway, name):
    found = re.search(rf"^claude_proxy_{name} (\S+)$", gateway.metrics().body.decode(), re.M)
    return float(found[1]) if found else None
