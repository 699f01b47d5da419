"""The subcommands of administrators, on SQLite without a server and on PostgreSQL."""

import json
import os
import re
import sqlite3
import time

import pytest

from support.admin import Admin, cli
from support.client import request
from support.gateway import Gateway
from support.servers import Postgres
from support.timing import seconds

SECRET = re.compile(r"sk-cp-[0-9A-Za-z]{49}")
GROUPS = {
    "keys": ["create", "list", "show", "update", "rotate", "revoke"],
    "teams": ["create", "list", "show", "update", "archive"],
    "budgets": ["set", "list", "remove"],
    "limits": ["set", "list"],
    "audit": ["list", "export", "verify"],
    "requests": ["show"],
    "prices": ["check", "show"],
}


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def run(request, tmp_path):
    """Runs subcommands on one database of its own."""
    if request.param == "sqlite":
        url = "sqlite:data/test.db"
    else:
        url = request.getfixturevalue("postgres").create_database(f"cli{tmp_path.name}".lower())
        assert cli(tmp_path, "migrate", DATABASE_URL=url).code == 0
    return lambda *words: cli(tmp_path, *words, DATABASE_URL=url)


def test_every_subcommand_has_help_and_json(tmp_path):
    for group, words in GROUPS.items():
        assert cli(tmp_path, group, "--help").code == 0
        for word in words:
            told = cli(tmp_path, group, word, "--help")
            assert told.code == 0 and "--json" in told.out, (group, word)
    for word in ("usage", "migrate"):
        assert "--json" in cli(tmp_path, word, "--help").out
    assert os.listdir(tmp_path) == [], "help opens no database"


def test_a_key_is_made_in_one_step(run):
    made = run(
        "keys", "create", "--name", "nightly", "--team", "search", "--owner", "Ana", "--budget", "50/month",
        "--budget", "2/day", "--rpm", "60", "--itpm", "1000", "--otpm", "500", "--concurrent", "4",
        "--model", "claude-haiku-*", "--model", "claude-sonnet-*", "--scope", "messages", "--scope", "models",
        "--ip", "10.0.0.0/8", "--tag", "a", "--tag", "b", "--expires", "2099-01-01", "--json",
    ).json  # fmt: skip
    assert made["id"].startswith("key_") and SECRET.fullmatch(made["key"])
    assert (made["team"], made["name"], made["owner"], made["role"]) == ("search", "nightly", "Ana", "client")
    assert made["team_id"].startswith("team_")
    assert made["models"] == ["claude-haiku-*", "claude-sonnet-*"] and made["scopes"] == ["messages", "models"]
    assert made["ip_ranges"] == ["10.0.0.0/8"] and made["tags"] == ["a", "b"]
    assert made["expires_at"] == "2099-01-01T00:00:00Z"
    budgets = run("budgets", "list", "--json").json["data"]
    assert {(budget["scope"], budget["scope_id"], budget["limit"], budget["period"]) for budget in budgets} == {
        ("key", made["id"], "50", "month"),
        ("key", made["id"], "2", "day"),
    }
    limits = run("limits", "list", "--json").json["data"]
    assert [limit["id"] for limit in limits] == [made["id"]]
    assert (limits[0]["requests_per_minute"], limits[0]["concurrent_requests"]) == (60, 4)
    shown = run("keys", "show", made["id"], "--json").json
    assert shown["secrets"][0]["hint"] == made["key"][-4:] and "key" not in shown
    everything = run("keys", "list").out + run("keys", "list", "--json").out + run("audit", "export").out
    assert made["key"] not in everything


def test_people_get_tables_and_the_secret_once(run):
    made = run("keys", "create", "--name", "grüße", "--team", "t")
    assert made.code == 0 and SECRET.search(made.out)
    listed = run("keys", "list").out.splitlines()
    assert listed[0].split() == ["ID", "NAME", "TEAM", "ROLE", "OWNER", "MODELS", "CREATED", "EXPIRES", "REVOKED"]
    assert listed[1].split()[1:5] == ["grüße", "t", "client", "-"]
    assert listed[0].index("TEAM") == listed[1].index(" t ") + 1
    assert run("budgets", "list").out == "There are no budgets.\n"
    assert "\x1b" not in made.out + "".join(listed)


def test_the_life_of_a_key(run):
    made = run("keys", "create", "--name", "k", "--team", "t", "--expires", "90d", "--json").json
    key_id = made["id"]
    changed = run("keys", "update", key_id, "--owner", "Bo", "--expires", "never", "--model", "claude-*", "--json").json
    assert (changed["owner"], changed["expires_at"], changed["models"]) == ("Bo", None, ["claude-*"])
    assert run("keys", "update", key_id, "--model", "", "--json").json["models"] == []
    rotated = run("keys", "rotate", key_id, "--overlap", "10m", "--json").json
    assert rotated["id"] == key_id and rotated["key"] != made["key"]
    ends = [secret["expires_at"] for secret in run("keys", "show", key_id, "--json").json["secrets"]]
    assert ends.count(None) == 1 and len(ends) == 2
    assert run("keys", "revoke", key_id, "--json").json["revoked_at"]
    assert run("keys", "list", "--json").json["data"] == []
    assert [key["id"] for key in run("keys", "list", "--with-revoked", "--json").json["data"]] == [key_id]
    late = run("keys", "rotate", key_id)
    assert late.code == 1 and "revoked" in late.err
    admin = run("keys", "create", "--name", "boss", "--role", "admin", "--json").json
    assert admin["role"] == "admin" and admin["scopes"] == []


def test_all_pages_of_a_list_are_printed(run):
    for name in "abc":
        run("keys", "create", "--name", name, "--team", "t")
    two = run("keys", "list", "--limit", "2", "--json").json
    assert len(two["data"]) == 2 and two["has_more"] is True
    rest = run("keys", "list", "--after", two["last_id"], "--json").json
    assert len(rest["data"]) == 1 and rest["has_more"] is False
    assert len(run("keys", "list", "--team", "t", "--json").json["data"]) == 3


def test_the_life_of_teams_budgets_and_limits(run):
    words = ["--name", "search", "--model", "claude-*", "--tag", "x", "--metadata", '{"cost":1}', "--json"]
    team = run("teams", "create", *words).json
    assert team["metadata"] == {"cost": 1}
    assert run("teams", "create", "search").code == 1
    assert run("teams", "update", "search", "--name", "find", "--json").json["id"] == team["id"]
    made = run("budgets", "set", "--team", "find", "50/month", "--soft", "--alerts", "80,95", "--json").json
    assert (made["limit"], made["period"], made["hard"], made["alerts"]) == ("50", "month", False, [80, 95])
    changed = run("budgets", "set", "60/month", "--team", "find", "--hard", "--json").json
    assert (changed["id"], changed["limit"], changed["hard"], changed["alerts"]) == (made["id"], "60", True, [80, 95])
    assert run("budgets", "set", "--root", "1000", "--json").json["period"] == "total"
    assert "find" in run("budgets", "list").out
    assert run("budgets", "remove", made["id"], "--json").json["id"] == made["id"]
    assert len(run("budgets", "list", "--json").json["data"]) == 1
    words = ["limits", "set", "--team", "find", "--model", "claude-opus-*"]
    limit = run(*words, "--rpm", "5", "--json").json
    assert (limit["requests_per_minute"], limit["model_class"], limit["name"]) == (5, "claude-opus-*", "find")
    assert run(*words, "--concurrent", "1", "--json").json["requests_per_minute"] == 5, "what is not given stays"
    run(*words, "--rpm", "0", "--concurrent", "0")
    assert run("limits", "list", "--json").json["data"] == []
    assert run("teams", "archive", "find", "--json").json["archived_at"]
    assert run("teams", "list").out == "There are no teams.\n"
    assert "find" in run("teams", "list", "--with-archived").out


@pytest.mark.parametrize(
    "words, code, told",
    [
        (["keys", "create", "--team", "t"], 2, "--name"),
        (["keys", "create", "--name", "n"], 2, "team"),
        (["keys", "create", "--name", "n", "--team", "t", "--budget", "50/fortnight"], 2, "budget"),
        (["keys", "create", "--name", "n", "--team", "t", "--rpm", "many"], 2, "--rpm"),
        (["keys", "create", "--name", "n", "--team", "t", "--rpm", "-1"], 2, "requests_per_minute"),
        (["keys", "create", "--name", "n", "--team", "t", "--ip", "here"], 2, "ip_ranges"),
        (["keys", "create", "--name", "n", "--team", "t", "--scope", "everything"], 2, "scopes"),
        (["keys", "create", "--name", "n", "--team", "t", "--role", "king"], 2, "role"),
        (["keys", "create", "--name", "n", "--team", "t", "--expires", "tomorrow"], 2, "expires_at"),
        (["keys", "create", "--name", "n", "--team", "t", "--metadata", "{"], 2, "--metadata"),
        (["keys", "create", "--name", "n", "--team", "Not A Name"], 2, "team"),
        (["keys", "show", "key_000000000000000000000000"], 1, "key"),
        (["keys", "show"], 2, "ID"),
        (["keys", "list", "--team", "nobody"], 1, "team"),
        (["keys", "list", "--limit", "0"], 2, "limit"),
        (["keys", "forget"], 2, "subcommand"),
        (["keys"], 2, "subcommand"),
        (["teams", "show", "nobody"], 1, "team"),
        (["budgets", "set", "50/month"], 2, "--team"),
        (["budgets", "set", "50/month", "--root", "--team", "t"], 2, "--root"),
        (["budgets", "set", "50/month", "--root", "--soft", "--hard"], 2, "--soft"),
        (["budgets", "set", "50/month", "--root", "--alerts", "80,x"], 2, "--alerts"),
        (["budgets", "set", "--root"], 2, "AMOUNT"),
        (["budgets", "remove", "bud_x"], 1, "budget"),
        (["limits", "set", "--rpm", "5"], 2, "--team"),
        (["audit", "list", "--after", "x"], 2, "--after"),
        (["prices", "check", "missing.yaml"], 1, "missing.yaml"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line_with_their_cure(tmp_path, words, code, told):
    done = cli(tmp_path, *words, DATABASE_URL="sqlite:test.db")
    assert (done.code, done.out) == (code, ""), done.err
    assert told in done.err and done.err.startswith("claude-proxy: ") and done.err.count("\n") == 1, done.err


def test_a_database_that_cannot_be_used_is_told(tmp_path, postgres):
    unmigrated = postgres.create_database("unmigrated")
    done = cli(tmp_path, "teams", "list", DATABASE_URL=unmigrated)
    assert done.code == 1 and "claude-proxy migrate" in done.err and done.err.count("\n") == 1
    for url in ("postgresql://nobody:hunter2@127.0.0.1:1/nothing", "sqlite:/proc/none/x.db"):
        done = cli(tmp_path, "teams", "list", DATABASE_URL=url)
        assert done.code == 1 and done.err.startswith("claude-proxy: DATABASE_URL"), done.err
        assert "hunter2" not in done.err
    done = cli(tmp_path, "teams", "list", DATABASE_URL="mysql://x")
    assert done.code == 2 and "DATABASE_URL" in done.err


def test_migrate_says_what_it_applied_and_prefers_the_direct_url(tmp_path, postgres):
    url = postgres.create_database("migrated")
    pooler = "postgresql://127.0.0.1:1/pooler"
    first = cli(tmp_path, "migrate", "--json", DATABASE_URL=pooler, DATABASE_DIRECT_URL=url).json
    assert first["applied"] and first["schema"] == first["known"] == first["applied"][-1]
    again = cli(tmp_path, "migrate", "--json", DATABASE_URL=url).json
    assert again["applied"] == [] and again["schema"] == first["schema"]
    assert "Nothing to apply" in cli(tmp_path, "migrate", DATABASE_URL=url).out
    assert cli(tmp_path, "teams", "list", DATABASE_URL=url).code == 0
    fresh = cli(tmp_path, "migrate", DATABASE_URL="sqlite:new/folder/x.db")
    assert fresh.code == 0 and "applied 0001_" in fresh.out


def test_the_audit_log_is_listed_exported_and_verified(run, tmp_path):
    run("teams", "create", "a")
    run("teams", "create", "b")
    entries = run("audit", "list", "--json").json["data"]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert all(entry["actor"].startswith("cli:") and entry["role"] == "admin" for entry in entries)
    lines = run("audit", "export").out.splitlines()
    assert [json.loads(line) for line in lines] == entries
    assert [json.loads(line) for line in run("audit", "export", "--after", "1").out.splitlines()] == entries[1:]
    assert "team.create" in run("audit", "list").out
    assert run("audit", "verify").out == f"The audit log is whole: {len(entries)} entries.\n"


def test_a_broken_audit_log_fails_the_verification(tmp_path):
    def run(*words):
        return cli(tmp_path, *words, DATABASE_URL="sqlite:test.db")

    for name in "abc":
        run("teams", "create", name)
    with sqlite3.connect(tmp_path / "test.db") as database:
        database.execute("DELETE FROM audit WHERE seq = 2")
    broken = run("audit", "verify")
    assert broken.code == 1 and "broken at entry" in broken.out
    told = run("audit", "verify", "--json")
    assert told.code == 1 and json.loads(told.out)["whole"] is False


def test_prices_are_checked_and_shown(tmp_path):
    shown = cli(tmp_path, "prices", "show", "--json").json
    assert re.fullmatch(r"[0-9a-f]{16}", shown["id"])
    whole = tmp_path / "prices.yaml"
    whole.write_text(shown["yaml"], encoding="utf-8")
    assert re.fullmatch(r"[0-9a-f]{16}", cli(tmp_path, "prices", "check", str(whole), "--json").json["id"])
    whole.write_text("nothing: [of the kind", encoding="utf-8")
    wrong = cli(tmp_path, "prices", "check", str(whole))
    assert wrong.code == 1 and "prices.yaml" in wrong.err


def until(answers):
    deadline = time.monotonic() + seconds(10)
    while not answers():
        assert time.monotonic() < deadline, "the gateway does not obey"
        time.sleep(0.01)


def test_a_key_that_was_made_is_used_and_its_use_is_reported(shared_upstream):
    body = b'{"model":"claude-haiku-4-5","max_tokens":16,"messages":[]}'
    with Gateway(shared_upstream.url) as gateway:

        def run(*words):
            return cli(gateway.directory, *words, "--json").json

        made = run("keys", "create", "--name", "n", "--team", "search", "--model", "claude-haiku-*", "--tag", "nightly")

        def ask(model=b"haiku-4-5"):
            return gateway.ask(request(body=body.replace(b"haiku-4-5", model), key=made["key"]))

        until(lambda: ask().status == 200)
        request_id = ask().header("x-claude-proxy-request-id")
        refused_id = ask(b"opus-4-8").header("x-claude-proxy-request-id")
        words = ["--team", "search", "--key", made["id"], "--tag", "nightly", "--by", "key"]
        until(lambda: run("usage", *words)["totals"]["attempts"] >= 2)
        (row,) = run("usage", *words)["rows"]
        assert (row["key"], row["key_name"]) == (made["id"], "n") and row["cost_pico"] > 0 and row["output_tokens"] > 0
        told = run("requests", "show", request_id)
        assert told["refusal"] is None and told["cost_pico"] > 0
        assert (told["attempts"][0]["team"], told["attempts"][0]["key_id"]) == ("search", made["id"])
        until(lambda: cli(gateway.directory, "requests", "show", refused_id).code == 0)
        assert run("requests", "show", refused_id)["refusal"]["reason"] == "model_not_allowed"
        run("keys", "revoke", made["id"])
        until(lambda: ask().status == 401)


def test_a_running_gateway_obeys_what_the_command_line_changed(shared_upstream):
    with Gateway(shared_upstream.url) as gateway:
        made = cli(gateway.directory, "keys", "create", "--name", "n", "--role", "viewer", "--json").json
        viewer = Admin(gateway, made["key"])
        until(lambda: viewer.get("teams").status == 200)
        cli(gateway.directory, "keys", "revoke", made["id"])
        until(lambda: viewer.get("teams").status == 401)
