"""What a key of a team may do, from the moment the command line made it to its end."""

import json
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from support.admin import ADMIN_KEY, cli, sqlite_path
from support.client import request
from support.gateway import KEY, Gateway
from support.keys import made_up_key
from support.ledger import Ledger
from support.resources import EMPTY_LIST, give
from support.timing import seconds, wait_until
from support.upstream import MESSAGE, always, answer

BODY = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[{"role":"user","content":"hi"}]}'
HAIKU = BODY.replace(b"claude-opus-4-8", b"claude-haiku-4-5")
LISTS = (b"/v1/messages/batches?limit=1000", b"/v1/files?limit=1000")
UPLOAD = b"--b\r\n\r\nx\r\n--b--\r\n"
ROUTES = {
    "messages": [("POST", "/v1/messages", BODY)],
    "count_tokens": [("POST", "/v1/messages/count_tokens", BODY)],
    "models": [("GET", "/v1/models", None), ("GET", "/v1/models/claude-opus-4-8", None)],
    "batches": [
        ("POST", "/v1/messages/batches", b"{}"),
        ("GET", "/v1/messages/batches", None),
        ("GET", "/v1/messages/batches/b_1", None),
        ("GET", "/v1/messages/batches/b_1/results", None),
        ("POST", "/v1/messages/batches/b_1/cancel", None),
        ("DELETE", "/v1/messages/batches/b_1", None),
    ],
    "files": [("POST", "/v1/files", UPLOAD), ("GET", "/v1/files", None), ("DELETE", "/v1/files/f_1", None)],
    "skills": [("POST", "/v1/skills", UPLOAD), ("GET", "/v1/skills/s_1", None)],
    "other": [("POST", "/v1/complete", b"{}"), ("GET", "/v1/organizations/me", None)],
}


@pytest.fixture
def run(gateway):
    """One subcommand on the database of the running gateway; the JSON it prints."""
    return lambda *words: cli(gateway.directory, *words, "--json").json


def new_key(run, *words, team="search"):
    made = run("keys", "create", "--name", "test", "--team", team, *words)
    return made["key"], made["id"]


def reason(response):
    return response.json()["error"]["details"]["reason"]


def check_refused(response, status, kind, why):
    told = response.json()["error"]
    assert (response.status, told["type"], told["details"]["reason"]) == (status, kind, why), response.body
    assert response.header("x-should-retry") == "false"
    return told["message"]


def unique(stem, numbers=iter(range(10_000))):
    return f"{stem}-{next(numbers)}"


# Being known.


def test_a_key_made_while_the_gateway_runs_works_at_once(gateway, upstream, run):
    for _ in range(5):
        key, _ = new_key(run)
        began = time.monotonic()
        assert gateway.ask(request(body=BODY, key=key)).status == 200
        assert time.monotonic() - began < seconds(0.5)


def test_either_header_carries_a_key_and_neither_goes_upstream(gateway, upstream, run):
    key, own_id = new_key(run)
    other, _ = new_key(run)
    for headers in (
        [("x-api-key", key)],
        [("authorization", f"Bearer {key}")],
        [("authorization", f"bearer   {key}")],
        [("x-api-key", made_up_key()), ("authorization", f"Bearer {key}")],
        [("x-api-key", key), ("authorization", f"Bearer {made_up_key()}")],
        [("x-api-key", key), ("authorization", f"Bearer {other}")],
        [("authorization", "Bearer nonsense"), ("x-api-key", key)],
    ):
        response = gateway.ask(request(body=BODY, headers=headers, key=None))
        assert response.status == 200, headers
        assert Ledger(gateway).attempt(response)["key_id"] == own_id, headers
    for call in upstream.calls:
        assert call.header("authorization") is None and key.encode() not in call.raw_head


def test_unknown_keys_are_refused_fast_and_in_the_usual_shape(gateway, upstream):
    with gateway.client() as client:
        for key in (made_up_key(), made_up_key()[:-1] + "!", "sk-cp-nobody", "sk-ant-api03-x"):
            began = time.monotonic()
            refused = client.ask(request(body=BODY, key=key))
            assert time.monotonic() - began < seconds(1)
            check_refused(refused, 401, "authentication_error", "credential_invalid")
    assert upstream.calls == []


def test_a_flood_of_made_up_keys_does_not_slow_a_known_one(gateway, upstream, run):
    key, _ = new_key(run)
    assert gateway.ask(request(body=BODY, key=key)).status == 200
    strangers = [gateway.client() for _ in range(100)]
    answers, over = [], threading.Event()

    def flood():
        for _ in range(5):
            for client in strangers:
                client.send(request("GET", "/v1/models", key=made_up_key()))
            answers.extend(client.read_response("GET") for client in strangers)
        over.set()

    began = time.monotonic()
    attacker = threading.Thread(target=flood)
    attacker.start()
    took = []
    with gateway.client() as client:
        while not over.is_set():
            before = time.monotonic()
            assert client.ask(request(body=BODY, key=key)).status == 200
            took.append(time.monotonic() - before)
    attacker.join()
    assert time.monotonic() - began < seconds(5)
    assert len(answers) == 500 and all(reason(refused) == "credential_invalid" for refused in answers)
    assert sorted(took)[len(took) // 2] < seconds(0.02) and max(took) < seconds(0.5), sorted(took)[-5:]
    for client in strangers:
        client.close()


def test_keys_of_administrators_are_not_for_the_public_listener(gateway, upstream, run):
    made = run("keys", "create", "--name", "boss", "--role", "admin")
    for role in ("viewer", "operator"):
        assert run("keys", "create", "--name", "x", "--role", role)["role"] == role
    refused = gateway.ask(request(body=BODY, key=made["key"]))
    check_refused(refused, 403, "permission_error", "permission_denied")
    assert gateway.ask(request(body=BODY, key=ADMIN_KEY)).status in (401, 403)
    mixed = gateway.ask(request(body=BODY, headers=[("authorization", f"Bearer {KEY}")], key=made["key"]))
    assert mixed.status == 200, "the other credential is a good one"
    assert len(upstream.calls) == 1


# The end of a key.


def ends(gateway, key, why, *reasons):
    def refused():
        given = gateway.ask(request(body=BODY, key=key))
        return given if given.status != 200 else None

    began = time.monotonic()
    given = wait_until(refused, 10, f"the end of a key: {why}")
    assert given.status == 401 and reason(given) in (reasons or ["credential_expired"]), given.body
    assert given.header("x-should-retry") == "false"
    return time.monotonic() - began


def test_a_revoked_key_ends_within_the_time_that_is_set(gateway, upstream, run):
    key, own_id = new_key(run)
    assert gateway.ask(request(body=BODY, key=key)).status == 200
    run("keys", "revoke", own_id)
    assert ends(gateway, key, "revoked") < seconds(1)


def test_an_archived_team_takes_its_keys_with_it(gateway, upstream, run):
    team = unique("gone")
    (key, _), (other, _) = new_key(run, team=team), new_key(run)
    assert gateway.ask(request(body=BODY, key=key)).status == 200
    run("teams", "archive", team)
    assert ends(gateway, key, "archived") < seconds(1)
    assert gateway.ask(request(body=BODY, key=other)).status == 200


def test_a_key_expires_by_the_clock(gateway, upstream, run):
    key, _ = new_key(run, "--expires", "1s")
    assert gateway.ask(request(body=BODY, key=key)).status == 200
    ends(gateway, key, "expired")
    later, _ = new_key(run, "--expires", "90d")
    assert gateway.ask(request(body=BODY, key=later)).status == 200


def test_during_a_rotation_both_secrets_work_until_the_overlap_ends(gateway, upstream, run):
    key, own_id = new_key(run)
    second = run("keys", "rotate", own_id, "--overlap", "10m")["key"]
    for each in (key, second):
        response = gateway.ask(request(body=BODY, key=each))
        assert response.status == 200
        assert Ledger(gateway).attempt(response)["key_id"] == own_id
    third = run("keys", "rotate", own_id, "--overlap", "1s")["key"]
    assert gateway.ask(request(body=BODY, key=third)).status == 200
    over = ("credential_expired", "credential_invalid")  # a secret that has ended is forgotten with the next change
    ends(gateway, second, "its overlap", *over)
    run("keys", "rotate", own_id, "--overlap", "0s")
    assert ends(gateway, third, "rotated without an overlap", *over) < seconds(1)


# What a key may.


@pytest.mark.parametrize("scope", ROUTES)
def test_a_scope_opens_its_routes_and_no_others(gateway, upstream, run, scope):
    key, _ = new_key(run, "--scope", scope, team="default")
    team = run("teams", "show", "default")["id"]
    give(gateway, "batch", "b_1", team=team)
    give(gateway, "file", "f_1", team=team)
    lists = always(answer(body=EMPTY_LIST))
    others = upstream.default
    upstream.handler = lambda call, peer: (lists if call.target in LISTS else others)(call, peer)
    with gateway.client() as client:
        for label, routes in ROUTES.items():
            for method, target, body in routes:
                response = client.ask(request(method, target, body, key=key))
                if label == scope:
                    assert response.status == 200, (target, response.body)
                else:
                    told = check_refused(response, 403, "permission_error", "permission_denied")
                    assert f"`{label}`" in told, told
    assert len(upstream.calls) == len(ROUTES[scope])


def test_scopes_add_up_and_a_star_opens_everything(gateway, upstream, run):
    some, _ = new_key(run, "--scope", "messages", "--scope", "models")
    every, _ = new_key(run, "--scope", "*")
    for label, routes in ROUTES.items():
        method, target, body = routes[0]
        assert gateway.ask(request(method, target, body, key=every)).status == 200, label
        expected = 200 if label in ("messages", "models") else 403
        assert gateway.ask(request(method, target, body, key=some)).status == expected, label


@pytest.mark.parametrize("target", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_key_uses_only_models_that_its_own_and_its_teams_patterns_cover(gateway, upstream, run, target):
    team = unique("models")
    run("teams", "create", team, "--model", "claude-haiku-*", "--model", "claude-sonnet-*")
    every, _ = new_key(run, team=team)
    haiku, _ = new_key(run, "--model", "claude-haiku-*", "--model", "claude-opus-*", team=team)
    sonnet = BODY.replace(b"claude-opus-4-8", b"claude-sonnet-4-5")
    may = {(every, HAIKU), (every, sonnet), (haiku, HAIKU)}
    for key in (every, haiku):
        for body in (BODY, HAIKU, sonnet):
            response = gateway.ask(request(target=target, body=body, key=key))
            if (key, body) in may:
                assert response.status == 200, response.body
            else:
                told = check_refused(response, 403, "permission_error", "model_not_allowed")
                assert json.loads(body)["model"] in told
    assert len(upstream.calls) == len(may)


def test_a_budget_that_this_release_cannot_read_lets_nobody_past(gateway, upstream, run):
    key, own_id = new_key(run, "--budget", "50/month")
    other, _ = new_key(run)
    assert gateway.ask(request(body=BODY, key=key)).status == 200
    with closing(sqlite3.connect(sqlite_path(gateway), timeout=seconds(10), isolation_level=None)) as database:
        database.execute("UPDATE budgets SET period = 'quarter' WHERE scope_id = ?", (own_id,))
        database.execute("UPDATE state SET value = CAST(value AS INTEGER) + 1 WHERE name = 'generation'")
    wait_until(lambda: gateway.ask(request(body=BODY, key=key)).status != 200, 10, "the refusal")
    told = check_refused(gateway.ask(request(body=BODY, key=key)), 403, "permission_error", "permission_denied")
    assert "later release" in told and "bud_" in told
    assert gateway.ask(request(body=BODY, key=other)).status == 200
    with closing(sqlite3.connect(sqlite_path(gateway), timeout=seconds(10), isolation_level=None)) as database:
        database.execute("DELETE FROM budgets WHERE scope_id = ?", (own_id,))  # nobody could list budgets


ADVISOR = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-8"}


def test_a_key_is_answered_by_no_model_that_its_patterns_do_not_cover(gateway, upstream, run):
    team = unique("models")
    run("teams", "create", team, "--model", "claude-*")
    haiku, _ = new_key(run, "--model", "claude-haiku-*", team=team)
    every, _ = new_key(run, team=team)
    for name, value in (
        ("fallbacks", [{"model": "claude-haiku-4-5"}, {"max_tokens": 5, "model": "claude-opus-4-8"}]),
        ("tools", [{"name": "x", "input_schema": {}}, ADVISOR]),
        ("messages", [{"role": "user", "content": [{"type": "tool_addition", "tool": ADVISOR}]}]),
        ("fallbacks", "default"),
    ):
        body = json.dumps({**json.loads(HAIKU), name: value}).encode()
        hidden = body.replace(b'"fallbacks"', rb'"f\u0061llbacks"').replace(b'"advisor_2', rb'"\u0061dvisor_2')
        for sent in (body, hidden):
            told = check_refused(
                gateway.ask(request(body=sent, key=haiku)), 403, "permission_error", "model_not_allowed"
            )
            assert ("fallbacks" if value == "default" else "claude-opus-4-8") in told
            assert gateway.ask(request(body=sent, key=every)).status == 200
    own = json.dumps({**json.loads(HAIKU), "fallbacks": [{"model": "claude-haiku-4-4"}]}).encode()
    assert gateway.ask(request(body=own, key=haiku)).status == 200
    assert len(upstream.calls) == 9


def model(name):
    return {"type": "model", "id": name, "display_name": name.upper(), "created_at": "2026-01-01T00:00:00Z"}


def model_list(*names):
    listed = {"data": [model(name) for name in names], "has_more": False, "first_id": names[0], "last_id": names[-1]}
    return json.dumps(listed).encode()


LISTED = ("claude-opus-4-8", "claude-haiku-4-5", "claude-haiku-4-4", "claude-sonnet-4-5")


def test_a_list_of_models_shows_those_that_the_key_may_use(gateway, upstream, run):
    upstream.handler = always(answer(body=model_list(*LISTED)))
    haiku, _ = new_key(run, "--model", "claude-haiku-*")
    none, _ = new_key(run, "--model", "claude-2*")
    told = gateway.ask(request("GET", "/v1/models", key=haiku)).json()
    assert told["data"] == [model("claude-haiku-4-5"), model("claude-haiku-4-4")]
    assert (told["first_id"], told["last_id"], told["has_more"]) == ("claude-haiku-4-5", "claude-haiku-4-4", False)
    empty = gateway.ask(request("GET", "/v1/models", key=none)).json()
    assert (empty["data"], empty["first_id"], empty["last_id"]) == ([], None, None)
    assert gateway.ask(request("GET", "/v1/models")).body == model_list(*LISTED), "untouched for who may use all"


def test_a_model_that_the_key_may_not_use_is_not_there(gateway, upstream, run):
    upstream.handler = lambda call, peer: peer.send(answer(body=json.dumps(model("x")).encode()))
    haiku, _ = new_key(run, "--model", "claude-haiku-*")
    assert gateway.ask(request("GET", "/v1/models/claude-haiku-4-5", key=haiku)).json() == model("x")
    hidden = gateway.ask(request("GET", "/v1/models/claude-opus-4-8", key=haiku))
    assert (hidden.status, hidden.json()["error"]["type"]) == (404, "not_found_error")
    assert gateway.ask(request("GET", "/v1/models/claude-opus-4-8")).status == 200
    assert len(upstream.calls) == 2


def test_the_last_known_list_is_filtered_too(shared_upstream):
    shared_upstream.reset()
    shared_upstream.handler = always(answer(body=model_list(*LISTED)))
    with Gateway(shared_upstream.url) as gateway:

        def listed(key, *words):
            response = gateway.ask(request("GET", "/v1/models?limit=20", key=key))
            assert response.status == 200, response.body
            return [each["id"] for each in response.json()["data"]], response.header("warning") is not None

        words = ["keys", "create", "--name", "n", "--team", "t", "--model", "claude-haiku-*", "--json"]
        haiku = cli(gateway.directory, *words).json["key"]
        few = ["claude-haiku-4-5", "claude-haiku-4-4"]
        assert listed(haiku) == (few, False), "what is remembered is the whole list all the same"
        shared_upstream.handler = lambda call, peer: peer.cut()
        assert listed(haiku) == (few, True)
        assert listed(KEY) == (list(LISTED), True)


def test_a_key_works_only_from_its_addresses(gateway, upstream, run):
    elsewhere, _ = new_key(run, "--ip", "10.0.0.0/8", "--ip", "2001:db8::/32")
    here, _ = new_key(run, "--ip", "10.0.0.0/8", "--ip", "127.0.0.0/8")
    refused = gateway.ask(request(body=BODY, key=elsewhere))
    assert "127.0.0.1" in check_refused(refused, 403, "permission_error", "address_not_allowed")
    spoofed = gateway.ask(request(body=BODY, key=elsewhere, headers=[("x-forwarded-for", "10.0.0.1")]))
    assert reason(spoofed) == "address_not_allowed"
    assert gateway.ask(request(body=BODY, key=here)).status == 200
    assert len(upstream.calls) == 1


def test_what_is_not_accounted_for_is_refused_under_a_hard_budget(gateway, upstream, run):
    unaccounted = [("POST", "/v1/complete", b"{}"), ("POST", "/v1/future", b"{}")]
    free = [
        ("GET", "/v1/messages/batches", None),
        ("GET", "/v1/messages/batches/b_2/results", None),
        ("GET", "/v1/models", None),
        ("POST", "/v1/files", UPLOAD),
        ("GET", "/v1/future", None),
        ("POST", "/v1/messages", BODY),
        ("POST", "/v1/messages/count_tokens", BODY),
    ]
    team = unique("budget")
    hard, _ = new_key(run, "--scope", "*", "--budget", "50/month")
    of_team, _ = new_key(run, "--scope", "*", team=team)
    run("budgets", "set", "--team", team, "50/month")
    soft, own_id = new_key(run, "--scope", "*")
    run("budgets", "set", "--key", own_id, "50/month", "--soft")
    for key in (hard, of_team):
        for method, target, body in unaccounted:
            response = gateway.ask(request(method, target, body, key=key))
            assert "hard" in check_refused(response, 403, "permission_error", "permission_denied")
    assert upstream.calls == []
    give(gateway, "batch", "b_2", team=run("teams", "show", "search")["id"])
    lists = always(answer(body=EMPTY_LIST))
    others = upstream.default
    upstream.handler = lambda call, peer: (lists if call.target in LISTS else others)(call, peer)
    for method, target, body in free:
        assert gateway.ask(request(method, target, body, key=hard)).status == 200, target
    for method, target, body in unaccounted:
        assert gateway.ask(request(method, target, body, key=soft)).status == 200, target


def test_the_upstreams_limits_are_replaced_by_the_callers_own(gateway, upstream, run):
    theirs = [
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
        ("Anthropic-RateLimit-Tokens-Remaining", "1"),
        ("anthropic-priority-input-tokens-limit", "7"),
        ("anthropic-fast-input-tokens-limit", "7"),
    ]
    passed = [
        ("anthropic-ratelimit-unified-status", "allowed"),
        ("anthropic-ratelimit-unified-5h-reset", "1798761600"),
        ("anthropic-organization-id", "org_1"),
        ("retry-after", "7"),
    ]
    limited, _ = new_key(run, "--rpm", "60", "--itpm", "100000")
    for status in (200, 429):
        upstream.handler = always(answer(status, headers=[*theirs, *passed], body=MESSAGE))
        plain = gateway.ask(request(body=BODY))
        for name, _ in theirs:
            assert plain.all(name) == [], name
        with_own = gateway.ask(request(body=BODY, key=limited))
        for response in (plain, with_own):
            assert [(name, response.header(name)) for name, _ in passed] == passed
        assert with_own.header("anthropic-ratelimit-requests-limit") == "60"
        assert 0 <= int(with_own.header("anthropic-ratelimit-requests-remaining")) < 60
        assert with_own.header("anthropic-ratelimit-requests-reset").endswith("Z")
        assert with_own.header("anthropic-ratelimit-input-tokens-limit") == "100000"
        assert with_own.all("anthropic-priority-input-tokens-limit") == []


def test_a_limit_refuses_with_the_time_to_wait(gateway, upstream, run):
    key, _ = new_key(run, "--rpm", "2")
    answers = [gateway.ask(request(body=BODY, key=key)) for _ in range(3)]
    assert [each.status for each in answers] == [200, 200, 429]
    refused = answers[-1]
    assert (refused.json()["error"]["type"], reason(refused)) == ("rate_limit_error", "requests_per_minute")
    assert int(refused.header("retry-after")) >= 1 and refused.header("x-should-retry") is None
    assert refused.header("anthropic-ratelimit-requests-remaining") == "0"
    assert Ledger(gateway).refusal(refused)["reason"] == "requests_per_minute"
    assert gateway.ask(request("GET", "/v1/models", key=key)).status == 200, "only messages are counted"
    assert len(upstream.calls) == 3
