"""Callers' batches are accounted for: held when they are made, settled result by result, whoever fetches them."""

import json
import signal

import pytest

from support.admin import cli
from support.client import Client, request
from support.gateway import CREDENTIAL, Gateway, Simulator
from support.resources import (
    SETTINGS,
    VERSION,
    Team,
    batch_of,
    batch_row,
    calls,
    check_missing,
    item,
    last_call,
    ledger_of,
    query,
    settled,
)
from support.truth import MILLION, price_of, tokens_of
from support.upstream import MESSAGE, Upstream, answer

PLAIN = request(body=b'{"model":"claude-haiku-4-5","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}')


@pytest.fixture(scope="module")
def simulator():
    simulator = Simulator("--listen", "127.0.0.1:0", "--strict", "--api-key", CREDENTIAL, "--batch-delay-ms", "0")
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def through(simulator):
    gateway = Gateway(simulator.url, **SETTINGS)
    yield gateway
    gateway.stop()


def batch_truth(simulator, batch_id):
    rows = [row for row in calls(simulator) if row["method"] == "BATCH"]
    return {row["custom_id"]: row for row in rows if row["batch_id"] == batch_id}


def check_bill(gateway, simulator, made, team, count):
    """Every result that was billed is one row of the ledger, at half the price, to the token and the pico-dollar."""
    own_id = made.header("x-claude-proxy-request-id")
    truth = batch_truth(simulator, made.json()["id"])
    rows = ledger_of(gateway, own_id)
    assert len(rows) == len(truth) == count
    total = 0
    for row in rows:
        custom_id = row["attempt_id"].partition(":")[2].rpartition(".")[0]
        billed = truth[custom_id]
        tokens = tuple(
            row[name]
            for name in (
                "input_tokens",
                "cache_write_5m_tokens",
                "cache_write_1h_tokens",
                "cache_read_tokens",
                "output_tokens",
            )
        )
        assert tokens == tokens_of(billed)
        cost = price_of(billed["model"], tokens) // 2
        assert row["cost_pico"] == row["cost_low_pico"] == row["cost_high_pico"] == cost > 0
        assert (row["outcome"], row["status"], row["model"]) == ("complete", 200, billed["model"])
        assert (row["team_id"], row["key_id"]) == (team.id, team.key_id)
        details = json.loads(row["details"])
        assert (details["route"], details["message_id"]) == ("batches", billed["message_id"])
        assert details["upstream_request_id"] == made.json()["id"]
        total += cost
    spent = query(gateway, "SELECT SUM(spent_pico) AS all_of_it FROM spend_daily WHERE scope_id = ?", team.key_id)
    assert spent[0]["all_of_it"] == total
    return total


def test_results_are_in_the_ledger_without_anybody_fetching_them(through, simulator):
    team = Team(through)
    made = team.batch(1_203)
    settled(through, made)
    check_bill(through, simulator, made, team, 1_203)
    assert cli(through.directory, "usage", "--team", team.name, "--json").json["totals"]["attempts"] == 1_203


def test_what_did_not_succeed_costs_nothing(through, simulator):
    team = Team(through)
    made = team.ask(
        "POST", "/v1/messages/batches", {"requests": [item("good"), item("bad", max_tokens=0), item("odd", messages=5)]}
    )
    settled(through, made)
    check_bill(through, simulator, made, team, 1)
    cancelled = Team(through)
    made = cancelled.batch(3, delay_ms=60_000)
    assert cancelled.ask("POST", f"/v1/messages/batches/{made.json()['id']}/cancel").status == 200
    settled(through, made)
    assert ledger_of(through, made.header("x-claude-proxy-request-id")) == []


def jobs_leases(gateway):
    rows = query(gateway, "SELECT * FROM budget_leases WHERE replica = 'jobs'")
    return {row["budget_id"]: row["granted_pico"] for row in rows}


def test_a_hard_budget_holds_a_batch_until_its_results_are_settled(through, simulator):
    team = Team(through, "--budget", "1/month")
    budget = query(through, "SELECT id FROM budgets WHERE scope_id = ?", team.key_id)[0]["id"]
    made = team.batch(2, delay_ms=600_000, max_tokens=10_000)
    row = batch_row(through, made.header("x-claude-proxy-request-id"))
    (held,) = json.loads(row["holds"])
    assert held["budget"] == budget and held["amount"] > 2 * 10_000 * 25 * MILLION // 2
    assert jobs_leases(through)[budget] == held["amount"]
    # What is held is gone for others: a second one of 0.75 dollars does not fit.
    refused = team.ask("POST", "/v1/messages/batches", batch_of(6, max_tokens=10_000))
    assert refused.status == 429 and refused.json()["error"]["details"]["reason"].startswith("budget_"), refused.body
    assert team.ask("POST", f"/v1/messages/batches/{made.json()['id']}/cancel").status == 200
    assert json.loads(settled(through, made)["holds"]) == []
    assert jobs_leases(through).get(budget, 0) == 0
    again = team.batch(6, max_tokens=10_000)
    settled(through, again)
    check_bill(through, simulator, again, team, 6)
    assert jobs_leases(through).get(budget, 0) == 0


def test_a_batch_that_costs_too_much_is_refused_and_never_sent(through, simulator):
    team = Team(through, "--budget", "0.10/month")
    before = last_call(simulator)
    refused = team.ask("POST", "/v1/messages/batches", batch_of(2, max_tokens=100_000))
    assert (refused.status, refused.json()["error"]["details"]["reason"]) == (429, "budget_exhausted")
    assert not [row for row in calls(simulator, before) if row["method"] == "POST"]
    assert query(through, "SELECT id FROM batches WHERE team_id = ?", team.id) == []


def test_a_batch_that_the_upstream_refuses_holds_nothing(through):
    team = Team(through, "--budget", "1/month")
    refused = team.ask("POST", "/v1/messages/batches", {"requests": [item("a"), item("a")]})
    assert refused.status == 400 and "duplicate custom_id" in refused.json()["error"]["message"]
    row = settled(through, refused, "failed")
    assert row["holds"] == "[]" and row["upstream_id"] is None


def posts(simulator, since):
    rows = [row for row in calls(simulator, since) if row["method"] == "POST"]
    return [row for row in rows if row["path"] == "/v1/messages/batches"]


def reason(answer):
    return answer.json()["error"]["details"]["reason"]


def test_a_create_that_is_repeated_under_its_key_makes_one_batch(through, simulator):
    team, other = Team(through), Team(through)
    key = [("Idempotency-Key", "once")]
    before = last_call(simulator)
    first = team.ask("POST", "/v1/messages/batches", batch_of(2), key)
    again = team.ask("POST", "/v1/messages/batches", batch_of(2), key)
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert again.header("x-claude-proxy-replay-of") == first.header("x-claude-proxy-request-id")
    assert len(posts(simulator, before)) == 1
    changed = team.ask("POST", "/v1/messages/batches", batch_of(3), key)
    assert (changed.status, reason(changed)) == (409, "idempotency_conflict")
    assert len(posts(simulator, before)) == 1
    assert other.ask("POST", "/v1/messages/batches", batch_of(2), key).json()["id"] != first.json()["id"]
    settled(through, first)
    check_bill(through, simulator, first, team, 2)


def test_creates_at_the_same_time_under_one_key_make_one_batch(through, simulator):
    team = Team(through)
    fields = [*VERSION, ("content-type", "application/json"), ("Idempotency-Key", "twins")]
    create = request("POST", "/v1/messages/batches", json.dumps(batch_of(2)).encode(), fields, key=team.key)
    before = last_call(simulator)
    clients = [through.client() for _ in range(20)]
    for client in clients:
        client.send(create)
    answers = [client.read_response() for client in clients]
    assert [answer.status for answer in answers] == [200] * 20 and len({answer.body for answer in answers}) == 1
    assert len(posts(simulator, before)) == 1
    for client in clients:
        client.close()


def test_a_create_that_failed_may_be_repeated_and_one_in_doubt_may_not(through, simulator):
    team = Team(through)
    twice = {"requests": [item("a"), item("a")]}
    before = last_call(simulator)
    for _ in range(2):
        assert team.ask("POST", "/v1/messages/batches", twice, [("Idempotency-Key", "wrong")]).status == 400
    assert len(posts(simulator, before)) == 2, "what certainly made none is asked anew"
    at_create = {"path": "/v1/messages/batches", "method": "POST"}

    def arm(fault):
        with Client(simulator.port) as client:
            told = json.dumps({"fault": fault, "count": 1, "match": at_create}).encode()
            assert client.ask(request("POST", "/sim/faults", told, key=None)).status == 200

    arm("status=529")
    busy = [("Idempotency-Key", "busy")]
    assert team.ask("POST", "/v1/messages/batches", batch_of(2), busy).status == 529
    settled(through, team.ask("POST", "/v1/messages/batches", batch_of(2), busy))
    arm("cut-at-byte=10")
    before = last_call(simulator)
    lost = team.ask("POST", "/v1/messages/batches", batch_of(2), [("Idempotency-Key", "lost")])
    assert (lost.status, reason(lost)) == (502, "upstream_cut")
    for _ in range(2):
        refused = team.ask("POST", "/v1/messages/batches", batch_of(2), [("Idempotency-Key", "lost")])
        assert (refused.status, reason(refused)) == (409, "idempotency_conflict")
        assert "may exist" in refused.json()["error"]["message"]
        assert refused.header("x-should-retry") == "false"
    assert len(posts(simulator, before)) == 1
    settled(through, lost)


def test_making_a_batch_counts_as_one_request_and_as_no_tokens(through, simulator):
    team = Team(through, "--rpm", "2", "--itpm", "1")
    key = [("Idempotency-Key", "counted")]
    first = team.ask("POST", "/v1/messages/batches", batch_of(5), key)
    assert (first.status, first.header("anthropic-ratelimit-requests-remaining")) == (200, "1")
    assert team.ask("POST", "/v1/messages/batches", batch_of(5), key).status == 200, "said again it is not one more"
    assert team.batch(3).header("anthropic-ratelimit-requests-remaining") == "0"
    before = last_call(simulator)
    refused = team.ask("POST", "/v1/messages/batches", batch_of(1))
    assert (refused.status, reason(refused)) == (429, "requests_per_minute") and int(refused.header("retry-after")) >= 1
    assert posts(simulator, before) == []


def test_every_model_of_a_batch_must_be_allowed(through, simulator):
    team = Team(through, "--model", "claude-haiku-*")
    before = last_call(simulator)
    refused = team.ask(
        "POST", "/v1/messages/batches", {"requests": [item("a", model="claude-haiku-4-5"), item("b")]}
    )
    assert (refused.status, refused.json()["error"]["details"]["reason"]) == (403, "model_not_allowed")
    assert "requests.1" in refused.json()["error"]["message"]
    advised = item("b", model="claude-haiku-4-5")
    advised["params"]["tools"] = [{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-8"}]
    refused = team.ask("POST", "/v1/messages/batches", {"requests": [item("a", model="claude-haiku-4-5"), advised]})
    assert (refused.status, refused.json()["error"]["details"]["reason"]) == (403, "model_not_allowed")
    for body, reason in (
        (b'{"requests":[{"params":{"model":"claude-haiku-4-5","m\\u006fdel":"x"}}]}', "duplicate_field"),
        (b'{"requests":[{"custom_id":"a","params":{},"params":{}}]}', "duplicate_field"),
        (b'{"requests":[],"requests":[]}', "duplicate_field"),
        (b'{"requests":[1]}', "invalid_json"),
        (b"[]", "invalid_json"),
    ):
        refused = team.ask("POST", "/v1/messages/batches", body)
        assert (refused.status, refused.json()["error"]["details"]["reason"]) == (400, reason), body
    assert not [row for row in calls(simulator, before) if row["method"] == "POST"]


def test_a_batch_is_settled_before_it_is_deleted(through, simulator):
    slow = Gateway(simulator.url, **{**SETTINGS, "BATCH_LOOK_FIRST": "1h"})
    with slow as gateway:
        team = Team(gateway)
        made = team.batch(3)
        target = f"/v1/messages/batches/{made.json()['id']}"
        own_id = made.header("x-claude-proxy-request-id")
        assert batch_row(gateway, own_id)["state"] == "open", "nobody looks for an hour"
        assert team.ask("DELETE", target).status == 200
        assert batch_row(gateway, own_id)["state"] == "settled"
        check_bill(gateway, simulator, made, team, 3)
        check_missing(team, simulator, "GET", target)
        running = team.batch(1, delay_ms=600_000)
        refused = team.ask("DELETE", f"/v1/messages/batches/{running.json()['id']}")
        assert refused.status == 400 and "still processing" in refused.json()["error"]["message"]


def test_a_batch_that_was_deleted_past_the_gateway_is_told_as_lost(simulator):
    with Gateway(simulator.url, **{**SETTINGS, "BATCH_LOOK_FIRST": "1h"}) as gateway:
        team = Team(gateway, "--budget", "1/month")
        made = team.batch(2)
        own_id, target = made.header("x-claude-proxy-request-id"), f"/v1/messages/batches/{made.json()['id']}"
        bound = batch_row(gateway, own_id)["bound_pico"]
        with Client(simulator.port) as client:
            assert client.ask(request("DELETE", target, None, VERSION, key=CREDENTIAL)).status == 200
        assert team.ask("DELETE", target).status == 404, "the gateway looks first, and then asks the upstream"
        row = settled(gateway, own_id, "failed")
        assert row["holds"] == "[]" and jobs_leases(gateway).get(team.key_id, 0) == 0
        (lost,) = query(gateway, "SELECT * FROM attempts WHERE attempt_id = ?", own_id + ".1")
        assert (lost["outcome"], lost["cost_pico"], lost["cost_high_pico"]) == ("lost", 0, bound)


def test_the_results_of_a_batch_are_read_again_when_they_were_cut(through, simulator):
    team = Team(through)
    fault = {"fault": "cut-at-byte=20000", "count": 2, "match": {"path": "/v1/messages/batches/*", "method": "GET"}}
    made = team.batch(60, delay_ms=300)
    with Client(simulator.port) as client:
        assert client.ask(request("POST", "/sim/faults", json.dumps(fault).encode(), key=None)).status == 200
    settled(through, made)
    check_bill(through, simulator, made, team, 60)


class OneWorkspace:
    """An upstream whose only batch is seen by the credential that made it. `at_look` runs before a look is answered."""

    def __init__(self, at_look):
        self.made_by = None
        self.looks = []
        self.was_read = False
        self.at_look = at_look

    def __call__(self, call, peer):
        target, credential = call.target.decode(), call.header("x-api-key")
        if not target.startswith("/v1/messages/batches"):
            return peer.send(answer(body=MESSAGE))
        is_look = call.method == b"GET" and not target.endswith("/results")
        if call.method == b"POST":
            self.made_by = credential
        elif is_look:
            self.looks.append(credential)
            self.at_look()
        if credential != self.made_by:
            return peer.send(answer(404, body=b'{"type":"error","error":{"type":"not_found_error","message":"?"}}'))
        if target.endswith("/results"):
            self.was_read = True
            result = {"custom_id": "item-0", "result": {"type": "succeeded", "message": json.loads(MESSAGE)}}
            return peer.send(answer(body=json.dumps(result).encode() + b"\n"))
        counts = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}
        batch = {"id": "msgbatch_011W", "type": "message_batch", "processing_status": "ended", "request_counts": counts,
                 "created_at": "2026-11-25T00:00:00Z", "expires_at": "2026-11-26T00:00:00Z", "ended_at": None,
                 "results_url": "https://api.anthropic.com/v1/messages/batches/msgbatch_011W/results"}  # fmt: skip
        return peer.send(answer(body=json.dumps(batch).encode()))


def batch_of_one_is_complete(gateway, upstream):
    made = gateway.ask(request("POST", "/v1/messages/batches", json.dumps(batch_of(1)).encode()))
    assert made.status == 200, made.body
    settled(gateway, made)
    assert upstream.made_by in upstream.looks and upstream.was_read
    (row,) = ledger_of(gateway, made.header("x-claude-proxy-request-id"))
    assert row["outcome"] == "complete"


@pytest.mark.parametrize("others_first", [0, 1])
def test_a_batch_is_looked_for_with_every_credential_whatever_else_goes_on(others_first):
    """Two credentials of two workspaces, and a message between any two looks, which takes a credential, too."""
    first, second = "sk-ant-api03-first-workspace", "sk-ant-api03-second-workspace"
    with Upstream() as upstream:
        workspace = upstream.handler = OneWorkspace(lambda: gateway.ask(PLAIN))
        settings = {**SETTINGS, "ANTHROPIC_API_KEY": f"{first},{second}", "THREADS": "1"}
        with Gateway(upstream.url, **settings) as gateway:
            for _ in range(others_first):
                assert gateway.ask(PLAIN).status == 200
            batch_of_one_is_complete(gateway, workspace)


def test_a_batch_is_not_lost_when_credentials_change_while_it_is_looked_for():
    """The key of its workspace stays, in a list that has become shorter after the others said: not ours."""
    old, new, its_own = (f"sk-ant-api03-workspace-{name}" for name in ("that-goes", "that-stays", "of-the-batch"))
    rotated = []

    def rotate():
        if len(workspace.looks) == 2 and not rotated:
            rotated.append(True)
            gateway.write(".env", f"ANTHROPIC_API_KEY={new},{its_own}\n")
            gateway.signal(signal.SIGHUP)
            gateway.wait_event(lambda event: event.get("event") == "secrets_read", what="secrets_read")

    with Upstream() as upstream:
        workspace = upstream.handler = OneWorkspace(rotate)
        files = {".env": f"ANTHROPIC_API_KEY={old},{new},{its_own}\n"}
        with Gateway(upstream.url, files=files, **{**SETTINGS, "ANTHROPIC_API_KEY": None, "THREADS": "1"}) as gateway:
            for _ in range(2):  # so that the third makes the batch
                assert gateway.ask(PLAIN).status == 200
            batch_of_one_is_complete(gateway, workspace)
            assert workspace.made_by == its_own and rotated
