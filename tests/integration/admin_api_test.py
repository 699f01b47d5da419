"""The admin API: who may ask, and the life of teams, keys, budgets and limits."""

import re
import sqlite3

import pytest

from support.admin import ADMIN_KEY, Admin, sqlite_path
from support.client import Client, request
from support.gateway import KEY

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
SECRET = re.compile(r"sk-cp-[0-9A-Za-z]{49}")


@pytest.fixture
def admin(gateway):
    return Admin(gateway)


def unique(stem, numbers=iter(range(1, 10_000))):
    return f"{stem}-{next(numbers)}"


def test_metrics_and_health_need_no_credential_and_everything_else_does(gateway, admin):
    for path, status in (("/metrics", 200), ("/health", 200), ("/ready", 200), ("/nothing", 404)):
        with gateway.admin() as client:
            assert client.ask(request("GET", path, key=None)).status == status, path
    for path in ("teams", "keys", "budgets", "limits", "usage", "audit", "audit/verify", "prices", "config", "nothing"):
        answer = admin.with_key(None).get(path)
        assert (answer.status, answer.reason) == (401, "credential_missing"), path


def test_credentials_are_told_apart(admin):
    stored = admin.new_key(name="a client")
    cases = {
        "sk-cp-nobody": (401, "credential_invalid"),
        ADMIN_KEY + "x": (401, "credential_invalid"),
        ADMIN_KEY[:-1]: (401, "credential_invalid"),
        KEY: (403, "permission_denied"),
        stored["key"]: (403, "permission_denied"),
    }
    for key, expected in cases.items():
        answer = admin.with_key(key).get("teams")
        assert (answer.status, answer.reason) == expected, key
    revoked = admin.new_key(name="gone", role="viewer")
    admin.ok("POST", f"keys/{revoked['id']}/revoke")
    answer = admin.with_key(revoked["key"]).get("teams")
    assert (answer.status, answer.reason) == (401, "credential_expired")


def test_a_bearer_token_is_as_good_and_any_of_several_credentials_may_be_the_valid_one(admin):
    nobody = admin.with_key(None)
    assert nobody.send("GET", "teams", headers=[("authorization", f"Bearer {ADMIN_KEY}")]).status == 200
    assert nobody.send("GET", "teams", headers=[("authorization", f"Basic {ADMIN_KEY}")]).status == 401
    wrong = admin.with_key("sk-cp-wrong")
    assert wrong.send("GET", "teams", headers=[("authorization", f"bearer {ADMIN_KEY}")]).status == 200
    assert nobody.send("GET", "teams", headers=[("x-api-key", "wrong"), ("x-api-key", ADMIN_KEY)]).status == 200


def test_the_life_of_a_team(admin):
    name = unique("search")
    metadata = {"cost": [1, None]}
    made = admin.post("teams", {"name": name, "models": ["claude-*"], "tags": ["b", "a"], "metadata": metadata})
    assert made.status == 201
    assert set(made.json) == {"id", "name", "models", "tags", "metadata", "created_at", "updated_at", "archived_at"}
    assert made["id"].startswith("team_") and made["metadata"] == {"cost": [1, None]}
    assert TIME.fullmatch(made["created_at"]) and made["archived_at"] is None
    assert admin.ok("GET", f"teams/{name}") == admin.ok("GET", f"teams/{made['id']}") == made.json
    assert made.json in admin.ok("GET", "teams")["data"]

    again = admin.post("teams", {"name": name})
    assert (again.status, again.reason) == (409, "conflict")
    changed = admin.ok("PATCH", f"teams/{name}", {"models": []})
    assert changed["models"] == [] and changed["tags"] == made["tags"]
    renamed = admin.ok("PATCH", f"teams/{made['id']}", {"name": name + "-2"})
    assert admin.get(f"teams/{name}").reason == "not_found" and renamed["name"] == name + "-2"

    gone = admin.ok("DELETE", f"teams/{made['id']}")
    assert TIME.fullmatch(gone["archived_at"])
    assert made["id"] not in [team["id"] for team in admin.ok("GET", "teams")["data"]]
    assert made["id"] in [team["id"] for team in admin.get("teams", with_archived="true")["data"]]
    late = admin.post("keys", {"name": "late", "team": made["id"]})
    assert (late.status, late.reason) == (409, "conflict")


def test_the_life_of_a_key(admin):
    team = unique("team")
    made = admin.post(
        "keys",
        {
            "name": "nightly",
            "team": team,
            "owner": "Ana",
            "models": ["claude-*"],
            "scopes": ["messages"],
            "ip_ranges": ["10.0.0.0/8"],
            "tags": ["t"],
            "expires_at": "2099-01-01",
        },
    )
    assert made.status == 201 and SECRET.fullmatch(made["key"])
    assert made["team"] == team and made["team_id"].startswith("team_") and made["id"].startswith("key_")
    assert (made["role"], made["expires_at"], made["revoked_at"]) == ("client", "2099-01-01T00:00:00Z", None)
    shown = admin.ok("GET", f"keys/{made['id']}")
    assert [secret["hint"] for secret in shown.pop("secrets")] == [made["key"][-4:]]
    assert shown == {name: value for name, value in made.json.items() if name != "key"}

    changed = admin.ok("PATCH", f"keys/{made['id']}", {"owner": "Bo", "expires_at": None})
    assert (changed["owner"], changed["expires_at"], changed["models"]) == ("Bo", None, ["claude-*"])
    other_team = admin.patch(f"keys/{made['id']}", {"team": "default"})
    assert (other_team.status, other_team.reason) == (400, "invalid_argument")

    gone = admin.ok("DELETE", f"keys/{made['id']}")
    assert TIME.fullmatch(gone["revoked_at"])
    assert admin.ok("POST", f"keys/{made['id']}/revoke") == gone, "once more changes nothing"
    assert admin.get("keys", team=team)["data"] == []
    assert [key["id"] for key in admin.get("keys", team=team, with_revoked="true")["data"]] == [made["id"]]
    dead = admin.patch(f"keys/{made['id']}", {"owner": "Cy"})
    assert (dead.status, dead.reason) == (409, "conflict")


def test_a_rotated_key_has_two_secrets_until_the_overlap_is_over(admin):
    made = admin.new_key(name="rotated", role="viewer")
    first = admin.with_key(made["key"])
    second_key = admin.ok("POST", f"keys/{made['id']}/rotate", {"overlap": "1h"})
    assert second_key["id"] == made["id"] and second_key["key"] != made["key"]
    second = admin.with_key(second_key["key"])
    assert first.get("teams").status == second.get("teams").status == 200
    third = admin.with_key(admin.ok("POST", f"keys/{made['id']}/rotate", {"overlap": "0s"})["key"])
    assert third.get("teams").status == 200
    assert first.get("teams").status == second.get("teams").status == 401
    hints = [secret["hint"] for secret in admin.ok("GET", f"keys/{made['id']}")["secrets"]]
    assert len(hints) == 3 and hints[-1] == third.key[-4:]


def test_keys_are_listed_in_pages(admin):
    team = unique("pages")
    ids = sorted(admin.new_key(name=f"k{i}", team=team)["id"] for i in range(5))
    seen, after = [], {}
    for expected in (2, 2, 1):
        page = admin.get("keys", team=team, limit=2, **after).json
        assert len(page["data"]) == expected and page["last_id"] == page["data"][-1]["id"]
        assert page["has_more"] == (expected == 2)
        seen += [key["id"] for key in page["data"]]
        after = {"after_id": page["last_id"]}
    assert seen == ids
    assert admin.get("keys", team=team, **after).json == {"data": [], "has_more": False, "last_id": None}
    unknown = admin.get("keys", team="no-such-team")
    assert (unknown.status, unknown.reason) == (404, "not_found")


def test_a_key_may_be_made_with_budgets_and_limits_of_its_own(admin):
    amounts = {"requests_per_minute": 60, "concurrent_requests": 4}
    made = admin.new_key(name="limited", budgets=["50/month", "2.50/day"], **amounts)
    budgets = [budget for budget in admin.ok("GET", "budgets")["data"] if budget["scope_id"] == made["id"]]
    assert {(budget["limit"], budget["period"], budget["scope"]) for budget in budgets} == {
        ("50", "month", "key"),
        ("2.5", "day", "key"),
    }
    assert sorted(budget["id"] for budget in made["budgets"]) == sorted(budget["id"] for budget in budgets)
    limits = [limit for limit in admin.ok("GET", "limits")["data"] if limit["id"] == made["id"]]
    assert limits == [made["limit"]] and made["limit"]["requests_per_minute"] == 60
    before = len(admin.ok("GET", "keys")["data"])
    for wrong in ({"budgets": ["50/fortnight"]}, {"budgets": ["1/day", "2/day"]}, {"requests_per_minute": -1}):
        assert admin.post("keys", {"name": "x", "team": "search", **wrong}).status == 400, wrong
    assert len(admin.ok("GET", "keys")["data"]) == before, "nothing was made"


def test_the_life_of_a_budget(admin):
    team = admin.ok("POST", "teams", {"name": unique("budget")})
    given = {"scope": "team", "id": team["name"], "period": "month", "limit": "50"}
    made = admin.ok("POST", "budgets", {**given, "hard": True, "alerts": [95, 80]})
    assert made["id"].startswith("bud_") and made["scope_id"] == team["id"] and made["name"] == team["name"]
    assert (made["limit"], made["limit_pico"], made["hard"], made["alerts"]) == ("50", 50 * 10**12, True, [80, 95])
    changed = admin.ok("POST", "budgets", {**given, "limit": "0.000000000001", "hard": False})
    assert (changed["id"], changed["limit_pico"], changed["hard"]) == (made["id"], 1, False)
    kept = admin.ok("POST", "budgets", {**given, "limit": 7})
    assert (kept["limit"], kept["hard"], kept["alerts"]) == ("7", False, [80, 95]), "what is not given stays"
    assert kept in admin.ok("GET", "budgets")["data"]
    assert admin.ok("DELETE", f"budgets/{made['id']}") == kept
    again = admin.delete(f"budgets/{made['id']}")
    assert (again.status, again.reason) == (404, "not_found")
    wrongs = [{"limit": "-1"}, {"limit": 1.5}, {"limit": "1e3"}, {"limit": "0"}, {"period": "year"}, {"scope": "x"}]
    for wrong in wrongs:
        assert admin.post("budgets", {**given, **wrong}).reason == "invalid_argument", wrong
    for missing in given:
        rest = {name: value for name, value in given.items() if name != missing}
        assert admin.post("budgets", rest).reason == "missing_field", missing
    assert admin.post("budgets", {**given, "id": "nobody"}).reason == "not_found"
    root = admin.ok("POST", "budgets", {"scope": "root", "period": "total", "limit": "1000"})
    assert admin.post("budgets", {"scope": "root", "id": "x", "period": "total", "limit": "1"}).status == 400
    admin.ok("DELETE", f"budgets/{root['id']}")


def test_the_life_of_a_limit(admin):
    team = admin.ok("POST", "teams", {"name": unique("limit")})
    place = {"scope": "team", "id": team["name"]}

    def stored():
        return [limit for limit in admin.ok("GET", "limits")["data"] if limit["id"] == team["id"]]

    made = admin.ok("POST", "limits", {**place, "requests_per_minute": 5, "concurrent_requests": 2})
    assert made["name"] == team["name"] and made["input_tokens_per_minute"] == 0
    merged = admin.ok("POST", "limits", {**place, "input_tokens_per_minute": 1000})
    assert (merged["requests_per_minute"], merged["input_tokens_per_minute"]) == (5, 1000), "what is not given stays"
    of_class = admin.ok("POST", "limits", {**place, "model_class": "claude-opus-*", "requests_per_minute": 1})
    assert stored() == [merged, of_class]
    nothing = {"requests_per_minute": 0, "input_tokens_per_minute": None, "concurrent_requests": 0}
    admin.ok("POST", "limits", {**place, **nothing})
    assert stored() == [of_class], "a limit without amounts is gone"


def test_roles_bound_what_a_key_may_do(admin):
    client = admin.new_key(name="subject")
    viewer = admin.with_key(admin.new_key(name="v", role="viewer")["key"])
    operator = admin.with_key(admin.new_key(name="o", role="operator")["key"])
    chief_key = admin.new_key(name="a", role="admin")
    chief = admin.with_key(chief_key["key"])
    reads = ["teams", "teams/search", "keys", f"keys/{client['id']}", "budgets", "limits", "usage"]
    for path in [*reads, "audit", "audit/verify", "prices", "config"]:
        assert [who.get(path).status for who in (viewer, operator, chief)] == [200, 200, 200], path
    writes = [
        ("POST", "teams", lambda: {"name": unique("role")}),
        ("PATCH", "teams/search", lambda: {"tags": [unique("tag")]}),
        ("POST", "keys", lambda: {"name": "k", "team": "search"}),
        ("PATCH", f"keys/{client['id']}", lambda: {"owner": unique("owner")}),
        ("POST", f"keys/{client['id']}/rotate", lambda: {}),
        ("POST", "limits", lambda: {"scope": "root", "requests_per_minute": 1_000_000}),
        ("POST", "budgets", lambda: {"scope": "root", "period": "total", "limit": "9000000"}),
    ]
    for method, path, body in writes:
        told = viewer.send(method, path, body())
        assert (told.status, told.reason) == (403, "permission_denied"), path
        assert operator.send(method, path, body()).status in (200, 201), path
        assert chief.send(method, path, body()).status in (200, 201), path
    for method, path, body in [
        ("POST", "keys", {"name": "k", "role": "viewer"}),
        ("PATCH", f"keys/{chief_key['id']}", {"owner": "me"}),
        ("POST", f"keys/{chief_key['id']}/rotate", {}),
        ("POST", f"keys/{chief_key['id']}/revoke", {}),
        ("DELETE", f"keys/{chief_key['id']}", None),
    ]:
        for who in (viewer, operator):
            told = who.send(method, path, body)
            assert (told.status, told.reason) == (403, "permission_denied"), (path, who is viewer)
    assert chief.get("teams").status == 200, "its key was left alone"
    promoted = chief.patch(f"keys/{client['id']}", {"role": "admin"})
    assert (promoted.status, promoted.reason) == (400, "invalid_argument"), "a key keeps its role"
    assert chief.post("keys", {"name": "k", "role": "operator"}).status == 201
    admin.ok("POST", "limits", {"scope": "root", "requests_per_minute": 0})


def test_an_administrators_key_may_be_bound_to_addresses(admin):
    near = admin.with_key(admin.new_key(name="near", role="viewer", ip_ranges=["127.0.0.0/8"])["key"])
    far = admin.with_key(admin.new_key(name="far", role="viewer", ip_ranges=["192.0.2.0/24"])["key"])
    assert near.get("teams").status == 200
    told = far.get("teams")
    assert (told.status, told.reason) == (403, "address_not_allowed")


def test_changes_are_audited_with_who_and_what_and_never_a_secret(gateway, admin):
    start = admin.get("audit", limit=1000).json["last_id"] or 0
    operator = admin.new_key(name="auditor", role="operator")
    team = unique("audited")
    admin.with_key(operator["key"]).ok("POST", "teams", {"name": team})
    made = admin.new_key(name="secretive", team=team)
    rotated = admin.ok("POST", f"keys/{made['id']}/rotate", {})
    entries = admin.get("audit", after=start).json["data"]
    of_keys = [entry["action"] for entry in entries if entry["target"] in (made["id"], operator["id"])]
    assert of_keys == ["key.create", "key.create", "key.rotate"]
    team_entry = next(entry for entry in entries if entry["actor"] == operator["id"])
    assert team_entry["action"] == "team.create" and team in str(team_entry["details"])
    assert (team_entry["actor"], team_entry["role"]) == (operator["id"], "operator")
    key_entry = next(entry for entry in entries if entry["target"] == made["id"])
    assert (key_entry["actor"], key_entry["role"]) == ("admin", "admin")
    assert [entry["seq"] for entry in entries] == list(range(start + 1, start + 1 + len(entries)))
    assert all(first["hash"] == second["previous_hash"] for first, second in zip(entries, entries[1:]))

    shown = "".join(
        admin.get(path).text
        for path in ("keys?with_revoked=true&limit=1000", f"keys/{made['id']}", "audit?limit=1000", "config")
    ) + "\n".join(gateway.lines)
    for secret in (operator["key"], made["key"], rotated["key"], ADMIN_KEY):
        assert secret not in shown
        assert secret[6:40] not in shown, "nor a part of it"


def test_tampering_with_the_audit_log_is_found(gateway, admin):
    admin.ok("POST", "teams", {"name": unique("tamper")})
    verdict = admin.get("audit/verify").json
    assert verdict["whole"] and verdict["broken_at"] is None and verdict["entries"] > 0
    last = verdict["entries"]
    with sqlite3.connect(sqlite_path(gateway)) as database:
        kept = database.execute("SELECT details FROM audit WHERE seq = ?", (last,)).fetchone()[0]
        database.execute("UPDATE audit SET details = '{}' WHERE seq = ?", (last,))
    broken = admin.get("audit/verify").json
    assert (broken["whole"], broken["broken_at"]) == (False, last) and broken["why"]
    with sqlite3.connect(sqlite_path(gateway)) as database:
        database.execute("UPDATE audit SET details = ? WHERE seq = ?", (kept, last))
    assert admin.get("audit/verify").json["whole"]


def test_prices_and_settings_in_force_are_shown_without_secrets(admin):
    prices = admin.ok("GET", "prices")
    assert re.fullmatch(r"[0-9a-f]{16}", prices["id"]) and "claude-" in prices["yaml"]
    settings = admin.ok("GET", "config")
    assert settings["CLAUDE_PROXY_ADMIN_KEY"] == "***" and settings["ANTHROPIC_API_KEY"] == "***"
    assert settings["DATABASE_URL"] == "sqlite:var/claude-proxy.db" and settings["CLAUDE_PROXY_THREADS"] == "1"


def test_wrong_paths_methods_and_members_are_told(admin):
    for method, path, status, reason in [
        ("GET", "nothing", 404, "route_unknown"),
        ("GET", "/admin/v1", 404, "route_unknown"),
        ("GET", "/admin/v2/teams", 404, "route_unknown"),
        ("GET", "teams/", 400, "bad_framing"),
        ("GET", "teams//x", 400, "bad_framing"),
        ("GET", "keys/../teams", 400, "bad_framing"),
        ("GET", "teams/a%2fb", 400, "bad_framing"),
        ("PUT", "teams", 405, "method_not_allowed"),
        ("DELETE", "limits", 405, "method_not_allowed"),
        ("POST", "keys/key_x", 405, "method_not_allowed"),
        ("GET", "teams/nobody", 404, "not_found"),
        ("GET", "keys/key_000000000000000000000000", 404, "not_found"),
        ("GET", "teams?with_archive=true", 400, "invalid_argument"),
        ("GET", "keys?limit=0", 400, "invalid_argument"),
        ("GET", "keys?limit=1001", 400, "invalid_argument"),
        ("GET", "keys?limit=1&limit=2", 400, "duplicate_field"),
        ("GET", "audit?after=-1", 400, "invalid_argument"),
        ("POST", "teams?name=x", 400, "invalid_argument"),
    ]:
        answer = admin.send(method, path)
        assert (answer.status, answer.reason) == (status, reason), (method, path, answer.text)
    told = admin.post("teams", {"name": "x", "model": []})
    assert "`model`" in told.message and "did you mean `models`?" in told.message
    told = admin.get("keys?with_revokd=true")
    assert "did you mean `with_revoked`?" in told.message


def test_a_head_request_has_the_answer_without_its_body(admin):
    whole = admin.get("teams")
    head = admin.send("HEAD", "teams")
    assert head.status == 200 and head.text == ""
    assert int(head.response.header("content-length")) == len(whole.text.encode())


def test_bodies_have_a_limit_and_may_come_in_chunks(gateway, admin):
    metadata = {"a": "x" * 7000}
    body = b'{"name":"%s","metadata":{"a":"%s"}}' % (unique("chunked").encode(), b"x" * 7000)
    with gateway.admin() as client:
        head = request("POST", "/admin/v1/teams", headers=[("Transfer-Encoding", "chunked")], key=ADMIN_KEY)
        pieces = [b"%x\r\n%s\r\n" % (len(body[at : at + 100]), body[at : at + 100]) for at in range(0, len(body), 100)]
        answer = client.ask(head, *pieces, b"0\r\n\r\n", method="POST")
        assert answer.status == 201 and answer.json()["metadata"] == metadata
        assert client.ask(request("GET", "/admin/v1/teams", key=ADMIN_KEY)).status == 200, "the connection goes on"
    for headers, sent in [
        ([("Content-Length", str(1 << 30))], b"{"),
        ([("Transfer-Encoding", "chunked")], (b"%x\r\n" % (2 << 20)) + b"x" * (2 << 20)),
    ]:
        with gateway.admin() as client:
            head = request("POST", "/admin/v1/teams", headers=headers, key=ADMIN_KEY)
            answer = client.ask(head + sent, method="POST")
            assert (answer.status, answer.json()["error"]["details"]["reason"]) == (413, "body_too_large")


def test_requests_on_one_connection_are_answered_in_order(gateway):
    with Client(gateway.admin_port) as client:
        paths = ("/admin/v1/teams", "/health", "/admin/v1/keys")
        client.send(b"".join(request("GET", path, key=ADMIN_KEY) for path in paths))
        answers = [client.read_response("GET") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert answers[1].json() == {"status": "ok"} and "data" in answers[0].json()


def test_each_request_leaves_a_line_in_the_log(gateway, admin):
    answer = admin.get("teams/nobody-at-all", x="")
    line = gateway.wait_event(lambda event: event.get("request_id") == answer.response.header("request-id"))
    assert (line["event"], line["actor"], line["status"], line["path"]) == (
        "admin_request",
        "admin",
        str(answer.status),
        "/admin/v1/teams/nobody-at-all",
    )
    mistaken = admin.get("keys/sk-cp-pasted-by-mistake")
    line = gateway.wait_event(lambda event: event.get("request_id") == mistaken.response.header("request-id"))
    assert "pasted" not in str(line)
