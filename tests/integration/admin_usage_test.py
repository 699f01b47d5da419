"""Usage reports and explained requests, by the API and by the command line, over rows of known sums."""

import csv
import io
import sqlite3
import time

import pytest

from support.admin import Admin, cli, sqlite_path
from support.gateway import Gateway

HOUR = 3_600_000
MIDNIGHT = 1_798_761_600_000  # 2027-01-01
NUMBERS = ("attempts", "input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cache_read_tokens",
           "output_tokens", "web_searches", "cost_pico", "cost_low_pico", "cost_high_pico")  # fmt: skip


@pytest.fixture(scope="module")
def world(shared_upstream):
    """A gateway whose ledger has four attempts of two teams, and one refusal."""
    with Gateway(shared_upstream.url) as gateway:
        admin = Admin(gateway)
        search = admin.new_key(name="nightly", team="search")
        chat = admin.new_key(name="=chat", team="chat")
        rows = [
            (search, "claude-haiku-4-5", '["a","b"]', MIDNIGHT, 1_500_000_000_000),
            (search, "claude-opus-4-8", '["a"]', MIDNIGHT + HOUR, 2),
            (chat, "claude-opus-4-8", "[]", MIDNIGHT + 25 * HOUR, 40),
            ({"team_id": "default", "id": "static-1"}, "claude-opus-4-8", "[]", MIDNIGHT, 800),
        ]
        with sqlite3.connect(sqlite_path(gateway)) as database:
            for number, (key, model, tags, at, cost) in enumerate(rows):
                sums = (10, 2, 3, 4, 5, 1, cost, cost, cost + 1)
                database.execute(
                    "INSERT INTO usage_hourly VALUES (?, ?, ?, ?, ?, 'complete', 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (at // HOUR * HOUR, key["team_id"], key["id"], model, tags, *sums),
                )
                database.execute(
                    "INSERT INTO attempts (attempt_id, started_at, finished_at, replica, team_id, key_id, model, tags, "
                    "status, outcome, input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens, "
                    "output_tokens, web_searches, cost_pico, cost_low_pico, cost_high_pico, price_table, details) "
                    "VALUES (?, ?, ?, 'r', ?, ?, ?, ?, 200, 'complete', ?, ?, ?, ?, ?, ?, ?, ?, ?, 'p', "
                    "'{\"route\":\"x\"}')",
                    (f"req_cp_test{number}.1", at, at + 5, key["team_id"], key["id"], model, tags, *sums),
                )
            database.execute(
                "INSERT INTO refusals VALUES ('req_cp_refused', ?, ?, ?, 'm', 429, 'budget_exhausted', '{}')",
                (MIDNIGHT, search["team_id"], search["id"]),
            )
        yield gateway, admin, search, chat


def test_totals_are_exact_and_rows_add_up(world):
    _, admin, _, _ = world
    whole = admin.ok("GET", "usage")
    assert whole["totals"]["cost_pico"] == 1_500_000_000_842
    assert whole["totals"]["cost_dollars"] == "1.500000000842"
    assert whole["totals"]["attempts"] == 4 and whole["totals"]["input_tokens"] == 40
    for groups in ("team", "key", "model", "day", "hour", "outcome", "team,model,day"):
        report = admin.get("usage", group_by=groups).json
        for number in NUMBERS:
            assert sum(row[number] for row in report["rows"]) == whole["totals"][number], (groups, number)


def test_rows_carry_names_beside_ids(world):
    _, admin, search, chat = world
    rows = admin.get("usage", group_by="team,key").json["rows"]
    assert {(row["team"], row["team_id"], row["key"], row["key_name"], row["cost_pico"]) for row in rows} == {
        ("search", search["team_id"], search["id"], "nightly", 1_500_000_000_002),
        ("chat", chat["team_id"], chat["id"], "=chat", 40),
        ("default", "default", "static-1", "static-1", 800),
    }
    days = admin.get("usage", group_by="day", team="search").json["rows"]
    assert [(row["day"], row["cost_pico"]) for row in days] == [("2027-01-01", 1_500_000_000_002)]


def test_filters_narrow_and_a_wrong_team_is_told(world):
    _, admin, search, _ = world

    def cost(**query):
        return admin.get("usage", **query).json["totals"]["cost_pico"]

    assert cost(team="search") == cost(team=search["team_id"]) == cost(key=search["id"]) == 1_500_000_000_002
    assert cost(team="default") == cost(key="static-1") == 800
    assert cost(model="claude-haiku-4-5") == cost(tag="b") == 1_500_000_000_000
    assert cost(tag="a") == 1_500_000_000_002 and cost(tag="c") == 0
    assert cost(**{"from": "2027-01-01", "to": "2027-01-01T01:00:00Z"}) == 1_500_000_000_800
    assert cost(**{"from": "2027-01-02"}) == 40 and cost(to="2027-01-01") == 0
    missing = admin.get("usage", team="nobody")
    assert (missing.status, missing.reason) == (404, "not_found")
    backwards = {"from": "2027-01-02", "to": "2027-01-01"}
    for query in ({"from": "yesterday"}, {"group_by": "planet"}, {"format": "xml"}, backwards):
        assert admin.get("usage", **query).reason == "invalid_argument", query
    report = admin.get("usage", **{"from": "2027-01-01"}).json
    assert report["from"] == "2027-01-01T00:00:00Z" and report["to"] is None


def test_rows_may_be_had_as_csv(world):
    _, admin, _, _ = world
    answer = admin.get("usage", group_by="team,model", format="csv")
    assert answer.response.header("content-type") == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert sum(int(row["cost_pico"]) for row in rows) == 1_500_000_000_842
    assert {row["team"] for row in rows} == {"search", "chat", "default"}


def test_a_request_is_explained(world):
    _, admin, search, _ = world
    told = admin.ok("GET", "requests/req_cp_test0")
    (attempt,) = told["attempts"]
    assert told["refusal"] is None and told["cost_pico"] == 1_500_000_000_000
    assert (attempt["team"], attempt["key_name"], attempt["key_id"]) == ("search", "nightly", search["id"])
    assert (attempt["started_at"], attempt["finished_at"]) == ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.005Z")
    assert attempt["tags"] == ["a", "b"] and attempt["details"] == {"route": "x"}
    refused = admin.ok("GET", "requests/req_cp_refused")
    assert refused["attempts"] == [] and refused["refusal"]["reason"] == "budget_exhausted"
    assert refused["refusal"]["team"] == "search" and refused["refusal"]["at"] == "2027-01-01T00:00:00Z"
    unknown = admin.get("requests/req_cp_nobody")
    assert (unknown.status, unknown.reason) == (404, "not_found")


def test_budgets_tell_what_was_spent_in_their_period(world):
    gateway, admin, search, _ = world
    day = int(time.time()) // 86_400 * 86_400_000
    with sqlite3.connect(sqlite_path(gateway)) as database:
        for at, amount in ((day, 250_000_000_000), (day - 40 * 86_400_000, 7)):
            database.execute("INSERT INTO spend_daily VALUES ('team', ?, ?, ?)", (search["team_id"], at, amount))
    spent = {}
    for period in ("month", "total"):
        made = admin.ok("POST", "budgets", {"scope": "team", "id": "search", "period": period, "limit": "1"})
        assert made in admin.ok("GET", "budgets")["data"]
        spent[period] = (made["spent"], made["spent_pico"], made["period_ends_at"] is None)
    assert spent == {"month": ("0.25", 250_000_000_000, False), "total": ("0.250000000007", 250_000_000_007, True)}


def test_the_command_line_reports_the_same(world):
    gateway, admin, _, _ = world

    def run(*words):
        return cli(gateway.directory, *words)

    assert run("usage", "--team", "search", "--by", "model,day", "--json").json == admin.ok(
        "GET", "usage?team=search&group_by=model,day"
    )
    of_api = admin.get("usage?group_by=team&format=csv").text
    assert run("usage", "--by", "team", "--csv").out.splitlines() == of_api.splitlines()
    told = run("usage", "--by", "team,key").out
    assert "nightly" in told and "1.500000000002" in told and "1.500000000842" in told.split("total")[1]
    assert run("usage", "--from", "2028-01-01", "--by", "team").out.startswith("Nothing was used.")
    assert run("requests", "show", "req_cp_test0", "--json").json == admin.ok("GET", "requests/req_cp_test0")
    assert "budget_exhausted" in run("requests", "show", "req_cp_refused").out
    lost = run("requests", "show", "req_cp_nobody")
    assert lost.code == 1 and lost.err.count("\n") == 1
    wrong = run("usage", "--by", "planet")
    assert wrong.code == 2 and "group_by" in wrong.err
