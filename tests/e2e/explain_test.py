"""One request id tells the whole story, by the API and by the command line: who, what, which attempts, at what price,
or why refused.
"""

import json

import pytest

from support import load, truth
from support.client import request
from support.cluster import Cluster, Database
from support.timing import seconds


def ask_bytes(key, tag, stream=False, model="claude-haiku-4-5", fault=None, output=200):
    body = {
        "model": model,
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "Explain yourself."}],
        "metadata": {"user_id": "user-of-" + tag},
    }
    if stream:
        body["stream"] = True
    headers = [("anthropic-version", "2023-06-01"), ("user-agent", tag), ("x-sim-output-tokens", str(output))]
    if fault:
        headers.append(("x-sim-fault", fault))
    return request(body=json.dumps(body).encode(), headers=headers, key=key)


@pytest.fixture
def cluster(simulator, postgres, pgbouncer):
    with Cluster(simulator.url, Database.postgres(postgres, pgbouncer), 2) as cluster:
        yield cluster


def explained(cluster, answer):
    """By both replicas' API and by the command line, which say the same."""
    cluster.wait_for_ledger()
    own_id = answer.header("x-claude-proxy-request-id")
    told = cluster.admin(0).ok("GET", f"requests/{own_id}")
    assert told == cluster.admin(1).ok("GET", f"requests/{own_id}")
    assert told == cluster.cli("requests", "show", own_id, "--json").json
    text = cluster.cli("requests", "show", own_id).out
    assert own_id in text
    return told, text


def ask(cluster, *arguments, leave_after=None, **options):
    caller = load.Caller(cluster.ports[0])
    return load.run(caller.ask(ask_bytes(*arguments, **options), leave_after=leave_after), seconds(30))


def test_a_request_is_explained_by_its_id(cluster, simulator):
    """Goal: for a served, a repeated, an estimated and a refused request the id alone finds everything.

    Method: one of each on replica 0; the explanation of both replicas and of the command line is compared with the
    simulator's ledger.
    """
    admin = cluster.admin()
    made = admin.new_key(name="asker", team="curious", tags=["nightly", "beta"])
    key = made["key"]

    served = ask(cluster, key, "served")
    truth.control(simulator, "POST", "/sim/faults", b'{"fault":"overload-in-stream=first","count":1}')
    repeated = ask(cluster, key, "repeated", stream=True)
    left = ask(cluster, key, "left", stream=True, fault="event-interval=20", leave_after=1500)
    assert (served.status, repeated.status, left.status) == (200, 200, 200) and left.left
    billed = {}
    cluster.wait_for_ledger()
    for row in truth.simulator_rows(simulator):
        billed.setdefault(row["headers"]["user-agent"], []).append(row)

    told, text = explained(cluster, served)
    (attempt,) = told["attempts"]
    assert told["refusal"] is None and told["cost_pico"] == attempt["cost_pico"] == truth.true_cost(billed["served"][0])
    assert (attempt["outcome"], attempt["status"]) == ("complete", 200)
    assert (attempt["team"], attempt["key_name"], attempt["key_id"]) == ("curious", "asker", made["id"])
    assert sorted(attempt["tags"]) == ["beta", "nightly"] and attempt["price_table"]
    details = attempt["details"]
    assert details["upstream_request_id"] == billed["served"][0]["request_id"] == served.header("request-id")
    assert details["message_id"] == billed["served"][0]["message_id"] == served.json()["id"]
    assert (details["subject"], details["model_asked"], details["stop_reason"]) == (
        "user-of-served",
        "claude-haiku-4-5",
        served.json()["stop_reason"],
    )
    assert details["hold_pico"] >= attempt["cost_pico"] and details["total_us"] > 0 and "stream" not in details
    assert "curious" in text and "complete" in text

    told, text = explained(cluster, repeated)
    first, second = told["attempts"]
    assert (first["outcome"], second["outcome"]) == ("failed", "complete") and first["cost_pico"] == 0
    assert first["details"]["reason"] == "upstream_error_event" and second["details"]["stream"] is True
    assert [row["details"]["upstream_request_id"] for row in (first, second)] == [
        row["request_id"] for row in billed["repeated"]
    ]
    assert told["cost_pico"] == truth.true_cost(billed["repeated"][1])

    told, text = explained(cluster, left)
    (attempt,) = told["attempts"]
    assert attempt["outcome"] == "estimated" and attempt["details"]["reason"] == "client_left"
    (true,) = map(truth.true_cost, billed["left"])
    assert attempt["cost_low_pico"] <= true <= attempt["cost_high_pico"]
    assert 0.5 * true <= attempt["cost_pico"] <= 1.5 * true, "what was seen tells nearly what was billed"
    assert "estimated" in text and "client_left" in text
    print(f"\nwho left was billed {true / 1e12:.9f} dollars; the estimate is {attempt['cost_pico'] / 1e12:.9f}")

    report = admin.get("usage", team="curious").json["totals"]
    assert report["attempts"] == 4 and report["cost_low_pico"] <= sum(
        truth.true_cost(row) for rows in billed.values() for row in rows
    ) <= report["cost_high_pico"]


def test_a_refusal_is_explained_by_its_id(cluster, simulator):
    """Goal: who was refused learns why from the id in the answer: limit, budget, scope, model."""
    admin = cluster.admin()
    limited = admin.new_key(name="limited", team="bound", requests_per_minute=1)
    poor = admin.new_key(name="poor", team="bound", budgets=["0.000001/month"])
    narrow = admin.new_key(name="narrow", team="bound", scopes=["count_tokens"])
    picky = admin.new_key(name="picky", team="bound", models=["claude-opus-*"])
    assert ask(cluster, limited["key"], "first").status == 200
    cases = {
        "limited": (limited, 429, "rate_limit_error", "requests_per_minute"),
        "poor": (poor, 429, "billing_error", "budget_exhausted"),
        "narrow": (narrow, 403, "permission_error", "permission_denied"),
        "picky": (picky, 403, "permission_error", "model_not_allowed"),
    }
    for name, (key, status, kind, reason) in cases.items():
        answer = ask(cluster, key["key"], name)
        assert (answer.status, answer.json()["error"]["type"], answer.reason) == (status, kind, reason)
        assert answer.header("request-id") == answer.header("x-claude-proxy-request-id") == answer.json()["request_id"]
        told, text = explained(cluster, answer)
        refusal = told["refusal"]
        assert told["attempts"] == [] and told["cost_pico"] == 0
        assert (refusal["status"], refusal["reason"]) == (status, reason)
        assert (refusal["team"], refusal["key_name"], refusal["key_id"]) == ("bound", name, key["id"])
        assert refusal["details"]["detail"] == answer.json()["error"]["message"]
        assert reason in text and answer.json()["error"]["message"][:40] in text
        print(f"\n{name}: {refusal['details']['detail']}", end="")
    print()
    assert {row["headers"]["user-agent"] for row in truth.simulator_rows(simulator)} == {"first"}, "nothing was sent"
    unknown = admin.get("requests/req_cp_000000000000000000000000")
    assert (unknown.status, unknown.reason) == (404, "not_found")
