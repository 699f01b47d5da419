"""The events of jobs that nobody runs: followers that come, wait, leave, and hear of the end."""

import json
import re

import pytest

from support.client import request
from support.gateway import Gateway
from support.jobs import Jobs, check_refused, metric
from support.timing import wait_until


@pytest.fixture
def jobs(gateway):
    return Jobs(gateway)


def events_of(answer):
    """[(id, name, data)] of a log, strictly."""
    text = answer.body.decode()
    found = []
    for block in text.split("\n\n")[:-1]:
        if block == ": ping":
            continue
        fields = re.fullmatch(r"id: (\d+)\nevent: (\w+)\ndata: (.*)", block)
        assert fields, block
        found.append((int(fields[1]), fields[2], json.loads(fields[3])))
    assert text == "" or text.endswith("\n\n")
    return found


def test_the_events_of_a_cancelled_job_are_its_end(jobs):
    job = jobs.new()
    jobs.cancel(job)
    answer = jobs.send("GET", job + "/events")
    assert answer.status == 200 and answer.header("content-type").startswith("text/event-stream")
    assert answer.header("cache-control") == "no-store" and answer.header("x-accel-buffering") == "no"
    [(number, name, data)] = events_of(answer)
    assert (number, name) == (1, "job") and data["status"] == "cancelled" and data["type"] == "job"
    for query, headers in (("?after=1", ()), ("", [("Last-Event-ID", "1")]), ("?after=0", [("last-event-id", "1")])):
        again = jobs.send("GET", job + "/events" + query, headers=headers)
        assert (again.status, again.body) == (204, b""), "an EventSource stops at 204"
    assert jobs.send("GET", job + "/events?after=1", headers=[("Last-Event-ID", "0")]).body == answer.body
    for query, headers in (("?after=x", ()), ("?before=1", ()), ("", [("Last-Event-ID", "-1")])):
        check_refused(jobs.send("GET", job + "/events" + query, headers=headers), 400, "invalid_argument")


def test_a_follower_hears_of_the_end_and_the_connection_goes_on(gateway, jobs):
    job = jobs.new()
    with gateway.client() as client:
        answer = client.send(request("GET", f"/v1/jobs/{job}/events")).response("GET")
        assert answer.status == 200 and answer.framing == "chunked"
        jobs.cancel(job)
        assert [name for _, name, _ in events_of(answer.read())] == ["job"]
        assert client.ask(request("GET", f"/v1/jobs/{job}")).json()["status"] == "cancelled"
    with gateway.client() as client:
        old = client.ask(request("GET", f"/v1/jobs/{job}/events", version=b"HTTP/1.0"))
        assert old.framing == "close" and old.body == answer.body
    assert jobs.send("HEAD", job + "/events").status == 200


def test_a_silent_stream_is_kept_alive_by_comments(shared_upstream):
    with Gateway(shared_upstream.url, PING_INTERVAL="30ms") as gateway:
        jobs = Jobs(gateway)
        job = jobs.new()
        with gateway.client() as client:
            answer = client.send(request("GET", f"/v1/jobs/{job}/events")).response("GET")
            answer.read_until(b": ping\n\n: ping\n\n")
            jobs.cancel(job)
            answer.read()
        assert [name for _, name, _ in events_of(answer)] == ["job"]
        assert gateway.request_line(answer)["pings"] >= 2


def test_who_waits_and_leaves_is_forgotten(gateway, jobs):
    job = jobs.new()
    clients = [gateway.client() for _ in range(10)]
    for number, client in enumerate(clients):
        client.send(request("GET", f"/v1/jobs/{job}/events" if number % 2 else f"/v1/jobs/{job}?wait=60"))
    wait_until(lambda: metric(gateway, "job_followers") == 10, 10, "all followers")
    assert metric(gateway, "job_followed") == 1
    for client in clients:
        client.close()
    wait_until(lambda: metric(gateway, "job_followers") == 0, 10, "the end of all followers")
    assert metric(gateway, "job_followed") == 0


def test_too_many_followers_are_refused(shared_upstream):
    with Gateway(shared_upstream.url, JOBS_FOLLOWERS_MAX=2) as gateway:
        jobs = Jobs(gateway)
        job = jobs.new()
        with gateway.client() as one, gateway.client() as two:
            one.send(request("GET", f"/v1/jobs/{job}/events"))
            two.send(request("GET", f"/v1/jobs/{job}?wait=60"))
            wait_until(lambda: metric(gateway, "job_followers") == 2, 10, "two followers")
            for path in ("/events", "?wait=5"):
                check_refused(jobs.send("GET", job + path), 529, "too_many_followers", "overloaded_error")
        wait_until(lambda: metric(gateway, "job_followers") == 0, 10, "no followers")


def test_a_drain_ends_streams_so_that_their_readers_go_elsewhere(shared_upstream):
    gateway = Gateway(shared_upstream.url, PING_INTERVAL="50ms", DRAIN_TIMEOUT="20s")
    job = Jobs(gateway).new()
    with gateway.client() as client:
        answer = client.send(request("GET", f"/v1/jobs/{job}/events")).response("GET")
        gateway.process.terminate()
        answer.read()
        assert events_of(answer) == [], "no end of the job: the reader asks again, somewhere else"
    gateway.stop()
