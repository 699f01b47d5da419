"""Rate limits as a client meets them: Anthropic's headers, refusals whose retry-after is true, and one limit for all
replicas.
"""

import asyncio
import collections
import datetime
import json
import time

import pytest

from support import load, truth
from support.client import request
from support.cluster import Cluster, Database
from support.timing import seconds, wait_until


def ask_bytes(key, tag, content="hi", output=10, fault=None, stream=False):
    body = {"model": "claude-haiku-4-5", "max_tokens": 8000, "messages": [{"role": "user", "content": content}]}
    if stream:
        body["stream"] = True
    headers = [
        ("anthropic-version", "2023-06-01"),
        ("user-agent", tag),
        ("x-sim-output-tokens", str(output)),
        ("x-sim-event-tokens", "50"),
    ]
    if fault:
        headers.append(("x-sim-fault", fault))
    return request(body=json.dumps(body).encode(), headers=headers, key=key)


@pytest.fixture
def cluster(simulator, tmp_path):
    with Cluster(simulator.url, Database.sqlite(tmp_path), 1) as cluster:
        yield cluster
        compare(cluster, simulator)


def compare(cluster, simulator):
    cluster.wait_for_ledger()
    compared = truth.Comparison(truth.simulator_rows(simulator), truth.ledger_rows(cluster.database))
    compared.check()
    truth.check_sums(cluster.database)
    print(compared)
    return compared


def numbers(answer, kind):
    """(limit, remaining, seconds until it is full again) of one kind."""
    name = f"anthropic-ratelimit-{kind}-"
    full = datetime.datetime.fromisoformat(answer.header(name + "reset").replace("Z", "+00:00"))
    until = (full - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    return int(answer.header(name + "limit")), int(answer.header(name + "remaining")), until


def check_refusal(answer, reason):
    assert (answer.status, answer.reason) == (429, reason), (answer.status, answer.body)
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert answer.header("x-should-retry") is None, "a client may try again"
    assert int(answer.header("retry-after-ms")) <= 1000 * int(answer.header("retry-after"))
    return int(answer.header("retry-after-ms")) / 1000


def until_refused(cluster, key, most, **how):
    """Asks one after the other until a refusal; all answers."""

    async def ask():
        caller, answers = load.Caller(cluster.ports[0]), []
        while len(answers) < most and (not answers or answers[-1].status == 200):
            answers.append(await caller.ask(ask_bytes(key, f"{key[-4:]}.{len(answers)}", **how)))
        return answers

    return load.run(ask(), seconds(60))


LIMITS = {
    # kind: member of the limit (and reason of a refusal), its amount, what to ask, its cost, how many pass at once
    "requests": ("requests_per_minute", 40, {}, 1, 40),
    "input-tokens": ("input_tokens_per_minute", 29_300, {"content": "x" * 40_000}, 10_000, 2),
    "output-tokens": ("output_tokens_per_minute", 6_000, {"output": 3_050}, 3_050, 2),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_a_limit_is_told_kept_and_its_retry_after_is_true(kind, cluster):
    """Goal: the numbers in the headers are the caller's own, and who waits as told is served.

    Method: ask until refused; ask a little too early, which is refused; ask when told, which passes.
    """
    member, amount, how, cost, passing = LIMITS[kind]
    key = cluster.admin().new_key(name=kind, **{member: amount})["key"]
    began = time.monotonic()
    answers = until_refused(cluster, key, 3 * passing, **how)
    took = time.monotonic() - began
    *served, refused = answers
    refilled = amount / cost * took / 60
    assert passing <= len(served) <= passing + refilled + 1, (len(served), took)

    seen = [numbers(answer, kind) for answer in answers]
    assert {limit for limit, _, _ in seen} == {amount}
    assert all(0 <= after <= before for (_, before, _), (_, after, _) in zip(seen, seen[1:]) if took < 1), seen
    assert seen[-1][1] < max(cost, 1000) and seen[-1][2] == pytest.approx(60, abs=3 + 60 * cost / amount)
    for other in set(LIMITS) - {kind}:
        assert refused.header(f"anthropic-ratelimit-{other}-limit") is None

    wait = check_refusal(refused, member)
    early = wait - 0.3
    if early > 0:
        time.sleep(early)
        (again,) = until_refused(cluster, key, 1, **how)
        told = check_refusal(again, member)
        assert told <= wait - early + 0.05
        wait = told
    time.sleep(wait + 0.02)
    (last,) = until_refused(cluster, key, 1, **how)
    assert last.status == 200, last.body
    first_wait = check_refusal(refused, member)
    print(f"\n{kind}: {len(served)} passed at once, then one was refused for {first_wait:.2f} s, then passed")


def test_a_place_is_free_again_when_its_client_leaves(cluster):
    """Goal: concurrent requests are counted exactly: whoever ends, or leaves, makes room at once.

    Method: three of three places are taken by slow requests, sync and stream; the fourth client is refused; one leaves.
    """
    key = cluster.admin().new_key(name="three", concurrent_requests=3)["key"]
    port = cluster.ports[0]

    async def scenario():
        callers = [load.Caller(port) for _ in range(3)]
        slow = [
            ask_bytes(key, "sync", fault="slow-head=1500"),
            ask_bytes(key, "stream", fault="event-interval=30", stream=True, output=3000),
            ask_bytes(key, "leaver", fault="slow-head=60000"),
        ]
        tasks = [asyncio.ensure_future(caller.ask(data)) for caller, data in zip(callers, slow)]
        await asyncio.sleep(0.4)
        refused = await load.Caller(port).ask(ask_bytes(key, "fourth"))
        callers[2].close()
        left = time.monotonic()
        while True:
            passed = await load.Caller(port).ask(ask_bytes(key, "instead"))
            if passed.status == 200:
                break
            await asyncio.sleep(0.01)
        freed = time.monotonic() - left
        await asyncio.gather(*tasks)
        again = await load.Caller(port).ask(ask_bytes(key, "again"))
        return refused, freed, tasks[0].result(), tasks[1].result(), again

    refused, freed, sync, stream, again = load.run(scenario(), seconds(60))
    assert check_refusal(refused, "concurrent_requests") >= 1
    assert (sync.status, stream.status, again.status) == (200, 200, 200) and stream.finished_stream
    assert freed < seconds(0.5)
    print(f"\na place was free {freed * 1000:.0f} ms after its client had left")


class Demand:
    """As many requests as the replicas take, until told to stop."""

    def __init__(self, cluster, key, clients=6, pause=0.02, **how):
        self.cluster, self.key, self.clients, self.pause, self.how = cluster, key, clients, pause, how
        self.replies, self.until = [], asyncio.Event()

    async def one(self, port, name):
        caller, number = load.Caller(port), 0
        while not self.until.is_set():
            number += 1
            reply = await caller.ask(ask_bytes(self.key, f"{name}.{number}", **self.how), timeout=seconds(20))
            self.replies.append(reply)
            if reply.status != 200:
                await asyncio.sleep(self.pause)
        caller.close()

    def start(self):
        self.tasks = [
            asyncio.ensure_future(self.one(port, f"p{p}c{c}"))
            for p, port in enumerate(self.cluster.ports)
            for c in range(self.clients)
        ]

    async def stop(self):
        self.until.set()
        await asyncio.gather(*self.tasks)

    def admitted(self, begin=0.0, end=float("inf")):
        return sum(reply.status == 200 and begin <= reply.began < end for reply in self.replies)


def redis_outages(cluster):
    return sum(event.get("event") == "redis_unavailable" for gateway in cluster.gateways for event in gateway.events)


def test_four_replicas_share_one_limit_through_redis(simulator, postgres, redis):
    """Goal: with Redis a limit is one number for all replicas, to within 1 %.

    Method: full demand on four replicas for several seconds; what passed is compared with what one bucket gives.
    """
    per_minute, duration = 3000, 5.0
    with Cluster(simulator.url, Database.postgres(postgres), 4, REDIS_URL=redis.url) as cluster:
        for gateway in cluster.gateways:
            gateway.wait_event(lambda event: event.get("event") == "redis_available", what="redis_available")
        for _ in range(3):
            key = cluster.admin().new_key(name="shared", requests_per_minute=per_minute)["key"]
            outages = redis_outages(cluster)

            async def scenario(key=key):
                demand = Demand(cluster, key)
                demand.start()
                await asyncio.sleep(seconds(duration))
                await demand.stop()
                return demand

            demand = load.run(scenario(), seconds(60))
            # A Redis that does not get the processor for a second counts as away: then there is no number for all.
            if redis_outages(cluster) == outages:
                break
        statuses = collections.Counter(reply.status for reply in demand.replies)
        span = max(reply.ended for reply in demand.replies) - min(reply.began for reply in demand.replies)
        exact = per_minute + per_minute / 60 * span
        error = statuses[200] / exact - 1
        print(f"\n{statuses[200]} admitted in {span:.2f} s by four, one bucket gives {exact:.0f}: {error:+.2%}")
        assert set(statuses) == {200, 429} and statuses[429] > 500, statuses
        assert abs(error) <= 0.01
        compare(cluster, simulator)


def test_redis_goes_and_comes_back_under_load(simulator, postgres, redis):
    """Goal: without Redis nobody fails; each replica keeps the limit for itself; afterwards it is one limit again.

    Method: full demand on four replicas on an empty bucket, before, without and after Redis.
    """
    per_second = 20
    with Cluster(simulator.url, Database.postgres(postgres), 4, REDIS_URL=redis.url) as cluster:
        key = cluster.admin().new_key(name="shared", requests_per_minute=60 * per_second)["key"]

        async def scenario():
            demand = Demand(cluster, key, clients=3)
            demand.start()
            while sum(reply.status == 429 for reply in demand.replies) < 100:
                await asyncio.sleep(0.05)
            marks = [time.monotonic()]
            await asyncio.sleep(seconds(3))
            marks.append(time.monotonic())
            redis.stop("kill")
            try:
                await asyncio.sleep(seconds(3))
            finally:
                redis.start()
            marks.append(time.monotonic())
            while not all(back(gateway) for gateway in cluster.gateways):
                await asyncio.sleep(0.05)
                assert time.monotonic() < marks[-1] + seconds(15), "Redis is back and not used"
            await asyncio.sleep(seconds(0.5))
            marks.append(time.monotonic())
            await asyncio.sleep(seconds(3))
            marks.append(time.monotonic())
            await demand.stop()
            return demand, marks

        def back(gateway):
            """The last word about Redis is that it is there."""
            words = [event["event"] for event in gateway.events if event.get("event", "").startswith("redis_")]
            return words.count("redis_unavailable") >= 1 and words[-1] == "redis_available"

        try:
            demand, (full, killed, started, settled, end) = load.run(scenario(), seconds(90))
        finally:
            if redis.process is None:
                redis.start()
        assert {reply.status for reply in demand.replies} == {200, 429}
        spans = ((full, killed), (killed, started), (settled, end))
        rates = [demand.admitted(begin, end) / (end - begin) for begin, end in spans]
        print(
            f"\nadmitted a second on four replicas, the limit being {per_second}: {rates[0]:.1f} with Redis,"
            f" {rates[1]:.1f} without, {rates[2]:.1f} again with it ({settled - started:.1f} s after its start)"
        )
        assert rates[0] == pytest.approx(per_second, rel=0.1) and rates[2] == pytest.approx(per_second, rel=0.1)
        assert rates[1] <= 4 * per_second * 1.15
        compare(cluster, simulator)


def test_four_replicas_share_places_through_redis(simulator, postgres, redis):
    """Goal: no more requests at the same time than the limit says, over all replicas, and nearly as many."""
    places, latency = 10, 0.25
    with Cluster(simulator.url, Database.postgres(postgres), 4, REDIS_URL=redis.url) as cluster:
        for gateway in cluster.gateways:
            gateway.wait_event(lambda event: event.get("event") == "redis_available", what="redis_available")
        key = cluster.admin().new_key(name="places", concurrent_requests=places)["key"]

        async def scenario():
            demand = Demand(cluster, key, clients=8, fault=f"slow-head={round(latency * 1000)}")
            demand.start()
            await asyncio.sleep(seconds(4))
            await demand.stop()
            return demand

        demand = load.run(scenario(), seconds(60))
        served = [reply for reply in demand.replies if reply.status == 200]
        assert {reply.status for reply in demand.replies} == {200, 429}
        # Surely under way upstream: a little less than the simulator's wait before the answer came.
        edges = [(reply.ended - latency + 0.02, 1) for reply in served] + [(reply.ended - 0.02, -1) for reply in served]
        running = peak = 0
        for _, step in sorted(edges):
            running += step
            peak = max(peak, running)
        span = max(reply.ended for reply in served) - min(reply.began for reply in served)
        average = len(served) * latency / span
        print(f"\n{len(served)} served: at most {peak} at a time, {average:.1f} on average; the limit is {places}")
        assert peak <= places and average > 0.6 * places
        compare(cluster, simulator)
        wait_until(lambda: cluster.metrics("upstream_calls_active") == [0.0] * 4, 5, "no calls")
