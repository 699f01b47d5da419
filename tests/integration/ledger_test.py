"""The ledger of real requests: a row an attempt, exact to the pico-dollar, and the reports that add it up."""

import csv
import io
import json

import pytest

from support import sse
from support.admin import Admin, cli
from support.client import request
from support.gateway import DEFAULTS, Gateway
from support.ledger import Ledger
from support.resources import give
from support.servers import free_port
from support.upstream import MESSAGE, always, answer, in_turn

PLAIN = b'{"model":"claude-opus-4-8","max_tokens":1000,"messages":[{"role":"user","content":"hi"}]}'
ASK_JSON = request(body=PLAIN)
ASK = request(body=PLAIN.replace(b'"max_tokens"', b'"stream":true,"max_tokens"'))

# Pico-dollars a token of claude-opus-4-8.
INPUT, WRITE_5M, WRITE_1H, READ, OUTPUT = 5_000_000, 6_250_000, 10_000_000, 500_000, 25_000_000
SEARCH = 10_000_000_000
STREAM_COST, MESSAGE_COST = 412 * INPUT + 3072 * READ + 97 * OUTPUT, 12 * INPUT + 5 * OUTPUT
COSTS = ("cost_low_pico", "cost_pico", "cost_high_pico")


@pytest.fixture
def ledger(gateway):
    return Ledger(gateway)


def cost_of(row):
    """Of a row whose cost is certain."""
    assert row["cost_low_pico"] == row["cost_pico"] == row["cost_high_pico"], row
    return row["cost_pico"]


def message(**members):
    return json.dumps({**json.loads(MESSAGE), **members}).encode()


def test_an_answer_is_one_row_with_its_tokens_and_cost(gateway, upstream, ledger):
    upstream.handler = lambda call, peer: peer.stream(sse.short_stream()).end()
    row = ledger.attempt(gateway.ask(ASK))
    assert (row["outcome"], row["status"], cost_of(row)) == ("complete", 200, STREAM_COST)
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) == (412, 3072, 97)
    assert (row["team_id"], row["key_id"], row["model"]) == ("default", "static-1", "claude-opus-4-8")
    assert row["started_at"] <= row["finished_at"]
    details = row["details"]
    assert (details["route"], details["stream"], details["message_id"]) == ("messages", True, "msg_01Ab")
    assert (details["stop_reason"], details["upstream_request_id"]) == ("end_turn", "req_upstream_1")
    assert details["hold_pico"] >= STREAM_COST - 3072 * READ and "unknown_model" not in details
    upstream.handler = always(answer(body=MESSAGE))
    assert cost_of(ledger.attempt(gateway.ask(ASK_JSON))) == MESSAGE_COST


def test_every_class_of_tokens_has_its_price(gateway, upstream, ledger):
    usage = {
        "input_tokens": 11,
        "cache_creation_input_tokens": 50,
        "cache_read_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
        "output_tokens": 3,
        "server_tool_use": {"web_search_requests": 2},
        "service_tier": "standard",
    }
    upstream.handler = always(answer(body=message(usage=usage)))
    row = ledger.attempt(gateway.ask(ASK_JSON))
    assert cost_of(row) == 11 * INPUT + 20 * WRITE_5M + 30 * WRITE_1H + 7 * READ + 3 * OUTPUT + 2 * SEARCH
    assert (row["cache_write_5m_tokens"], row["cache_write_1h_tokens"], row["web_searches"]) == (20, 30, 2)
    upstream.handler = always(answer(body=message(usage={**usage, "service_tier": "batch", "server_tool_use": None})))
    half = ledger.attempt(gateway.ask(ASK_JSON))
    assert cost_of(half) * 2 == 11 * INPUT + 20 * WRITE_5M + 30 * WRITE_1H + 7 * READ + 3 * OUTPUT


def test_the_model_of_the_answer_is_priced(gateway, upstream, ledger):
    upstream.handler = always(answer(body=message(model="claude-haiku-4-5-20251001")))
    row = ledger.attempt(gateway.ask(ASK_JSON))
    assert (row["model"], row["details"]["model_asked"]) == ("claude-haiku-4-5-20251001", "claude-opus-4-8")
    assert cost_of(row) == 12 * 1_000_000 + 5 * 5_000_000


@pytest.mark.parametrize("name", ["claude-opus-99", "somebody-elses-model"])
def test_a_model_without_a_price_is_flagged_and_never_too_cheap(gateway, upstream, ledger, name):
    upstream.handler = always(answer(body=message(model=name)))
    row = ledger.attempt(gateway.ask(ASK_JSON))
    assert row["model"] == name and row["details"]["unknown_model"] is True
    assert cost_of(row) >= MESSAGE_COST


def test_each_attempt_of_a_retry_has_a_row(gateway, upstream, ledger):
    upstream.handler = in_turn(
        lambda call, peer: peer.stream(sse.message_start() + sse.error()).end(),
        lambda call, peer: peer.stream(sse.short_stream()).end(),
    )
    response = gateway.ask(ASK)
    assert response.body == sse.short_stream()
    failed, complete = ledger.attempts(response, 2)
    assert (failed["outcome"], cost_of(failed), failed["input_tokens"]) == ("failed", 0, 0)
    assert failed["details"]["reason"] == "upstream_error_event"
    assert (complete["outcome"], cost_of(complete)) == ("complete", STREAM_COST)
    assert failed["finished_at"] <= complete["started_at"]
    told = Admin(gateway).ok("GET", "requests/" + response.header("x-claude-proxy-request-id"))
    assert [attempt["outcome"] for attempt in told["attempts"]] == ["failed", "complete"]
    assert told["cost_pico"] == STREAM_COST


def test_an_error_that_stays_has_two_free_rows(gateway, upstream, ledger):
    upstream.handler = lambda call, peer: peer.stream(sse.preamble() + sse.error()).end()
    response = gateway.ask(ASK)
    assert response.status == 529
    for row in ledger.attempts(response, 2):
        assert (row["outcome"], cost_of(row)) == ("failed", 0)


@pytest.mark.parametrize("budget, repeated", [("0.03", False), ("0.10", True)])
def test_a_billed_attempt_is_repeated_where_a_hard_budget_pays_for_both(gateway, upstream, ledger, budget, repeated):
    # One attempt may cost 0.03 dollars at most: 1,000 tokens of output, and some of input.
    key = Admin(gateway).new_key(name="small", team="small", budgets=[budget + "/total"])
    upstream.handler = in_turn(
        lambda call, peer: (peer.stream(sse.message_start()), peer.cut()),
        lambda call, peer: peer.stream(sse.short_stream()).end(),
    )
    body = PLAIN.replace(b'"max_tokens":1000', b'"stream":true,"max_tokens":900')
    response = gateway.ask(request(body=body, key=key["key"]))
    assert response.status == (200 if repeated else 502), response.body
    cut, *others = ledger.attempts(response, 2 if repeated else 1)
    assert (cut["outcome"], cut["input_tokens"]) == ("estimated", 412) and cut["cost_pico"] > 0
    assert [cost_of(row) for row in others] == [STREAM_COST] * repeated
    assert len(upstream.calls) == 1 + repeated


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 503, 529])
def test_an_error_status_costs_nothing(gateway, upstream, ledger, status):
    body = b'{"type":"error","error":{"type":"api_error","message":"no"},"usage":{"input_tokens":9,"output_tokens":9}}'
    upstream.handler = always(answer(status, body=body))
    for ask in (ASK, ASK_JSON):
        response = gateway.ask(ask)
        row = ledger.attempt(response)
        assert (response.status, row["status"], row["outcome"]) == (status, status, "failed")
        assert cost_of(row) == 0 and row["output_tokens"] == row["input_tokens"] == 0


def test_an_upstream_that_cannot_be_reached_costs_nothing():
    with Gateway(f"http://127.0.0.1:{free_port()}") as gateway:
        response = gateway.ask(ASK_JSON)
        assert response.status == 502
        for row in Ledger(gateway).attempts(response, 2):
            assert (row["status"], row["outcome"], cost_of(row)) == (0, "failed", 0)
            assert row["details"]["reason"] == "upstream_connect_failed"


def test_a_refusal_before_any_output_is_not_billed(gateway, upstream, ledger):
    refused = sse.message_start() + sse.ending(output_tokens=1, stop_reason="refusal")
    upstream.handler = lambda call, peer: peer.stream(refused).end()
    row = ledger.attempt(gateway.ask(ASK))
    assert (row["outcome"], cost_of(row), row["details"]["stop_reason"]) == ("complete", 0, "refusal")
    assert row["input_tokens"] == 412, "the tokens are shown all the same"
    usage = {"input_tokens": 33, "output_tokens": 0}
    upstream.handler = always(answer(body=message(stop_reason="refusal", content=[], usage=usage)))
    row = ledger.attempt(gateway.ask(ASK_JSON))
    assert (row["outcome"], cost_of(row), row["input_tokens"]) == ("complete", 0, 33)


def test_a_refusal_in_the_middle_is_billed_as_far_as_it_came(gateway, upstream, ledger):
    begun = sse.preamble() + sse.text_delta("a") + sse.block_stop()
    upstream.handler = lambda call, peer: peer.stream(begun + sse.ending(6, "refusal")).end()
    assert cost_of(ledger.attempt(gateway.ask(ASK))) == 412 * INPUT + 3072 * READ + 6 * OUTPUT
    upstream.handler = always(answer(body=message(stop_reason="refusal")))
    assert cost_of(ledger.attempt(gateway.ask(ASK_JSON))) == MESSAGE_COST


def test_a_stream_that_breaks_in_the_middle_has_bounds_around_the_truth(gateway, upstream, ledger):
    text = "".join(f"word{number} " for number in range(50))
    upstream.handler = lambda call, peer: (peer.stream(sse.preamble() + sse.text_delta(text)), peer.cut())
    row = ledger.attempt(gateway.ask(ASK))
    assert (row["outcome"], row["details"]["reason"]) == ("estimated", "upstream_cut")
    prompt = 412 * INPUT + 3072 * READ
    assert [row[name] - prompt for name in COSTS] == [2 * OUTPUT, len(text) // 4 * OUTPUT, 1000 * OUTPUT]
    assert row["output_tokens"] == len(text) // 4


def test_a_sync_answer_that_breaks_may_have_been_billed(gateway, upstream, ledger):
    upstream.handler = lambda call, peer: (peer.send(answer(body=MESSAGE)[:-40]), peer.cut())
    row = ledger.attempt(gateway.ask(ASK_JSON))
    assert row["outcome"] == "estimated" and row["cost_low_pico"] == 0
    assert row["cost_low_pico"] < row["cost_pico"] < MESSAGE_COST < row["cost_high_pico"]


def test_what_costs_nothing_makes_no_row(gateway, upstream, ledger):
    before = len(ledger.all_rows())
    free = [
        request(target="/v1/messages/count_tokens", body=PLAIN),
        request("GET", "/v1/models"),
        request("POST", "/v1/files", b"x"),
        request("GET", "/v1/messages/batches/b_1"),
    ]
    give(gateway, "batch", "b_1")
    for ask in free:
        assert gateway.ask(ask).status == 200
    assert gateway.ask(request(body=b"no json")).status == 400
    assert gateway.ask(request(body=PLAIN, key="sk-cp-nobody")).status == 401
    assert len(ledger.all_rows()) == before
    assert ledger.query("SELECT count(*) AS many FROM refusals WHERE key_id = ''")[0]["many"] == 0


def test_a_request_is_explained_with_everything_that_is_known(gateway, upstream, ledger):
    def run(*words):
        return cli(gateway.directory, *words, "--json").json

    run("teams", "create", "search", "--tag", "prod")
    key = run("keys", "create", "--name", "nightly", "--team", "search", "--tag", "nightly", "--tag", "a")
    body = PLAIN.replace(b"{", b'{"metadata":{"user_id":"user-7"},', 1)
    response = gateway.ask(request(body=body, key=key["key"], headers=[("user-agent", "anthropic-sdk/9")]))
    ledger.attempt(response)
    own_id = response.header("x-claude-proxy-request-id")
    told = run("requests", "show", own_id)
    (attempt,) = told["attempts"]
    assert (attempt["team"], attempt["key_name"], attempt["key_id"]) == ("search", "nightly", key["id"])
    assert attempt["tags"] == ["a", "nightly", "prod"]
    details = attempt["details"]
    assert (details["subject"], details["user_agent"]) == ("user-7", "anthropic-sdk/9")
    assert details["bytes_in"] == len(body) and details["bytes_out"] == len(response.body)
    assert told["cost_dollars"] == "0.000185" and told["refusal"] is None
    assert told == Admin(gateway).ok("GET", f"requests/{own_id}")
    prices = ledger.query("SELECT id FROM price_tables")
    assert attempt["price_table"] in [row["id"] for row in prices], "the prices of the row can be looked up"
    by_tag = run("usage", "--tag", "prod")
    assert by_tag["totals"]["attempts"] == 1 and by_tag["totals"]["cost_pico"] == MESSAGE_COST


def test_what_was_refused_is_explained_too(gateway, upstream, ledger):
    made = cli(gateway.directory, "keys", "create", "--name", "n", "--team", "few", "--model", "none-*", "--json").json
    response = gateway.ask(request(body=PLAIN, key=made["key"]))
    assert response.status == 403
    ledger.refusal(response)
    shown = cli(gateway.directory, "requests", "show", response.header("x-claude-proxy-request-id"), "--json").json
    assert shown["attempts"] == [] and shown["refusal"]["reason"] == "model_not_allowed"
    assert (shown["refusal"]["team"], shown["refusal"]["key_id"]) == ("few", made["id"])
    assert response.json()["error"]["message"] in json.dumps(shown["refusal"])


def test_reports_are_the_sums_of_the_rows(gateway, upstream, ledger):
    """Over all that the tests of this file have left behind, and some more of every outcome."""
    upstream.handler = in_turn(
        lambda call, peer: (peer.stream(sse.preamble() + sse.text_delta("a")), peer.cut()),
        lambda call, peer: peer.send(answer(500, body=b"{}")),
        lambda call, peer: peer.send(answer(body=message(model="claude-haiku-4-5"))),
        lambda call, peer: peer.send(answer(body=MESSAGE)),
    )
    for ask in (ASK, ASK_JSON, ASK_JSON, ASK_JSON.replace(b"sk-cp-one", b"sk-cp-two")):
        gateway.ask(ask)
    ledger.all_rows()
    rows = ledger.rows()
    names = [name for name in rows[0] if name.endswith(("_tokens", "_pico", "_searches"))]
    assert len(names) == 9 and {row["outcome"] for row in rows} >= {"complete", "failed", "estimated"}
    for words in ([], ["--by", "team"], ["--by", "key,model,outcome"], ["--by", "hour"], ["--by", "day,team"]):
        told = cli(gateway.directory, "usage", *words, "--json").json
        assert told["totals"]["attempts"] == len(rows)
        for name in names:
            total = sum(row[name] for row in rows)
            assert told["totals"][name] == total, (words, name)
            assert not words or sum(row[name] for row in told["rows"]) == total, (words, name)
    printed = cli(gateway.directory, "usage", "--by", "model,outcome", "--csv").out
    table = {(row["model"], row["outcome"]): row for row in csv.DictReader(io.StringIO(printed))}
    for pair in {(row["model"], row["outcome"]) for row in rows}:
        mine = [row for row in rows if (row["model"], row["outcome"]) == pair]
        assert int(table[pair]["attempts"]) == len(mine)
        assert int(table[pair]["cost_pico"]) == sum(row["cost_pico"] for row in mine)
    spent = ledger.query("SELECT sum(spent_pico) AS spent FROM spend_daily WHERE scope = 'root'")[0]["spent"]
    assert spent == sum(row["cost_pico"] for row in rows)


OWN_PRICES = """\
models:
  - model: claude-opus-4-8
    effective_from: 2020-01-01
    context_window: 1000000
    output_max: 128000
    us_inference: true
    prices: {input: 1, cache_write_5m: 1, cache_write_1h: 1, cache_read: 1, output: 2}
  - model: our-own-model
    context_window: 100000
    output_max: 1000
    us_inference: false
    prices: {input: 0.000001, cache_write_5m: 0, cache_write_1h: 0, cache_read: 0, output: 3}
"""


def test_prices_of_a_file_come_before_the_shipped_ones(shared_upstream, tmp_path):
    shared_upstream.reset()
    shared_upstream.handler = in_turn(
        *[lambda call, peer: peer.send(answer(body=MESSAGE))] * 2,
        lambda call, peer: peer.send(answer(body=message(model="our-own-model"))),
        lambda call, peer: peer.send(answer(body=message(model="claude-haiku-4-5"))),
    )
    with Gateway(shared_upstream.url) as plain:
        shipped = Ledger(plain).attempt(plain.ask(ASK_JSON))
    prices = tmp_path / "prices.yaml"
    prices.write_text(OWN_PRICES, encoding="utf-8")
    with Gateway(shared_upstream.url, PRICES=prices) as gateway:
        rows = [Ledger(gateway).attempt(gateway.ask(ASK_JSON)) for _ in range(3)]
        stored = Ledger(gateway).query("SELECT id, yaml FROM price_tables")
    costs = [12 * 1_000_000 + 5 * 2_000_000, 12 * 1 + 5 * 3_000_000, 12 * 1_000_000 + 5 * 5_000_000]
    assert [cost_of(row) for row in rows] == costs
    assert "unknown_model" not in rows[1]["details"]
    assert len({row["price_table"] for row in rows}) == 1 and rows[0]["price_table"] != shipped["price_table"]
    assert OWN_PRICES in {row["id"]: row["yaml"] for row in stored}[rows[0]["price_table"]]


@pytest.mark.parametrize("text", ["models: [", "models:\n  - model: x\n", None], ids=["broken", "part", "missing"])
def test_a_file_of_prices_that_cannot_be_used_stops_the_start(tmp_path, text):
    prices = tmp_path / "prices.yaml"
    if text:
        prices.write_text(text, encoding="utf-8")
    settings = {**DEFAULTS, "CLAUDE_PROXY_UPSTREAM_URL": "http://127.0.0.1:9", "CLAUDE_PROXY_PRICES": str(prices)}
    done = cli(tmp_path, "serve", **settings)
    assert done.code in (1, 2) and "CLAUDE_PROXY_PRICES" in done.err and "listening" not in done.err


def test_rows_reach_the_database_before_the_process_ends(shared_upstream, tmp_path):
    shared_upstream.reset()
    url = f"sqlite:{tmp_path}/kept.db"
    with Gateway(shared_upstream.url, DATABASE_URL=url) as gateway, gateway.client() as client:
        ids = [client.ask(ASK_JSON).header("x-claude-proxy-request-id") for _ in range(50)]
    for own_id in (ids[0], ids[-1]):
        shown = cli(tmp_path, "requests", "show", own_id, "--json", DATABASE_URL=url).json
        assert [attempt["outcome"] for attempt in shown["attempts"]] == ["complete"]
    totals = cli(tmp_path, "usage", "--json", DATABASE_URL=url).json["totals"]
    assert (totals["attempts"], totals["cost_pico"]) == (50, 50 * MESSAGE_COST)
