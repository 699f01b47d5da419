"""Streams of jobs that are resumed on any replica: two gateways, a worker of its own, PostgreSQL, Redis.

Goal: whoever follows a job, is cut anywhere and comes back to any replica, has read the same bytes as everybody else;
and the news travel through Redis, or by looking when it is away. Method: readers hang up at random bytes and ask the
other replica for what comes behind the last event that they saw whole.
"""

import asyncio
import json
import random
import re
import time

import pytest

from support.client import request
from support.cluster import Cluster, Database, metric
from support.gateway import Gateway
from support.timing import seconds, wait_until

JOBS, READERS = 12, 4
MODEL = "claude-haiku-4-5"


def body(tokens, interval_ms):
    controls = f"x-sim-output-tokens: {tokens}\nx-sim-event-tokens: 4\nx-sim-fault: event-interval={interval_ms}"
    text = f"Say something long.\n{controls}"
    message = {"model": MODEL, "max_tokens": tokens + 100, "messages": [{"role": "user", "content": text}]}
    return json.dumps({"request": message}).encode()


def submit(gateway, key, tokens=400, interval_ms=10):
    answer = gateway.ask(
        request("POST", "/v1/jobs", body(tokens, interval_ms), [("anthropic-version", "2023-06-01")], key=key)
    )
    assert answer.status == 202, answer.body
    return answer.json()["id"]


def last_id(log):
    found = re.findall(rb"^id: (\d+)$", log, re.M)
    return int(found[-1]) if found else 0


def whole_events(payload):
    payload = payload.replace(b": ping\n\n", b"")
    return payload[: payload.rfind(b"\n\n") + 2] if b"\n\n" in payload else b""


async def read_some(port, key, job, after, budget):
    """Payload of the event stream until `budget` bytes or its end; hangs up then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request("GET", f"/v1/jobs/{job}/events", headers=[("Last-Event-ID", str(after))], key=key))
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 204"):
            return b""
        assert head.startswith(b"HTTP/1.1 200"), head
        payload = b""
        while len(payload) < budget:
            size = int(await reader.readuntil(b"\r\n"), 16)
            if size == 0:
                break
            payload += (await reader.readexactly(size + 2))[:-2]
        return payload[:budget]
    finally:
        writer.close()


async def read_in_pieces(ports, key, job, chance):
    """The log as one reader sees it who is cut at random, and how often it was."""
    log, cuts = b"", 0
    while b"\nevent: job\n" not in log:
        payload = await read_some(chance.choice(ports), key, job, last_id(log), chance.randrange(200, 20_000))
        log += whole_events(payload)
        cuts += 1
    return log, cuts


async def read_all(ports, key, jobs, seed):
    readers = [
        read_in_pieces(ports, key, job, random.Random(f"{seed} {job} {number}"))
        for job in jobs
        for number in range(READERS)
    ]
    return await asyncio.wait_for(asyncio.gather(*readers), seconds(120))


def check_logs(cluster, key, jobs, logs):
    for number, job in enumerate(jobs):
        mine = [log for log, _ in logs[number * READERS : (number + 1) * READERS]]
        answer = cluster.gateways[number % 2].ask(request("GET", f"/v1/jobs/{job}/events", key=key))
        replayed = whole_events(answer.body)
        assert all(log == replayed for log in mine), job
        ids = [int(found) for found in re.findall(rb"^id: (\d+)$", replayed, re.M)]
        assert ids == list(range(1, len(ids) + 1))
        assert replayed.endswith(b'event: job\ndata: {"type":"job","status":"succeeded"}\n\n'), replayed[-200:]


@pytest.fixture
def database(postgres):
    return Database.postgres(postgres)


@pytest.fixture
def setup(simulator, database, redis):
    """Two replicas that do not work, and a worker; looking alone would be far too slow for these tests."""
    settings = {"REDIS_URL": redis.url, "JOBS_POLL_EVERY": "1m", "THREADS": 2}
    with Cluster(simulator.url, database, 2, **settings) as cluster:
        with Gateway(simulator.url, words=("worker",), API_KEYS=None, **{**database.settings, **settings}) as worker:
            key = cluster.admin().new_key(name="jobs", team="jobs")["key"]
            for gateway in (*cluster.gateways, worker):
                gateway.wait_event(lambda event: event.get("event") == "job_news_available", what="Redis")
            yield cluster, worker, key


def test_readers_cut_at_random_all_see_the_same_bytes_by_news_through_redis(setup):
    cluster, _, key = setup
    jobs = [submit(cluster.gateways[number % 2], key) for number in range(JOBS)]
    began = time.monotonic()
    logs = asyncio.run(read_all(cluster.ports, key, jobs, "redis"))
    took = time.monotonic() - began
    check_logs(cluster, key, jobs, logs)
    heard = sum(metric(gateway, "job_news_heard_total") for gateway in cluster.gateways)
    print(
        f"{JOBS} jobs, {len(logs)} readers, {sum(cuts for _, cuts in logs)} connections, "
        f"{sum(len(log) for log, _ in logs)} bytes in {took:.1f} s; {heard:.0f} changes heard through Redis"
    )
    assert heard > 0 and took < seconds(30), "a look every minute cannot have done this"


def test_an_event_is_seen_elsewhere_moments_after_its_commit(setup):
    cluster, worker, key = setup
    job = submit(cluster.gateways[0], key, tokens=80, interval_ms=100)
    gaps = []
    with cluster.gateways[1].client(timeout=30) as client:
        answer = client.send(request("GET", f"/v1/jobs/{job}/events", key=key)).response("GET")
        last = None
        for _ in answer.discard():
            now = time.monotonic()
            if last:
                gaps.append(now - last)
            last = now
    gaps.sort()
    print(f"{len(gaps)} portions of a stream with an event every 100 ms: gaps of {gaps[len(gaps) // 2] * 1000:.0f} ms, "
          f"{gaps[-1] * 1000:.0f} ms at most")
    assert len(gaps) >= 8 and gaps[-1] < seconds(2)


def test_without_redis_looking_is_enough(simulator, database, redis):
    """Redis is killed while jobs run: the replicas look for themselves from then on."""
    settings = {"REDIS_URL": redis.url, "JOBS_POLL_EVERY": "100ms", "THREADS": 1}
    with Cluster(simulator.url, database, 2, **settings) as cluster:
        with Gateway(simulator.url, words=("worker",), API_KEYS=None, **{**database.settings, **settings}):
            key = cluster.admin().new_key(name="jobs", team="jobs")["key"]
            jobs = [submit(cluster.gateways[number % 2], key, tokens=800) for number in range(JOBS)]
            redis.stop("kill")
            try:
                logs = asyncio.run(read_all(cluster.ports, key, jobs, "looking"))
                for gateway in cluster.gateways:
                    gateway.wait_event(lambda event: event.get("event") == "job_news_unavailable", what="the outage")
            finally:
                redis.start()
            check_logs(cluster, key, jobs, logs)
            for gateway in cluster.gateways:
                told = ("job_news_unavailable", "job_news_available")
                news = lambda: [event["event"] for event in gateway.events if event.get("event") in told]
                wait_until(lambda: news()[-1] == "job_news_available", 20, "Redis again")
    print(f"{JOBS} jobs, {len(logs)} readers, {sum(cuts for _, cuts in logs)} connections without Redis")
