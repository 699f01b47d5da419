"""What tests of the batch lane ask of a cluster: jobs submitted together, their ends, and both ledgers."""

import json

from support.client import Client, request
from support.gateway import CREDENTIAL
from support.sse import parse
from support.timing import setting, wait_until
from support.truth import check_sums, control, price_of, tokens_of

MODEL = "claude-haiku-4-5"
VERSION = ("anthropic-version", "2023-06-01")
SETTINGS = {
    "words": ("serve", "--with-worker"),
    "BATCH_AGE_MAX": setting(400),
    "BATCH_LOOK_FIRST": setting(100),
    "BATCH_LOOK_MAX": setting(300),
    "BATCH_LEASE": setting(1_500),
    "BATCH_DOUBT": setting(1_000),
    "JOBS_SWEEP_EVERY": setting(200),
}


def one_batch_of(count):
    """Settings under which so many jobs become one batch, however long it takes to submit them."""
    return {"BATCH_AGE_MAX": "1h", "BATCH_COUNT_MIN": count}


def body(text="hi", **more):
    return {"model": MODEL, "max_tokens": 40, "messages": [{"role": "user", "content": text}], **more}


class Lane:
    """The jobs of one key, through any replica of a cluster."""

    def __init__(self, cluster, key):
        self.cluster, self.key = cluster, key

    def send(self, method, path, body=None, number=0, headers=()):
        data = None if body is None else json.dumps(body).encode()
        with self.cluster.gateways[number].client(timeout=30) as client:
            return client.ask(request(method, path, data, [VERSION, *headers], key=self.key))

    def submit(self, what=None, number=0, headers=(), **members):
        answer = self.send(
            "POST", "/v1/jobs", {"request": what or body(), "lane": "batch", **members}, number, headers
        )
        assert answer.status == 202, answer.body
        return answer.json()["id"]

    def get(self, job, number=0):
        answer = self.send("GET", f"/v1/jobs/{job}", number=number)
        assert answer.status == 200, answer.body
        return answer.json()

    def cancel(self, job, number=0):
        return self.send("POST", f"/v1/jobs/{job}/cancel", number=number)

    def result(self, job, number=0):
        answer = self.send("GET", f"/v1/jobs/{job}/result", number=number)
        assert answer.status == 200, answer.body
        return answer

    def events(self, job, number=0):
        answer = self.send("GET", f"/v1/jobs/{job}/events", number=number)
        assert answer.status == 200, answer.body
        return parse(answer.body)

    def wait(self, jobs, state, timeout=40, number=0):
        jobs = list(jobs)

        def all_there():
            while jobs and self.get(jobs[-1], number)["status"] == state:
                jobs.pop()
            return not jobs

        try:
            wait_until(all_there, timeout, f"{len(jobs)} jobs that have {state}")
        except AssertionError as why:
            raise AssertionError(f"{why}; one of them: {self.get(jobs[-1], number)}") from None


def answer_to(simulator, what):
    """The content that the simulator has for a prompt, whoever asks."""
    with Client(simulator.port, timeout=30) as client:
        headers = [("x-api-key", CREDENTIAL), VERSION]
        answer = client.ask(request("POST", "/v1/messages", json.dumps(what).encode(), headers, key=None))
    assert answer.status == 200, answer.body
    return answer.json()["content"]


def batches(cluster):
    """State and number of requests of every batch of the lane, oldest first."""
    return cluster.database.query(
        "SELECT state, requests FROM claude_proxy.batches WHERE origin = 'lane' ORDER BY created_at"
    )


def arm(simulator, fault, method="POST", path="/v1/messages/batches", count=1):
    """The simulator's next answers of this kind go wrong."""
    what = {"fault": fault, "match": {"method": method, "path": path}, "count": count}
    control(simulator, "POST", "/sim/faults", json.dumps(what).encode())


def upstream_rows(simulator):
    return control(simulator, "GET", "/sim/ledger?limit=20000")["requests"]


def made_upstream(simulator):
    """How many batches upstream has, whoever heard of it."""
    return len({row["batch_id"] for row in upstream_rows(simulator) if row["batch_id"] and row["method"] == "POST"})


def listed(simulator):
    """How many batches upstream shows now."""
    with Client(simulator.port, timeout=30) as client:
        headers = [("x-api-key", CREDENTIAL), VERSION]
        answer = client.ask(request("GET", "/v1/messages/batches", None, headers, key=None))
    assert answer.status == 200, answer.body
    return len(answer.json()["data"])


def check_ledger(cluster, simulator):
    """What upstream billed for batches is in the ledger, each request once, at half the price; nothing is held."""
    cluster.wait_for_ledger()
    billed = {row["message_id"]: row for row in upstream_rows(simulator) if row["method"] == "BATCH"}
    told = {}
    for cost, details in cluster.database.query(
        "SELECT cost_pico, details FROM claude_proxy.attempts WHERE attempt_id LIKE %s", "lane_%"
    ):
        message_id = json.loads(details)["message_id"]
        assert message_id not in told, f"{message_id} twice"
        told[message_id] = cost
    assert set(told) == set(billed)
    for message_id, cost in told.items():
        assert cost == price_of(billed[message_id]["model"], tokens_of(billed[message_id])) // 2
    check_sums(cluster.database)
    held = "SELECT COALESCE(SUM(granted_pico), 0) FROM claude_proxy.budget_leases WHERE replica = 'jobs'"
    wait_until(lambda: cluster.database.value(held) == 0, 10, "no money held for jobs")
    assert cluster.database.value("SELECT COUNT(*) FROM claude_proxy.batch_jobs") == 0
    return len(told)
