"""What lives upstream belongs to the team that made it: batches, files and skills of two teams on one credential."""

import itertools
import json
import sqlite3

import pytest

from support.admin import cli, sqlite_path
from support.client import Client, request
from support.gateway import CREDENTIAL, Gateway, Simulator
from support.timing import setting, wait_until
from support.truth import MILLION, price_of, tokens_of

VERSION = [("anthropic-version", "2023-06-01")]
MODEL = "claude-opus-4-8"
SETTINGS = {
    "BATCH_LOOK_FIRST": setting(100),
    "BATCH_LOOK_MAX": setting(200),
    "BATCH_LEASE": setting(2_000),
    "BATCH_DOUBT": setting(500),
    "BUDGET_WAIT": setting(300),
}
numbers = itertools.count()


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


class Team:
    """Asks as one key of a team of its own."""

    def __init__(self, gateway, *words):
        self.gateway, self.name = gateway, f"team-{next(numbers)}"
        made = cli(gateway.directory, "keys", "create", "--name", "k", "--team", self.name, *words, "--json").json
        self.key, self.key_id = made["key"], made["id"]
        self.id = cli(gateway.directory, "teams", "show", self.name, "--json").json["id"]

    def ask(self, method, target, body=None, headers=(), **options):
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        fields = [*VERSION, ("content-type", "application/json"), *headers]
        return self.gateway.ask(request(method, target, body, fields, key=self.key), **options)

    def upload(self, target, name="a.txt", content=b"hello", part="file"):
        disposition = f'Content-Disposition: form-data; name="{part}"; filename="{name}"'.encode()
        body = b"--b\r\n" + disposition + b"\r\nContent-Type: text/plain\r\n\r\n" + content + b"\r\n--b--\r\n"
        fields = [*VERSION, ("content-type", "multipart/form-data; boundary=b")]
        made = self.gateway.ask(request("POST", target, body, fields, key=self.key))
        assert made.status == 200, made.body
        return made.json()["id"]

    def batch(self, count=2, delay_ms=0, **params):
        made = self.ask("POST", "/v1/messages/batches", batch_of(count, **params), delay(delay_ms))
        assert made.status == 200, made.body
        return made


def delay(milliseconds):
    return [("x-sim-batch-delay-ms", str(milliseconds))]


def item(custom_id, **params):
    body = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": f"Hello {custom_id}."}]}
    return {"custom_id": custom_id, "params": {**body, **params}}


def batch_of(count, **params):
    return {"requests": [item(f"item-{number}", **params) for number in range(count)]}


@pytest.fixture
def teams(through):
    return Team(through), Team(through)


def calls(simulator, since=0):
    with Client(simulator.port) as client:
        return client.ask(request("GET", f"/sim/ledger?since={since}", None, key=None)).json()["requests"]


def last_call(simulator):
    return max([row["seq"] for row in calls(simulator)], default=0)


def check_missing(team, simulator, method, target, body=None):
    """404 in Anthropic's shape, without a word to the upstream."""
    before = last_call(simulator)
    response = team.ask(method, target, body)
    told = response.json()
    assert response.status == 404, (method, target, response.body)
    assert (told["type"], told["error"]["type"]) == ("error", "not_found_error")
    assert [row for row in calls(simulator, before) if row["method"] != "GET" or row["path"] == target] == []
    return told["error"]["message"]


def query(gateway, text, *values):
    database = sqlite3.connect(f"file:{sqlite_path(gateway)}?mode=ro", uri=True, timeout=10)
    try:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(text, values)]
    finally:
        database.close()


def batch_row(gateway, own_id):
    return query(gateway, "SELECT * FROM batches WHERE id = ?", own_id)[0]


def settled(gateway, made, state="settled"):
    own_id = made if isinstance(made, str) else made.header("x-claude-proxy-request-id")
    return wait_until(
        lambda: (row := batch_row(gateway, own_id))["state"] == state and row, 20, f"batch {own_id} is {state}"
    )


def ledger_of(gateway, own_id):
    return query(gateway, "SELECT * FROM attempts WHERE attempt_id LIKE ? ORDER BY attempt_id", own_id + "_%")


# Whose it is.


def routes_of(team):
    batch, file, skill = team.batch().json()["id"], team.upload("/v1/files"), team.upload("/v1/skills", part="files[]")
    return [
        ("GET", f"/v1/messages/batches/{batch}"),
        ("GET", f"/v1/messages/batches/{batch}/results"),
        ("POST", f"/v1/messages/batches/{batch}/cancel"),
        ("DELETE", f"/v1/messages/batches/{batch}"),
        ("GET", f"/v1/messages/batches/{batch}/future"),
        ("GET", f"/v1/files/{file}"),
        ("GET", f"/v1/files/{file}/content"),
        ("DELETE", f"/v1/files/{file}"),
        ("GET", f"/v1/skills/{skill}"),
        ("DELETE", f"/v1/skills/{skill}"),
        ("GET", f"/v1/skills/{skill}/versions"),
        ("POST", f"/v1/skills/{skill}/versions"),
        ("GET", f"/v1/skills/{skill}/versions/1/content"),
    ]


def test_what_a_team_made_is_not_there_for_another(teams, simulator):
    mine, others = teams
    for method, target in routes_of(mine):
        body = b"" if method == "POST" else None
        theirs = check_missing(others, simulator, method, target, body)
        segments = target.split("/")
        at = next(n for n, segment in enumerate(segments) if segment.startswith(("msgbatch_", "file_", "skill_")))
        segments[at] = segments[at][:-4] + "0000"
        never = check_missing(others, simulator, method, "/".join(segments), body)
        assert never.replace("0000", "") == theirs.replace(target.split("/")[at][-4:], ""), "an id that never was"
        doubled = "/v1" + target
        assert others.ask(method, doubled, body).status == 404
        spelled = target.replace("_", "%5f")
        assert others.ask(method, spelled, body).status == 404
    for method, target in routes_of(mine):
        if method == "GET" and "/versions" not in target and "/future" not in target:
            assert mine.ask(method, target).status == 200, target


def test_another_key_of_the_team_works_with_what_the_first_one_made(through, teams):
    mine, _ = teams
    file = mine.upload("/v1/files")
    made = cli(through.directory, "keys", "create", "--name", "two", "--team", mine.name, "--json").json
    fields = [*VERSION]
    assert through.ask(request("GET", f"/v1/files/{file}", None, fields, key=made["key"])).status == 200


def test_what_was_deleted_is_not_there_any_more(teams, simulator):
    mine, _ = teams
    for id in (mine.upload("/v1/files"), mine.upload("/v1/skills", part="files[]")):
        target = f"/v1/{'files' if id.startswith('file_') else 'skills'}/{id}"
        assert mine.ask("DELETE", target).status == 200
        check_missing(mine, simulator, "GET", target)


def test_an_id_from_elsewhere_is_nobodys_until_it_is_claimed(through, teams, simulator):
    mine, others = teams
    with Client(simulator.port) as client:
        body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nx\r\n--b--\r\n'
        fields = [*VERSION, ("content-type", "multipart/form-data; boundary=b")]
        file = client.ask(request("POST", "/v1/files", body, fields, key=CREDENTIAL)).json()["id"]
    check_missing(mine, simulator, "GET", f"/v1/files/{file}")
    words = ("resources", "claim", "--id", file, "--team")
    assert cli(through.directory, *words, mine.name, "--json").json["team_id"] == mine.id
    assert mine.ask("GET", f"/v1/files/{file}").status == 200
    assert cli(through.directory, *words, mine.name, "--json").json["id"] == file, "said twice, done once"
    refused = cli(through.directory, *words, others.name)
    assert refused.code == 1 and "another team" in refused.err
    assert cli(through.directory, "resources", "claim", "--id", "x", "--team", mine.name).code == 2
    check_missing(others, simulator, "GET", f"/v1/files/{file}")
    entries = cli(through.directory, "audit", "list", "--json").json["data"]
    assert [entry["target"] for entry in entries if entry["action"] == "resource.claim"] == [file]


@pytest.mark.parametrize("what", ["files", "skills"])
def test_what_anthropic_made_is_everybodys(teams, simulator, what):
    mine, _ = teams
    if what == "skills":  # the simulator has none of Anthropic's: it is asked, and says so itself
        before = last_call(simulator)
        assert mine.ask("GET", "/v1/skills/pptx").status == 404
        assert any(row["path"] == "/v1/skills/pptx" for row in calls(simulator, before))
    else:
        check_missing(mine, simulator, "GET", "/v1/files/pptx")


# Lists.


def walk(team, target, limit, cursor):
    """All ids of a list, page by page, as the SDKs walk it."""
    ids, query = [], f"limit={limit}"
    for _ in range(50):
        page = team.ask("GET", f"{target}?{query}").json()
        data = [each["id"] for each in page["data"]]
        ids += data
        if cursor == "page":
            if not page["next_page"]:
                return ids
            query = f"limit={limit}&page={page['next_page']}"
            continue
        assert (page["first_id"], page["last_id"]) == ((data[0], data[-1]) if data else (None, None))
        if not page["has_more"] or not data:
            return ids if cursor == "after_id" else ids
        query = f"limit={limit}&{cursor}={data[-1] if cursor == 'after_id' else data[0]}"
    raise AssertionError("the list does not end")


@pytest.mark.parametrize("limit", [1, 2, 3, 20])
@pytest.mark.parametrize("target, cursor", [("batches", "after_id"), ("files", "page"), ("skills", "page")])
def test_a_list_has_the_teams_own_whatever_the_page(teams, target, cursor, limit):
    mine, others = teams
    make = {
        "batches": lambda team: team.batch(1).json()["id"],
        "files": lambda team: team.upload("/v1/files"),
        "skills": lambda team: team.upload("/v1/skills", part="files[]"),
    }[target]
    made = {mine: [], others: []}
    for team in (mine, others, mine, mine, others, others, mine, others, mine, mine):
        made[team].insert(0, make(team))
    path = "/v1/messages/batches" if target == "batches" else f"/v1/{target}"
    for team in teams:
        assert walk(team, path, limit, cursor) == made[team]
    if target == "batches":
        ids = made[mine]
        back = mine.ask("GET", f"{path}?limit=2&before_id={ids[4]}").json()
        assert ([each["id"] for each in back["data"]], back["has_more"]) == (ids[2:4], True)
        back = mine.ask("GET", f"{path}?limit=4&before_id={ids[3]}").json()
        assert ([each["id"] for each in back["data"]], back["has_more"]) == (ids[:3], False)
        assert all(each["results_url"].startswith("http://gateway.test/v1/") for each in back["data"])


def test_the_beta_list_of_files_has_cursors_by_id(teams):
    mine, others = teams
    made = []
    for team in (mine, others, mine, mine):
        made.insert(0, (team, team.upload("/v1/files")))
    ids = [id for team, id in made if team is mine]
    beta = [("anthropic-beta", "files-api-2025-04-14")]
    page = mine.ask("GET", "/v1/files?beta=true&limit=2", headers=beta).json()
    assert ([each["id"] for each in page["data"]], page["has_more"], page["last_id"]) == (ids[:2], True, ids[1])
    page = mine.ask("GET", f"/v1/files?beta=true&limit=2&after_id={ids[1]}", headers=beta).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[2:], False)


def test_a_cursor_that_is_another_teams_is_none(teams, simulator):
    mine, others = teams
    theirs = others.batch(1).json()["id"]
    mine.batch(1)
    for cursor in ("after_id", "before_id"):
        before = last_call(simulator)
        answers = [mine.ask("GET", f"/v1/messages/batches?{cursor}={id}") for id in (theirs, theirs[:-4] + "0000")]
        assert [each.status for each in answers] == [400, 400]
        assert answers[0].json()["error"]["message"] == answers[1].json()["error"]["message"]
        assert not [row for row in calls(simulator, before) if cursor in row["path"]]


def test_a_limit_that_is_none_is_refused_by_the_upstream(teams):
    mine, _ = teams
    refused = mine.ask("GET", "/v1/messages/batches?limit=0")
    assert refused.status == 400 and "greater than or equal to 1" in refused.json()["error"]["message"]


# Files that requests name.


def naming(file, **more):
    content = [{"type": "document", "source": {"type": "file", "file_id": file}}, {"type": "text", "text": "Read."}]
    return {"model": MODEL, "max_tokens": 16, "messages": [{"role": "user", "content": content}], **more}


def spellings(body, file):
    text = json.dumps(body)
    return [
        text.encode(),
        text.replace('"file_id"', '"\\u0066ile_id"').encode(),
        text.replace(file, file.replace("_", "\\u005f")).encode(),
        text.replace('"file_id": "', '"file_id" :\n "').encode(),
    ]


def test_a_message_names_files_of_its_own_team_only(teams, simulator):
    mine, others = teams
    file = mine.upload("/v1/files")
    for body in spellings(naming(file), file):
        assert mine.ask("POST", "/v1/messages", body).status == 200
        assert mine.ask("POST", "/v1/messages/count_tokens", body.replace(b'"max_tokens": 16, ', b"")).status == 200
        for target in ("/v1/messages", "/v1/messages/count_tokens"):
            message = check_missing(others, simulator, "POST", target, body)
            assert file in message
    batch = {"requests": [item("a"), {"custom_id": "b", "params": naming(file)}]}
    check_missing(others, simulator, "POST", "/v1/messages/batches", batch)
    assert mine.ask("POST", "/v1/messages/batches", batch).status == 200


def test_a_skill_and_a_container_are_named_by_their_own_team_only(teams, simulator):
    mine, others = teams
    skill = mine.upload("/v1/skills", part="files[]")
    body = {**item("x")["params"], "container": {"skills": [{"type": "custom", "skill_id": skill}]}}
    assert mine.ask("POST", "/v1/messages", body).status == 200
    check_missing(others, simulator, "POST", "/v1/messages", body)
    body["container"] = {"skills": [{"type": "anthropic", "skill_id": "pptx"}]}
    assert others.ask("POST", "/v1/messages", body).status == 200
    for container in ("container_011x", {"id": "container_011x"}):
        check_missing(others, simulator, "POST", "/v1/messages", {**body, "container": container})


def test_the_data_of_a_clients_own_tool_is_no_reference(teams):
    mine, _ = teams
    tool = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"file_id": "file_of_the_client"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
    messages = [
        {"role": "user", "content": 'What is "file_id":"file_x"?'},
        {"role": "assistant", "content": [tool]},
        {"role": "user", "content": [result]},
    ]
    answer = mine.ask("POST", "/v1/messages", {"model": MODEL, "max_tokens": 5, "messages": messages})
    assert answer.status == 200, answer.body


# What batches cost.


def batch_truth(simulator, batch_id):
    return {row["custom_id"]: row for row in calls(simulator) if row["method"] == "BATCH" and row["batch_id"] == batch_id}


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
    return {row["budget_id"]: row["granted_pico"] for row in query(gateway, "SELECT * FROM budget_leases WHERE replica = 'jobs'")}


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


def test_every_model_of_a_batch_must_be_allowed(through, simulator):
    team = Team(through, "--model", "claude-haiku-*")
    before = last_call(simulator)
    refused = team.ask(
        "POST", "/v1/messages/batches", {"requests": [item("a", model="claude-haiku-4-5"), item("b")]}
    )
    assert (refused.status, refused.json()["error"]["details"]["reason"]) == (403, "model_not_allowed")
    assert "requests.1" in refused.json()["error"]["message"]
    for body, reason in (
        (b'{"requests":[{"custom_id":"a","params":{"model":"claude-haiku-4-5","m\\u006fdel":"x"}}]}', "duplicate_field"),
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
