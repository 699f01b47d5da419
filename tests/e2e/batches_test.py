"""Callers' batches over two replicas on PostgreSQL: each result is in the ledger once, whatever dies or goes away, and
what a team made is found by both replicas and by nobody else.
"""

import json
import threading

import pytest

from support.client import Client, Truncated, request
from support.cluster import Cluster, Database
from support.gateway import CREDENTIAL
from support.timing import seconds, setting, wait_until
from support.truth import check_sums, control, price_of, tokens_of

VERSION = [("anthropic-version", "2023-06-01"), ("content-type", "application/json")]
SETTINGS = {
    "BATCH_LOOK_FIRST": setting(100),
    "BATCH_LOOK_MAX": setting(300),
    "BATCH_LEASE": setting(1_500),
    "BATCH_DOUBT": setting(1_000),
}


@pytest.fixture
def cluster(simulator, postgres, pgbouncer):
    with Cluster(simulator.url, Database.postgres(postgres, pgbouncer), 2, **SETTINGS) as cluster:
        yield cluster


def body_of(count, stem="item"):
    params = {"model": "claude-haiku-4-5", "max_tokens": 40, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps({"requests": [{"custom_id": f"{stem}-{n}", "params": params} for n in range(count)]}).encode()


def ask(cluster, number, key, method, target, body=None, headers=(), timeout=30):
    with Client(cluster.ports[number], timeout=timeout) as client:
        return client.ask(request(method, target, body, [*VERSION, *headers], key=key))


def make(cluster, number, key, count, stem="item", delay_ms=100):
    delay = [("x-sim-batch-delay-ms", str(delay_ms))]
    return ask(cluster, number, key, "POST", "/v1/messages/batches", body_of(count, stem), delay)


def rows(cluster, state=None):
    found = cluster.database.query("SELECT id, upstream_id, state, holds FROM claude_proxy.batches ORDER BY created_at")
    return [row for row in found if state is None or row[2] == state]


def billed(simulator):
    return [row for row in control(simulator, "GET", "/sim/ledger")["requests"] if row["method"] == "BATCH"]


def check_against_the_truth(cluster, simulator):
    """Every item that was billed is one row, at half the price; nothing is held any more."""
    cluster.wait_for_ledger()
    truth = {row["message_id"]: row for row in billed(simulator)}
    ledger = {}
    for attempt_id, cost, details in cluster.database.query(
        "SELECT attempt_id, cost_pico, details FROM claude_proxy.attempts"
    ):
        ledger[json.loads(details)["message_id"]] = (attempt_id, cost)
    assert set(ledger) == set(truth)
    for message_id, (_, cost) in ledger.items():
        row = truth[message_id]
        assert cost == price_of(row["model"], tokens_of(row)) // 2
    assert check_sums(cluster.database) == len(ledger)
    held = "SELECT COALESCE(SUM(granted_pico), 0) FROM claude_proxy.budget_leases WHERE replica = 'jobs'"
    assert cluster.database.value(held) == 0
    print(f"{len(ledger)} results, each once and to the pico-dollar")
    return len(ledger)


def all_over(cluster, count, timeout=30):
    wait_until(
        lambda: len(found := rows(cluster)) == count and all(row[2] in ("settled", "failed") for row in found),
        timeout,
        f"{count} batches that are over",
    )


def test_both_replicas_know_whose_it_is_and_settle_each_batch_once(cluster, simulator):
    """Goal: what replica 0 made is the team's on replica 1 at once; two pollers never bill a result twice.

    Method: two teams make batches on both replicas at the same time; each is shown, listed and fetched by the other
    replica; the ledger is compared with the simulator's.
    """
    keys = [cluster.admin().new_key(name="k", team=f"team-{n}", scopes=["*"])["key"] for n in range(2)]
    made = []

    def making(number, team):
        for n in range(4):
            answer = make(cluster, number, keys[team], 700, f"r{number}t{team}n{n}")
            assert answer.status == 200, answer.body
            made.append((team, answer.json()["id"]))
            target = "/v1/messages/batches/" + answer.json()["id"]
            assert ask(cluster, 1 - number, keys[team], "GET", target).status == 200
            assert ask(cluster, 1 - number, keys[1 - team], "GET", target).status == 404

    threads = [threading.Thread(target=making, args=(number, team)) for number in range(2) for team in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 16
    for number in range(2):
        for team, key in enumerate(keys):
            page = ask(cluster, number, key, "GET", "/v1/messages/batches?limit=100").json()
            assert {each["id"] for each in page["data"]} == {id for of, id in made if of == team}
    all_over(cluster, 16, 60)
    assert check_against_the_truth(cluster, simulator) == 16 * 700


def test_a_replica_that_is_killed_between_making_and_knowing(cluster, simulator):
    """Goal: a batch that upstream made while its replica was killed is found again, once, and is the team's; one that
    upstream never made is given up. Neither is sent twice, and what both held is free afterwards.

    Method: upstream makes the batch and falls silent in its answer, and the replica is killed meanwhile; of two other
    creations one is cut in its answer, one before upstream has it. The other replica, and the one that starts anew,
    find out.
    """
    key = cluster.admin().new_key(name="k", team="team", budgets=["50/month"])["key"]
    slow = {"fault": "stall-after-bytes=10", "match": {"path": "/v1/messages/batches", "method": "POST"}}
    control(simulator, "POST", "/sim/faults", json.dumps(slow).encode())

    def broken_off():
        try:
            make(cluster, 0, key, 5, "found")
        except (Truncated, OSError, AssertionError):
            pass

    asking = threading.Thread(target=broken_off)
    asking.start()
    wait_until(lambda: len(rows(cluster, "creating")) == 1, 20, "a batch that is being made")

    def upstreams():
        with Client(simulator.port) as client:
            listed = client.ask(request("GET", "/v1/messages/batches", None, VERSION, key=CREDENTIAL))
        return listed.json()["data"]

    wait_until(upstreams, 20, "the batch upstream")
    cluster.kill(0)
    asking.join()
    (row,) = rows(cluster)
    assert row[1] is None and json.loads(row[3])[0]["amount"] > 0, "held while nobody knows"
    cluster.start(0)
    all_over(cluster, 1)
    (row,) = rows(cluster)
    assert (row[1], row[2]) == (upstreams()[0]["id"], "settled") and len(upstreams()) == 1
    for number in range(2):
        assert ask(cluster, number, key, "GET", f"/v1/messages/batches/{row[1]}/results").status == 200
    for number, fault in enumerate(("cut-at-byte=10", "cut-before-head"), start=2):
        cut = {"fault": fault, "match": {"path": "/v1/messages/batches", "method": "POST"}}
        control(simulator, "POST", "/sim/faults", json.dumps(cut).encode())
        assert make(cluster, 1, key, 5, f"cut-{number}").status == 502
        all_over(cluster, number)
    assert [row[2] for row in rows(cluster)] == ["settled", "settled", "failed"]
    assert len(upstreams()) == 2 and check_against_the_truth(cluster, simulator) == 10


def test_the_database_goes_away_and_comes_back(simulator, postgres):
    """Goal: while the database is away known ids go on working, unknown ones and new batches are refused as retryable,
    and files that are made meanwhile are the team's for good. Batches that ended meanwhile are settled afterwards.

    Method: PostgreSQL is stopped in the middle and started again.
    """
    with Cluster(simulator.url, Database.postgres(postgres), 2, **SETTINGS) as cluster:
        key = cluster.admin().new_key(name="k", team="team", scopes=["*"])["key"]
        known = upload(cluster, 0, key).json()["id"]
        other = upload(cluster, 1, key).json()["id"]
        running = make(cluster, 0, key, 20, delay_ms=1_500)
        assert running.status == 200
        postgres.stop()
        assert ask(cluster, 0, key, "GET", f"/v1/files/{known}").status == 200
        refused = ask(cluster, 0, key, "GET", f"/v1/files/{other}")
        assert (refused.status, reason(refused)) == (503, "resources_unavailable")
        assert refused.header("x-should-retry") is None and refused.header("retry-after")
        assert reason(ask(cluster, 0, key, "GET", "/v1/files")) == "resources_unavailable"
        assert reason(make(cluster, 0, key, 2)) == "resources_unavailable"
        meanwhile = upload(cluster, 0, key)
        assert meanwhile.status == 200, meanwhile.body
        assert ask(cluster, 0, key, "GET", f"/v1/files/{meanwhile.json()['id']}").status == 200
        postgres.start()
        wait_until(
            lambda: ask(cluster, 1, key, "GET", f"/v1/files/{meanwhile.json()['id']}").status == 200,
            30,
            "the other replica knows what was made during the outage",
        )
        assert ask(cluster, 0, key, "GET", f"/v1/files/{other}").status == 200
        all_over(cluster, 1)
        assert len(rows(cluster, "settled")) == 1, "the refused batch left nothing behind"
        check_against_the_truth(cluster, simulator)


def upload(cluster, number, key):
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nx\r\n--b--\r\n'
    fields = [VERSION[0], ("content-type", "multipart/form-data; boundary=b")]
    with Client(cluster.ports[number], timeout=seconds(30)) as client:
        return client.ask(request("POST", "/v1/files", body, fields, key=key))


def reason(answer):
    return answer.json()["error"]["details"]["reason"]
