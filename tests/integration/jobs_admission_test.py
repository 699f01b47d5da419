"""What a submit of a job counts for: limits, budgets, and the limits of the gateway itself."""

import json
import time

import pytest

from support.admin import Admin
from support.client import request
from support.gateway import Gateway
from support.jobs import BODY, Jobs, check_refused, metric, stored
from support.timing import seconds, wait_until


@pytest.fixture
def jobs(gateway):
    return Jobs(gateway)


def dollars(pico):
    return f"{pico // 10**12}.{pico % 10**12:012d}"


def budgeted(gateway, amount, name):
    return Jobs(gateway, Admin(gateway).new_key(name=name, team=name, budgets=[f"{amount}/total"])["key"])


def held_for(gateway, job):
    return sum(hold["amount"] for hold in json.loads(stored(gateway, job)[3]))


def team_has_room(team, queued):
    answer = team.submit()
    if answer.status == 202:
        queued.append(answer.json()["id"])
    return answer.status == 202


def test_a_submit_counts_as_one_request_and_as_no_tokens(gateway, jobs):
    made = Admin(gateway).new_key(
        name="limited", team="limited", requests_per_minute=3, input_tokens_per_minute=1, concurrent_requests=1
    )
    limited = Jobs(gateway, made["key"])
    big = {**BODY, "messages": [{"role": "user", "content": "x" * 10_000}]}
    for left in (2, 1, 0):
        answer = limited.submit(request=big)
        assert answer.status == 202 and answer.header("anthropic-ratelimit-requests-remaining") == str(left)
    refused = limited.submit(request=big)
    check_refused(refused, 429, "requests_per_minute", "rate_limit_error")
    assert int(refused.header("retry-after")) >= 1


def test_a_hard_budget_holds_the_bound_of_queued_jobs_and_gets_it_back(shared_upstream):
    """Three fit and a fourth does not; a cancelled one makes room again, many times over."""
    with Gateway(shared_upstream.url, BUDGET_SET_ASIDE_WAIT="300ms") as gateway:
        probe = budgeted(gateway, 1000, "probe")
        bound = held_for(gateway, probe.new())
        assert bound > 0
        assert held_for(gateway, probe.new(lane="batch")) * 2 == bound, "a batch costs half"
        team = budgeted(gateway, dollars(bound * 3), "tight")
        queued = [team.new() for _ in range(3)]
        for _ in range(5):
            began = time.monotonic()
            refused = team.submit()
            assert time.monotonic() - began < seconds(5), "it does not wait for CLAUDE_PROXY_BUDGET_WAIT, a minute"
            assert "queued jobs and batches hold" in check_refused(refused, 429, "budget_set_aside", "billing_error")
            assert (refused.header("x-should-retry"), refused.header("retry-after")) == ("false", "60")
            assert team.cancel(queued.pop()).status == 200
            wait_until(lambda: team_has_room(team, queued), 10, "room for one more")
        assert sum(held_for(gateway, job) for job in queued) == bound * 3
        check_refused(budgeted(gateway, dollars(bound - 1), "poor").submit(), 429, "budget_exhausted", "billing_error")
        assert metric(gateway, "budget_holds") == 0, "nothing is held in memory for a queued job"


def test_who_waits_for_a_budget_gets_in_when_a_job_is_cancelled(shared_upstream):
    with Gateway(shared_upstream.url, BUDGET_SET_ASIDE_WAIT="1m") as gateway:
        bound = held_for(gateway, budgeted(gateway, 1000, "probe").new())
        team = budgeted(gateway, dollars(bound), "waits")
        first = team.new()
        with gateway.client(timeout=30) as client:
            body = json.dumps({"request": BODY}).encode()
            client.send(request("POST", "/v1/jobs", body, key=team.key))
            wait_until(lambda: metric(gateway, "budget_requests_waiting") == 1, 10, "the one who waits")
            team.cancel(first)
            assert client.read_response().status == 202


def test_a_refused_submit_gives_its_hold_back(gateway, jobs, request):
    team = budgeted(gateway, 1000, "repeats")
    name = ("Idempotency-Key", request.node.name)
    first = team.submit(name)
    assert first.status == 202
    for _ in range(3):
        assert team.submit(name).status == 200
        check_refused(team.submit(name, priority=1), 409, "idempotency_conflict")
    wait_until(lambda: metric(gateway, "budget_holds") == 0, 10, "no holds in memory")


def test_a_team_has_only_so_many_open_jobs(shared_upstream):
    """The count of what others have may be some seconds old; of one replica's own jobs it never lets more in."""
    with Gateway(shared_upstream.url, JOBS_OPEN_PER_TEAM_MAX=20) as gateway:
        jobs = Jobs(gateway)
        made = []
        while (answer := jobs.submit()).status == 202:
            made.append(answer.json()["id"])
        check_refused(answer, 429, "jobs_full", "rate_limit_error")
        assert answer.header("retry-after") and 10 <= len(made) <= 20
        assert Jobs(gateway, Admin(gateway).new_key(name="o", team="other")["key"]).submit().status == 202
        for job in made:
            jobs.cancel(job)
        wait_until(lambda: jobs.submit().status == 202, 30, "room again")


def test_a_body_over_the_limit_is_refused(shared_upstream):
    with Gateway(shared_upstream.url, JOBS_REQUEST_BYTES_MAX="64KiB") as gateway:
        jobs = Jobs(gateway)
        fits = {**BODY, "messages": [{"role": "user", "content": "x" * 60_000}]}
        over = {**BODY, "messages": [{"role": "user", "content": "x" * 66_000}]}
        assert jobs.submit(request=fits, metadata={"m": "y" * 4000}).status == 202
        check_refused(jobs.submit(request=over), 413, "body_too_large")
        assert jobs.message(body=fits).status == 202
        check_refused(jobs.message(body=over), 413, "body_too_large")
