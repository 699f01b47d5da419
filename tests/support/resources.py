"""What lives upstream and belongs to teams: two teams that make things, and ids that a gateway did not make itself."""

import itertools
import json
import sqlite3
import time

from support.admin import cli, sqlite_path
from support.client import Client, request
from support.timing import setting, wait_until

EMPTY_LIST = b'{"data":[],"has_more":false,"first_id":null,"last_id":null}'
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


def give(gateway, what, *ids, team="default"):
    """Makes ids of a kind (batch, file, skill) the team's, past the gateway: its SQLite database is written."""
    database = sqlite3.connect(sqlite_path(gateway), timeout=10)
    try:
        with database:
            for one in ids:
                database.execute(
                    "INSERT INTO resources (id, kind, team_id, key_id, created_at) VALUES (?, ?, ?, '', ?)"
                    " ON CONFLICT (id) DO NOTHING",
                    (one, what, team, time.time_ns() // 1_000_000),
                )
    finally:
        database.close()
