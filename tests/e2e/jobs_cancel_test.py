"""A job that runs is stopped within a second of its cancel, wherever either of them is; and a reader that is cut at
every single event reads what everybody reads.

Method: two gateways and two workers of their own; the simulator's ledger tells that its stream was left, and when.
"""

import json
import time

import pytest

from support import job_log, truth
from support.client import request
from support.cluster import Cluster, Database
from support.gateway import Gateway
from support.timing import seconds, wait_until

JOBS = 12
WITHIN = 1.0  # seconds


def submit(gateway, key, controls, tag):
    message = {"model": "claude-haiku-4-5", "max_tokens": 4000,
               "messages": [{"role": "user", "content": f"Say something long.\n{controls}"}]}  # fmt: skip
    headers = [("anthropic-version", "2023-06-01"), ("user-agent", tag)]
    answer = gateway.ask(request("POST", "/v1/jobs", json.dumps({"request": message}).encode(), headers, key=key))
    assert answer.status == 202, answer.body
    return answer.json()["id"]


def job_of(gateway, key, job):
    answer = gateway.ask(request("GET", f"/v1/jobs/{job}", key=key))
    assert answer.status == 200, answer.body
    return answer.json()


def log_of(gateway, key, job):
    return job_log.whole_events(gateway.ask(request("GET", f"/v1/jobs/{job}/events", key=key)).body)


@pytest.fixture(params=["redis", "looking"])
def setup(request, simulator, postgres, redis):
    """Two replicas that take jobs, two that carry them out; with news through Redis, and without."""
    settings = {"REDIS_URL": redis.url} if request.param == "redis" else {}
    database = Database.postgres(postgres)
    each = [{}, {}, {"words": ("worker",)}, {"words": ("worker",)}]
    with Cluster(simulator.url, database, 4, each=each, **settings) as cluster:
        yield cluster, cluster.admin().new_key(name="jobs", team="jobs")["key"]


def streams_cut(simulator):
    return truth.control(simulator, "GET", "/sim/stats")["cancelled_streams"]


def test_a_cancel_stops_the_stream_upstream_within_a_second(simulator, setup):
    cluster, key = setup
    took, seen = [], []
    for number in range(JOBS):
        # A minute of events: whatever ends it here, it is not its end.
        controls = "x-sim-output-tokens: 3000\nx-sim-fault: event-interval=50"
        job = submit(cluster.gateways[0], key, controls, f"c{number}")
        wait_until(lambda: job_of(cluster.gateways[0], key, job)["status"] == "running", 20, "the job to run")
        wait_until(lambda: b"content_block_delta" in stored(cluster.database, job), 20, "its first words")
        before = streams_cut(simulator)
        began = time.monotonic()
        answer = cluster.gateways[1].ask(request("POST", f"/v1/jobs/{job}/cancel", b"", key=key))
        assert answer.status == 200, (answer.status, answer.body)
        wait_until(lambda: streams_cut(simulator) > before, 20, "the cut")
        took.append(time.monotonic() - began)
        wait_until(lambda: job_of(cluster.gateways[0], key, job)["status"] == "cancelled", 20, "the job's end")
        seen.append(time.monotonic() - began)
        log = log_of(cluster.gateways[number % 2], key, job)
        job_log.check(log, "cancelled")
    took.sort()
    seen.sort()
    print(
        f"{JOBS} cancels by the replica that did not take the job: the upstream stream was cut after"
        f" {took[len(took) // 2] * 1000:.0f} ms ({took[-1] * 1000:.0f} at most), the job seen as cancelled on the other"
        f" after {seen[len(seen) // 2] * 1000:.0f} ms ({seen[-1] * 1000:.0f} at most)"
    )
    assert took[-1] < seconds(WITHIN), took
    rows = [row for row in truth.simulator_rows(simulator) if row["headers"]["user-agent"].startswith("c")]
    assert len(rows) == JOBS and all(row["client_left"] and not row["complete"] for row in rows)
    cluster.wait_for_ledger()
    compared = truth.Comparison(rows, truth.ledger_rows(cluster.database))
    compared.check()
    assert compared.outcomes["complete"] == 0


def stored(database, job):
    return "".join(
        piece for piece, in database.query("SELECT bytes FROM claude_proxy.job_events WHERE job_id = %s", job)
    ).encode()


def test_a_reader_cut_at_every_event_reads_the_same_bytes(setup):
    cluster, key = setup
    controls = "x-sim-output-tokens: 240\nx-sim-event-tokens: 4\nx-sim-fault: event-interval=15"
    job = submit(cluster.gateways[0], key, controls, "r")
    log, cuts = b"", 0
    while b"\nevent: job\n" not in log:
        gateway = cluster.gateways[cuts % 2]
        with gateway.client(timeout=30) as client:
            data = request(
                "GET", f"/v1/jobs/{job}/events", headers=[("Last-Event-ID", str(job_log.last_id(log)))], key=key
            )
            answer = client.send(data).response("GET")
            assert answer.status == 200, answer.raw_head
            payload = b""
            for piece in answer.pieces():
                payload += piece
                if whole := job_log.whole_events(payload):
                    break
            log += whole[: whole.index(b"\n\n") + 2]  # the first one; the others are as if they had never come
            cuts += 1
    events = job_log.check(log, "succeeded")
    assert cuts == len(events) > 60
    for gateway in cluster.gateways[:2]:
        assert log_of(gateway, key, job) == log
    result = cluster.gateways[1].ask(request("GET", f"/v1/jobs/{job}/result", key=key))
    assert job_log.assembled(events) == result.json()
    print(f"cut at each of {cuts} events, every time to the other replica: {len(log)} bytes, the same everywhere")
