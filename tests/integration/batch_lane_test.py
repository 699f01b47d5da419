"""Jobs of the batch lane with a simulator that bills: gathered, answered, paid for at half the price, each once.

One replica on SQLite; tests/e2e/batch_lane_replicas_test.py has two on PostgreSQL.
"""

import json

import pytest

from support.cluster import Cluster, Database, metric
from support.gateway import CREDENTIAL, Simulator
from support.lane import (
    SETTINGS, Lane, answer_to, arm, batches, body, check_ledger, listed, made_upstream, one_batch_of, upstream_rows,
)  # fmt: skip
from support.timing import seconds, setting, wait_until


@pytest.fixture
def simulator():
    simulator = Simulator(
        "--listen", "127.0.0.1:0", "--strict", "--api-key", CREDENTIAL, "--batch-delay-ms", str(round(seconds(600)))
    )
    yield simulator
    simulator.stop()


def cluster_of(simulator, tmp_path, **settings):
    return Cluster(simulator.url, Database.sqlite(tmp_path), 1, **{**SETTINGS, **settings})


@pytest.fixture
def cluster(simulator, tmp_path):
    with cluster_of(simulator, tmp_path) as cluster:
        yield cluster


def lane_of(cluster, budget=None):
    """Jobs of a key whose team has a hard budget, in dollars."""
    admin = cluster.admin()
    admin.new_key(name="first", team="lane")
    if budget is not None:
        admin.ok("POST", "budgets", {"scope": "team", "id": "lane", "period": "total", "limit": budget})
    return Lane(cluster, admin.new_key(name="lane", team="lane")["key"])  # a new key is looked up with its budgets


def wait_state(cluster, *states, timeout=20):
    wait_until(lambda: [row[0] for row in batches(cluster)] == list(states), timeout, f"batches that are {states}")


def test_fifty_jobs_become_one_batch_and_each_gets_its_own_answer(simulator, tmp_path):
    """Goal: one call for all of them; result, log and price of each are those of its own request."""
    with cluster_of(simulator, tmp_path, **one_batch_of(50)) as cluster:
        lane = lane_of(cluster, "100")
        jobs = [lane.submit(body(f"Number {number}?")) for number in range(50)]
        lane.wait(jobs, "succeeded")
        wait_state(cluster, "settled")
        assert batches(cluster) == [("settled", 50)] and made_upstream(simulator) == 1
        for number, job in enumerate(jobs):
            message = lane.result(job).json()
            assert message["content"] == answer_to(simulator, body(f"Number {number}?"))
            assert message["usage"]["service_tier"] == "batch"
            shown = lane.get(job)
            assert shown["lane"] == "batch" and shown["usage"] == message["usage"]
            events = lane.events(job)
            assert [name for name, _ in events][:2] == ["message_start", "content_block_start"]
            assert [name for name, _ in events][-2:] == ["message_stop", "job"]
            told = [json.loads(data)["delta"]["text"] for name, data in events if name == "content_block_delta"]
            assert "".join(told) == message["content"][0]["text"]
        assert check_ledger(cluster, simulator) == 50


def test_a_batch_goes_as_soon_as_enough_jobs_wait(simulator, tmp_path):
    """Goal: by count, long before the age; what does not fit into one batch makes the next."""
    with cluster_of(simulator, tmp_path, BATCH_AGE_MAX="1h", BATCH_COUNT_MIN=4, BATCH_COUNT_MAX=5) as cluster:
        lane = lane_of(cluster)
        three = [lane.submit() for _ in range(3)]
        assert batches(cluster) == []
        jobs = three + [lane.submit() for _ in range(1)]
        lane.wait(jobs, "succeeded")
        assert sum(count for _, count in batches(cluster)) == 4
        jobs = [lane.submit() for _ in range(9)]
        wait_until(lambda: sum(count for _, count in batches(cluster)) >= 9, 20, "a further batch")
        assert max(count for _, count in batches(cluster)) <= 5


def test_jobs_with_other_betas_are_in_another_batch(simulator, tmp_path):
    with cluster_of(simulator, tmp_path, **one_batch_of(4)) as cluster:
        lane = lane_of(cluster)
        jobs = [lane.submit() for _ in range(2)]
        jobs += [lane.submit(headers=[("anthropic-beta", "interleaved-thinking-2025-05-14")]) for _ in range(2)]
        lane.wait(jobs, "succeeded")
        assert sorted(count for _, count in batches(cluster)) == [2, 2]
        assert check_ledger(cluster, simulator) == 4


def test_every_kind_of_result_finds_its_job(cluster, simulator):
    """Goal: an error at fault fails the job, "not now" tries again in a batch, an expired one goes on in realtime."""
    lane = lane_of(cluster, "100")
    good = [lane.submit() for _ in range(3)]
    at_fault = lane.submit({"model": "claude-haiku-4-5", "max_tokens": 40, "messages": "none"})
    expired = lane.submit(body("x-sim-batch-item: expired"))
    crowded = lane.submit(body("x-sim-batch-item: overloaded_error"))
    lane.wait([*good, expired], "succeeded")
    lane.wait([at_fault], "failed")
    assert lane.get(at_fault)["error"]["type"] == "invalid_request_error"
    assert lane.get(expired)["lane"] == "realtime"
    assert lane.result(expired).json()["usage"]["service_tier"] == "standard"
    wait_until(lambda: lane.get(crowded)["attempt"] >= 2, 20, "another batch for what was refused")
    assert lane.get(crowded)["lane"] == "batch"
    assert lane.cancel(crowded).status in (200, 202)
    lane.wait([crowded], "cancelled")
    wait_until(lambda: all(state == "settled" for state, _ in batches(cluster)), 30, "all batches settled")
    assert check_ledger(cluster, simulator) == 3


def test_what_expired_may_be_failed_instead(simulator, tmp_path):
    with cluster_of(simulator, tmp_path, BATCH_EXPIRED="fail") as cluster:
        lane = lane_of(cluster)
        job = lane.submit(body("x-sim-batch-item: expired"))
        lane.wait([job], "failed")
        assert lane.get(job)["error"]["details"]["reason"] == "job_expired"
        wait_state(cluster, "settled")
        check_ledger(cluster, simulator)


def test_a_job_in_a_batch_is_cancelled_at_once_and_paid_for_all_the_same(simulator, tmp_path):
    """Goal: its owner hears no more of it, may remove it, and its cost is in the ledger."""
    slow = {"BATCH_LOOK_FIRST": setting(1_500), "BATCH_LOOK_MAX": setting(1_500)}
    with cluster_of(simulator, tmp_path, **one_batch_of(2), **slow) as cluster:
        lane = lane_of(cluster, "100")
        kept, dropped = lane.submit(), lane.submit()
        wait_state(cluster, "open")
        assert lane.cancel(dropped).status in (200, 202)
        assert lane.get(dropped)["status"] == "cancelled"
        assert [name for name, _ in lane.events(dropped)] == ["job"]
        assert lane.send("DELETE", f"/v1/jobs/{dropped}").status in (200, 204)
        assert cluster.database.value("SELECT SUM(granted_pico) FROM budget_leases WHERE replica = 'jobs'") > 0
        lane.wait([kept], "succeeded")
        wait_state(cluster, "settled")
        assert check_ledger(cluster, simulator) == 2


def test_a_batch_without_jobs_is_cancelled_upstream(tmp_path):
    simulator = Simulator(
        "--listen", "127.0.0.1:0", "--strict", "--api-key", CREDENTIAL, "--batch-delay-ms", "3600000"
    )
    with cluster_of(simulator, tmp_path, **one_batch_of(3)) as cluster:
        lane = lane_of(cluster, "100")
        jobs = [lane.submit() for _ in range(3)]
        wait_state(cluster, "open")
        for job in jobs:
            lane.cancel(job)
        wait_state(cluster, "settled")
        assert check_ledger(cluster, simulator) == 0
    simulator.stop()


def test_a_batch_that_was_made_but_not_recorded_is_found_again(simulator, tmp_path):
    """Goal: killed between the making and the record, nothing is sent twice.

    Method: the simulator makes the batch and holds its answer back; the gateway is killed meanwhile, so that nobody
    ever hears it. The next process has only its rows.
    """
    with cluster_of(simulator, tmp_path, **one_batch_of(7)) as cluster:
        lane = lane_of(cluster, "100")
        arm(simulator, "stall-after-bytes=0")
        jobs = [lane.submit() for _ in range(7)]
        wait_state(cluster, "creating")
        wait_until(lambda: listed(simulator) == 1, 20, "the batch of which nobody heard")
        cluster.kill(0)
        wait_until(lambda: made_upstream(simulator) == 1, 20, "the end of that call")
        gateway = cluster.start(0)
        lane.wait(jobs, "succeeded", timeout=60)
        wait_state(cluster, "settled")
        assert made_upstream(simulator) == 1
        assert gateway.wait_event(lambda event: event.get("event") == "batch_found_again")
        assert {lane.get(job)["attempt"] for job in jobs} == {1}
        assert check_ledger(cluster, simulator) == 7


def test_a_batch_whose_answer_was_cut_off_is_found_again(simulator, tmp_path):
    with cluster_of(simulator, tmp_path, **one_batch_of(5)) as cluster:
        lane = lane_of(cluster)
        arm(simulator, "cut-at-byte=0")
        jobs = [lane.submit() for _ in range(5)]
        lane.wait(jobs, "succeeded", timeout=60)
        wait_state(cluster, "settled")
        assert made_upstream(simulator) == 1 and check_ledger(cluster, simulator) == 5


def test_a_batch_that_was_never_made_is_made_anew(simulator, tmp_path):
    """Goal: the call broke off before the upstream made anything; the jobs are queued again, and no attempt counts."""
    with cluster_of(simulator, tmp_path, **one_batch_of(5)) as cluster:
        lane = lane_of(cluster, "100")
        arm(simulator, "cut-before-head")
        jobs = [lane.submit() for _ in range(5)]
        lane.wait(jobs, "succeeded", timeout=60)
        assert sorted(state for state, _ in batches(cluster)) in (["failed", "settled"], ["failed", "open"])
        wait_state(cluster, "failed", "settled")
        assert {lane.get(job)["attempt"] for job in jobs} == {2}
        assert metric(cluster.gateways[0], 'job_batches_total{outcome="never_made"}') == 1
        assert made_upstream(simulator) == 1 and check_ledger(cluster, simulator) == 5


def test_an_upstream_without_batches_gets_the_jobs_one_by_one(cluster, simulator):
    lane = lane_of(cluster)
    arm(simulator, "status=404")
    jobs = [lane.submit() for _ in range(3)]
    lane.wait(jobs, "succeeded")
    assert {lane.get(job)["lane"] for job in jobs} == {"realtime"}
    assert made_upstream(simulator) == 0
    check_ledger(cluster, simulator)


def test_results_that_broke_off_are_fetched_again_and_count_once(simulator, tmp_path):
    with cluster_of(simulator, tmp_path, **one_batch_of(20)) as cluster:
        lane = lane_of(cluster, "100")
        arm(simulator, "cut-at-byte=3000", "GET", "/v1/messages/batches/*", count=8)
        jobs = [lane.submit() for _ in range(20)]
        lane.wait(jobs, "succeeded", timeout=60)
        assert cluster.gateways[0].wait_event(lambda event: event.get("event") == "batch_not_settled")
        wait_state(cluster, "settled")
        assert check_ledger(cluster, simulator) == 20


def test_killed_while_a_batch_is_open_the_next_process_goes_on(simulator, tmp_path):
    with cluster_of(simulator, tmp_path, **one_batch_of(20)) as cluster:
        lane = lane_of(cluster, "100")
        jobs = [lane.submit() for _ in range(20)]
        wait_state(cluster, "open")
        cluster.kill(0)
        cluster.start(0)
        lane.wait(jobs, "succeeded", timeout=60)
        wait_state(cluster, "settled")
        assert made_upstream(simulator) == 1 and check_ledger(cluster, simulator) == 20


def test_a_budget_bounds_what_goes_into_a_batch(simulator, tmp_path):
    """Goal: jobs beyond a hard budget are refused or wait for those before them; it is never overshot."""
    with cluster_of(simulator, tmp_path, BUDGET_WAIT=setting(50)) as cluster:
        lane = lane_of(cluster, "0.003")
        taken, refused = [], 0
        for _ in range(12):
            answer = lane.send("POST", "/v1/jobs", {"request": body(), "lane": "batch"})
            taken += [answer.json()["id"]] if answer.status == 202 else []
            refused += answer.status == 429
        assert taken and refused, "the budget is for some of them"
        lane.wait(taken, "succeeded", timeout=60)
        wait_until(lambda: all(state == "settled" for state, _ in batches(cluster)), 30, "all batches settled")
        assert check_ledger(cluster, simulator) == len(taken)
        assert cluster.database.value("SELECT SUM(cost_pico) FROM attempts") <= 3_000_000_000


def test_a_key_that_was_revoked_meanwhile_spends_nothing(simulator, tmp_path):
    with cluster_of(simulator, tmp_path, BATCH_AGE_MAX=setting(2_000), DIRECTORY_POLL=setting(50)) as cluster:
        admin = cluster.admin()
        made = admin.new_key(name="gone", team="lane")
        lane, other = Lane(cluster, made["key"]), lane_of(cluster)
        job, kept = lane.submit(), other.submit()
        assert admin.ok("DELETE", f"keys/{made['id']}") is not None
        other.wait([kept], "succeeded")
        status = "SELECT status FROM jobs WHERE id = ?"
        wait_until(lambda: cluster.database.query(status, job)[0][0] == "failed", 20, "a failed job")
        assert len([row for row in upstream_rows(simulator) if row["method"] == "BATCH"]) == 1
        check_ledger(cluster, simulator)


def test_a_key_for_jobs_alone_may_use_the_lane(cluster, simulator):
    """Goal: the scope that a submit asks for is the one that its run asks for, in either lane."""
    key = cluster.admin().new_key(name="narrow", team="narrow", scopes=["jobs"])["key"]
    lane = Lane(cluster, key)
    lane.wait([lane.submit()], "succeeded")
    check_ledger(cluster, simulator)


SHORT_LEASES = {"JOBS_LEASE": setting(1_500), "JOBS_HEARTBEAT_EVERY": setting(300)}
BETA = [("anthropic-beta", "interleaved-thinking-2025-05-14")]


def two_groups(lane, count=2):
    """Jobs that cannot be in one batch."""
    return [lane.submit() for _ in range(count)] + [lane.submit(headers=BETA) for _ in range(count)]


def test_while_one_batch_is_being_made_the_claims_of_others_last(simulator, tmp_path):
    """Goal: a slow answer to one call, longer than a lease, costs the jobs of the next batch no attempt."""
    with cluster_of(simulator, tmp_path, **one_batch_of(4), **SHORT_LEASES) as cluster:
        lane = lane_of(cluster, "100")
        arm(simulator, f"slow-head={round(seconds(4) * 1000)}")
        jobs = two_groups(lane)
        lane.wait(jobs, "succeeded", timeout=60)
        assert {lane.get(job)["attempt"] for job in jobs} == {1}
        assert metric(cluster.gateways[0], 'jobs_swept_total{what="lease_lost"}') == 0
        wait_state(cluster, "settled", "settled")
        assert made_upstream(simulator) == 2 and check_ledger(cluster, simulator) == 4


def test_an_overloaded_upstream_is_asked_again_for_the_same_jobs(cluster, simulator):
    """Goal: 529 says that no batch was made: its jobs wait for the next one, and stay in the lane."""
    lane = lane_of(cluster)
    arm(simulator, "status=529;retry-after=1")
    jobs = [lane.submit() for _ in range(3)]
    lane.wait(jobs, "succeeded")
    assert {lane.get(job)["lane"] for job in jobs} == {"batch"}
    wait_state(cluster, "failed", "settled")
    assert made_upstream(simulator) == 1 and check_ledger(cluster, simulator) == 3


def test_a_drain_ends_the_call_under_way_and_hands_back_what_waits_behind_it(simulator, tmp_path):
    """Goal: a process that is told to stop while it gathers leaves no batch in doubt, and no job an attempt poorer."""
    with cluster_of(simulator, tmp_path, DRAIN_TIMEOUT="60s", **one_batch_of(4)) as cluster:
        lane = lane_of(cluster, "100")
        arm(simulator, f"slow-head={round(seconds(2) * 1000)}")
        jobs = two_groups(lane)
        wait_state(cluster, "creating")
        cluster.gateways[0].stop()
        assert batches(cluster) == [("open", 2)]
        left = "SELECT attempts_used, status FROM claude_proxy.jobs WHERE status = 'queued'"
        assert cluster.database.query(left) == [(0, "queued"), (0, "queued")]
        cluster.settings["BATCH_COUNT_MIN"] = 2
        cluster.start(0)
        lane.wait(jobs, "succeeded", timeout=60)
        wait_state(cluster, "settled", "settled")
        assert made_upstream(simulator) == 2 and check_ledger(cluster, simulator) == 4
