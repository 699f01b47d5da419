"""The batch lane over two replicas on PostgreSQL behind PgBouncer: each batch is one replica's at a time, and goes over
to the other one when that dies.
"""

import os

import pytest

from support.cluster import Cluster, Database
from support.gateway import CREDENTIAL, Simulator
from support.lane import (
    SETTINGS, Lane, answer_to, arm, batches, body, check_ledger, listed, made_upstream, one_batch_of,
)  # fmt: skip
from support.timing import seconds, setting, wait_until
from support.truth import control


@pytest.fixture
def simulator():
    simulator = Simulator(
        "--listen", "127.0.0.1:0", "--strict", "--api-key", CREDENTIAL, "--batch-delay-ms", str(round(seconds(1_000)))
    )
    yield simulator
    simulator.stop()


@pytest.fixture
def cluster(simulator, postgres, pgbouncer):
    with Cluster(simulator.url, Database.postgres(postgres, pgbouncer), 2, **SETTINGS) as cluster:
        yield cluster


def lane_of(cluster):
    admin = cluster.admin()
    admin.new_key(name="first", team="lane")
    admin.ok("POST", "budgets", {"scope": "team", "id": "lane", "period": "total", "limit": "100"})
    return Lane(cluster, admin.new_key(name="lane", team="lane")["key"])


def all_settled(cluster):
    wait_until(lambda: all(row[0] == "settled" for row in batches(cluster)), 40, "all batches settled")


def test_two_replicas_share_the_lane(cluster, simulator):
    """Goal: whatever replica gathers and looks, each job is in one batch and in the ledger once."""
    lane = lane_of(cluster)
    jobs = []
    for number in range(120):
        jobs.append(lane.submit(body(f"Number {number}?"), number=number % 2))
    lane.wait(jobs, "succeeded", timeout=60, number=1)
    all_settled(cluster)
    assert sum(count for _, count in batches(cluster)) == 120
    assert made_upstream(simulator) == len(batches(cluster))
    for number, job in enumerate(jobs):
        assert lane.result(job, number % 2).json()["content"] == answer_to(simulator, body(f"Number {number}?"))
    assert check_ledger(cluster, simulator) == 120


def test_a_batch_goes_over_to_the_other_replica_when_its_own_dies(simulator, postgres, pgbouncer):
    """Method: one replica is killed while the batch is under way, and started anew at the end for its journal."""
    settings = {**SETTINGS, **one_batch_of(30)}
    with Cluster(simulator.url, Database.postgres(postgres, pgbouncer), 2, **settings) as cluster:
        lane = lane_of(cluster)
        jobs = [lane.submit(number=0) for _ in range(30)]
        wait_until(lambda: [row[0] for row in batches(cluster)] == ["open"], 20, "an open batch")
        cluster.kill(0)
        lane.wait(jobs, "succeeded", timeout=60, number=1)
        cluster.start(0)
        all_settled(cluster)
        assert made_upstream(simulator) == 1 and check_ledger(cluster, simulator) == 30


def test_killed_before_the_record_the_other_replica_finds_the_batch(simulator, postgres, pgbouncer):
    """Goal: the maker dies before it hears the answer; the other replica looks for the batch and sends nothing again.

    Method: only the first replica gathers; the simulator makes the batch and holds its answer back.
    """
    each = [one_batch_of(9), one_batch_of(1_000)]
    database = Database.postgres(postgres, pgbouncer)
    with Cluster(simulator.url, database, 2, each=each, **SETTINGS) as cluster:
        lane = lane_of(cluster)
        arm(simulator, "stall-after-bytes=0")
        jobs = [lane.submit(number=1) for _ in range(9)]
        wait_until(lambda: [row[0] for row in batches(cluster)] == ["creating"], 20, "a batch that is being made")
        wait_until(lambda: listed(simulator) == 1, 20, "the batch of which nobody heard")
        cluster.kill(0)
        lane.wait(jobs, "succeeded", timeout=60, number=1)
        cluster.start(0)
        all_settled(cluster)
        assert made_upstream(simulator) == 1 and check_ledger(cluster, simulator) == 9


def test_killed_while_results_come_the_other_replica_hands_out_the_rest(simulator, postgres, pgbouncer):
    """Method: the results of one big batch stop in the middle, when some are with their jobs; their reader, whom the
    batch's row names, is killed then."""
    settings = {**SETTINGS, **one_batch_of(150), "BATCH_LEASE": setting(5_000)}
    with Cluster(simulator.url, Database.postgres(postgres, pgbouncer), 2, **settings) as cluster:
        lane = lane_of(cluster)
        arm(simulator, "stall-after-bytes=75000", "GET", "/v1/messages/batches/*", count=10)
        jobs = [lane.submit(number=number % 2) for number in range(150)]
        ended = "SELECT COUNT(*) FROM claude_proxy.jobs WHERE status = 'succeeded'"
        wait_until(lambda: 0 < cluster.database.value(ended) < 150, 40, "some results with their jobs")
        owner = cluster.database.value("SELECT owner FROM claude_proxy.batches WHERE state = 'open'")
        control(simulator, "DELETE", "/sim/faults")
        reader = next(number for number in (0, 1) if owner in os.listdir(cluster.journals[number]))
        cluster.kill(reader)
        assert cluster.database.value(ended) < 150
        lane.wait(jobs, "succeeded", timeout=60, number=1 - reader)
        cluster.start(reader)
        all_settled(cluster)
        assert made_upstream(simulator) == 1 and check_ledger(cluster, simulator) == 150
