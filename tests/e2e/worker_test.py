"""Jobs are carried out: once, whole, at the price that the upstream billed, whatever happens to workers on the way.

Every test runs on SQLite with the queue in the process, and on PostgreSQL with Redis and an SQS-compatible queue.
"""

import json
import signal
import time

import pytest

from support.admin import Admin
from support.jobs import VERSION, Jobs, metric
from support.timing import seconds, setting, wait_until
from support.truth import Comparison, control, ledger_rows, simulator_rows
from support.workers import Stack, body

LONG = {"output_tokens": 400, "fault": "event-interval=50", "event_tokens": 2}  # some ten seconds


@pytest.fixture
def cluster(simulator, postgres, redis, sqs):
    made = Stack(simulator, postgres, redis, sqs)
    yield made
    made.close()


@pytest.fixture(params=["embedded", "cluster"])
def stack(request, simulator):
    if request.param == "cluster":
        yield request.getfixturevalue("cluster")
        return
    made = Stack(simulator)
    yield made
    made.close()


def fault(simulator, kind, count=1):
    armed = {"fault": kind, "count": count, "match": {"path": "/v1/messages", "method": "POST"}}
    control(simulator, "POST", "/sim/faults", json.dumps(armed).encode())


calls = simulator_rows


def same_answer(one, other):
    """But for their ids."""
    return {**one, "id": None} == {**other, "id": None}


def check_log(events, restarts=0):
    """Ids without a gap from 1, the end last, so many restarts; the events behind the last restart."""
    assert [each[0] for each in events] == list(range(1, len(events) + 1))
    assert events[-1][1] == "job"
    names = [name for _, name, _ in events[:-1]]
    assert names.count("restart") == restarts and "error" not in names and "job" not in names, names
    last = len(names) - names[::-1].index("restart") if restarts else 0
    return events[last:-1]


def check_money(stack, simulator, process=None):
    """Every call has its ledger row with the truth; the process, when one is given, ends first."""
    if process:
        process.stop()
    comparison = Comparison(simulator_rows(simulator), ledger_rows(stack.database))
    comparison.check()
    return comparison


def test_a_job_gets_the_answer_that_its_request_would_have_got_and_costs_the_same(stack, simulator):
    gateway = stack.both()
    jobs = Jobs(gateway)
    asked = body("a story, please", output_tokens=60)
    job = jobs.new(asked)
    result = jobs.succeeded(job)
    assert same_answer(result, jobs.direct(asked))
    it = jobs.get(job)
    assert it["attempt"] == 1 and it["usage"] == result["usage"]
    whole = check_log(jobs.events(job))
    assert whole[0][1] == "message_start" and whole[-1][1] == "message_stop"
    text = "".join(data["delta"]["text"] for _, name, data in whole if name == "content_block_delta")
    assert text == result["content"][0]["text"]
    ((number, outcome, _, request_id),) = stack.history(job)
    assert (number, outcome) == (1, "succeeded")
    comparison = check_money(stack, simulator, gateway)
    assert comparison.exact == 2
    assert request_id + ".1" in {row.attempt_id for _, row in comparison.pairs}


def test_a_worker_without_a_public_listener_does_what_others_have_taken(stack, simulator):
    front, worker = stack.start("serve"), stack.start("worker")
    jobs = Jobs(front)
    made = [jobs.new(body(f"number {number}")) for number in range(20)]
    for job in made:
        jobs.succeeded(job)
    assert metric(worker, "job_attempts_total", '{outcome="succeeded"}') == 20
    assert metric(worker, "jobs_claimed_total") == 20
    assert len(calls(simulator)) == 20
    front.stop()
    check_money(stack, simulator, worker)


@pytest.mark.parametrize("kind", ["status=529", "status=429;retry-after=1", "overload-in-stream=start"])
def test_an_upstream_that_says_not_now_is_waited_for_and_no_attempt_is_used_up(stack, simulator, kind):
    gateway = stack.both(ATTEMPTS_MAX=1)
    jobs = Jobs(gateway)
    fault(simulator, kind, 4)
    job = jobs.new(body())
    jobs.succeeded(job)
    outcomes = [outcome for _, outcome, _, _ in stack.history(job)]
    assert outcomes == ["waiting"] * 4 + ["succeeded"]
    assert stack.attempts_used(job) == 1
    assert metric(gateway, "job_waits_total", '{for="upstream"}') == 4
    assert len(calls(simulator)) == 5
    check_money(stack, simulator, gateway)


def test_a_stream_that_breaks_is_begun_anew_behind_a_restart(stack, simulator):
    gateway = stack.both()
    jobs = Jobs(gateway)
    asked = body("once more", output_tokens=80, event_tokens=2)
    fault(simulator, "cut-after-events=12")
    job = jobs.new(asked)
    result = jobs.succeeded(job)
    assert same_answer(result, jobs.direct(asked))
    events = jobs.events(job)
    whole = check_log(events, restarts=1)
    assert whole[0][1] == "message_start" and whole[0][2]["message"]["id"] == result["id"]
    assert events[0][1] == "message_start" and len(events) > len(whole) + 2  # the first attempt's are there too
    assert [outcome for _, outcome, _, _ in stack.history(job)] == ["failed", "succeeded"]
    assert jobs.get(job)["error"] is None or jobs.get(job)["status"] == "succeeded"
    check_money(stack, simulator, gateway)


def test_what_always_breaks_is_dead_after_its_attempts_and_lives_again_when_redriven(stack, simulator):
    gateway = stack.both(JOBS_ATTEMPTS_MAX=2)
    jobs = Jobs(gateway)
    fault(simulator, "status=500", 2)
    job = jobs.new(body())
    it = jobs.wait(job)
    assert it["status"] == "dead" and it["attempt"] == 2, it
    assert it["error"]["type"] == "api_error"
    assert [outcome for _, outcome, _, _ in stack.history(job)] == ["failed", "failed"]
    Admin(gateway).ok("POST", f"jobs/{job}/redrive")
    jobs.succeeded(job)
    check_money(stack, simulator, gateway)


def test_a_request_at_fault_fails_at_once_with_the_upstreams_words(stack, simulator):
    gateway = stack.both()
    jobs = Jobs(gateway)
    wrong = {**body(), "max_tokens": -1}
    job = jobs.new(wrong)
    it = jobs.wait(job)
    assert it["status"] == "failed" and it["attempt"] == 1
    assert it["error"]["type"] == "invalid_request_error"
    assert it["error"]["message"] == jobs.send("POST", "/v1/messages", wrong, [VERSION]).json()["error"]["message"]
    assert [name for _, name, _ in jobs.events(job)] == ["job"]
    check_money(stack, simulator, gateway)


def test_a_running_job_is_cancelled_within_a_second(stack, simulator):
    gateway = stack.both()
    jobs = Jobs(gateway)
    job = jobs.new(body(**LONG))
    jobs.wait(job, "running")
    wait_until(lambda: control(simulator, "GET", "/sim/stats")["active_streams"], 10, "the stream")
    began = time.monotonic()
    assert jobs.cancel(job).status in (200, 202)
    assert jobs.wait(job)["status"] == "cancelled"
    assert time.monotonic() - began < seconds(1)
    wait_until(lambda: not control(simulator, "GET", "/sim/stats")["active_streams"], 5, "the upstream call to end")
    check_log(jobs.events(job))
    check_money(stack, simulator, gateway)


def test_a_cancel_reaches_the_worker_in_another_process_within_a_second(stack, simulator):
    front, worker = stack.start("serve"), stack.start("worker")
    jobs = Jobs(front)
    job = jobs.new(body(**LONG))
    jobs.wait(job, "running")
    began = time.monotonic()
    assert jobs.cancel(job).status in (200, 202)
    assert jobs.wait(job)["status"] == "cancelled"
    assert time.monotonic() - began < seconds(1)
    front.stop()
    check_money(stack, simulator, worker)


def test_the_jobs_of_a_killed_worker_are_done_by_another_and_have_one_result(stack, simulator):
    front, first = stack.start("serve"), stack.start("worker")
    jobs = Jobs(front)
    fault(simulator, "stall-after-events=8", 6)
    made = [jobs.new(body(f"number {n}", output_tokens=40, event_tokens=1)) for n in range(6)]
    for job in made:
        wait_until(lambda job=job: stack.value(
            "SELECT COUNT(*) FROM claude_proxy.job_events WHERE job_id = %s", job), 20, "events")  # fmt: skip
    stack.kill(first)
    stack.start("worker")
    for job in made:
        jobs.succeeded(job, timeout=60)
        check_log(jobs.events(job), restarts=1)
        assert [outcome for _, outcome, _, _ in stack.history(job)] == ["lost", "succeeded"]
        assert stack.value("SELECT COUNT(*) FROM claude_proxy.job_results WHERE job_id = %s", job) == 1
    assert len(calls(simulator)) == 12


def test_an_answer_that_is_all_in_the_log_is_not_paid_for_again(stack, simulator):
    gateway = stack.both()
    jobs = Jobs(gateway)
    job = jobs.new(body("paid once", output_tokens=40))
    result = jobs.succeeded(job)
    gateway.stop()
    # As if the worker had died between the last event and the ending.
    first, content = stack.database.query(
        "SELECT first_id, bytes FROM claude_proxy.job_events WHERE job_id = %s ORDER BY first_id DESC LIMIT 1", job
    )[0]
    blocks = content.split("\n\n")[:-2]
    events = stack.value("SELECT events FROM claude_proxy.jobs WHERE id = %s", job) - 1
    kept = "".join(block + "\n\n" for block in blocks)
    stack.database.change(
        [
            ("UPDATE claude_proxy.job_events SET bytes = %s, last_id = %s, size = %s"
             " WHERE job_id = %s AND first_id = %s",
             (kept, events, len(kept), job, first)) if blocks else
            ("DELETE FROM claude_proxy.job_events WHERE job_id = %s AND first_id = %s", (job, first)),
            ("DELETE FROM claude_proxy.job_results WHERE job_id = %s", (job,)),
            ("UPDATE claude_proxy.jobs SET status = 'running', lease_until = 1, worker = 'gone', events = %s,"
             " finished_at = NULL, delete_at = NULL, usage = '' WHERE id = %s", (events, job)),
            ("UPDATE claude_proxy.job_attempts SET ended_at = NULL, outcome = '' WHERE job_id = %s", (job,)),
        ]
    )  # fmt: skip
    gateway = stack.both()
    jobs = Jobs(gateway)
    assert jobs.succeeded(job) == result
    assert [outcome for _, outcome, _, _ in stack.history(job)] == ["lost", "succeeded"]
    check_log(jobs.events(job))
    assert len(calls(simulator)) == 1
    check_money(stack, simulator, gateway)


def test_a_worker_that_is_told_to_stop_hands_back_what_it_cannot_finish(stack, simulator):
    front = stack.start("serve")
    worker = stack.start("worker", DRAIN_TIMEOUT=setting(300))
    jobs = Jobs(front)
    job = jobs.new(body(**LONG))
    jobs.wait(job, "running")
    wait_until(lambda: stack.value("SELECT COUNT(*) FROM claude_proxy.job_events WHERE job_id = %s", job), 20, "events")
    worker.stop()
    assert [outcome for _, outcome, _, _ in stack.history(job)][0] == "handed_back"
    assert jobs.get(job)["status"] == "queued"
    assert stack.attempts_used(job) == 0
    stack.start("worker")
    jobs.wait(job, "running")  # at once: nothing waits for a lease
    jobs.cancel(job)
    jobs.wait(job)


def test_a_worker_that_is_told_to_stop_finishes_what_it_can(stack, simulator):
    front = stack.start("serve")
    worker = stack.start("worker", DRAIN_TIMEOUT=setting(20_000))
    jobs = Jobs(front)
    job = jobs.new(body(output_tokens=30, event_tokens=1, fault="event-interval=30"))
    jobs.wait(job, "running")
    worker.signal(signal.SIGTERM)
    late = jobs.new(body("nobody is there for it"))
    assert worker.wait_exit(60) == 0
    assert jobs.get(job)["status"] == "succeeded"
    assert [outcome for _, outcome, _, _ in stack.history(job)] == ["succeeded"]
    assert jobs.get(late)["status"] == "queued"


def test_a_key_that_was_revoked_spends_nothing(stack, simulator):
    front = stack.start("serve")
    made = Admin(front).new_key(name="soon gone", team="search")
    jobs = Jobs(front, made["key"])
    job = jobs.new(body())
    Admin(front).ok("POST", f"keys/{made['id']}/revoke")
    worker = stack.start("worker")
    wait_until(
        lambda: stack.value("SELECT status FROM claude_proxy.jobs WHERE id = %s", job) == "failed", 20, "the failure"
    )
    assert "credential_expired" in stack.value("SELECT error FROM claude_proxy.jobs WHERE id = %s", job)
    assert not calls(simulator)
    front.stop()
    worker.stop()


def test_a_job_waits_for_its_budget_and_runs_when_there_is_more(stack, simulator):
    front = stack.start("serve")
    admin = Admin(front)
    made = admin.new_key(name="poor", team="poor")

    def set_budget(limit):
        admin.ok("POST", "budgets", {"scope": "key", "id": made["id"], "period": "day", "limit": limit, "hard": True})

    # Nothing is held for it when it is submitted: there is no budget yet.
    jobs = Jobs(front, made["key"])
    job = jobs.new(body(max_tokens=2_000, output_tokens=20))
    set_budget("0.001")
    worker = stack.start("worker", BUDGET_WAIT="0s")
    exhausted = ("waiting", "budget_exhausted")
    wait_until(lambda: exhausted in [(each[1], each[2]) for each in stack.history(job)], 20, "a look at the budget")
    assert metric(worker, "job_waits_total", '{for="budget"}') >= 1
    assert not calls(simulator)
    set_budget("5")
    jobs.succeeded(job)
    assert stack.attempts_used(job) == 1
    front.stop()
    check_money(stack, simulator, worker)


def test_a_job_counts_as_one_request_and_is_let_in_although_the_key_has_used_its_minute(stack, simulator):
    gateway = stack.both()
    made = Admin(gateway).new_key(name="fast", team="fast", requests_per_minute=3)
    jobs = Jobs(gateway, made["key"])
    for job in [jobs.new(body(f"number {number}")) for number in range(3)]:
        jobs.succeeded(job)
        assert [outcome for _, outcome, _, _ in stack.history(job)] == ["succeeded"]
    assert jobs.send("POST", "/v1/messages", body()).status == 429
    check_money(stack, simulator, gateway)


def test_a_key_for_jobs_alone_has_them_carried_out(stack, simulator):
    gateway = stack.both()
    made = Admin(gateway).new_key(name="jobs only", team="search", scopes=["jobs"])
    jobs = Jobs(gateway, made["key"])
    jobs.succeeded(jobs.new(body()))
    assert jobs.send("POST", "/v1/messages", body()).status == 403
    check_money(stack, simulator, gateway)


def test_jobs_are_found_while_the_queue_is_away(cluster, sqs):
    front, worker = cluster.start("serve"), cluster.start("worker")
    jobs = Jobs(front)
    jobs.succeeded(jobs.new(body()))
    sqs.stop("kill")
    try:
        for number in range(3):
            jobs.succeeded(jobs.new(body(f"number {number}")), timeout=60)
        assert metric(worker, "queue_failures_total") > 0
    finally:
        sqs.start()
    front.stop()
    worker.stop()
