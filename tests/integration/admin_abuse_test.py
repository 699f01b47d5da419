"""What an attacker would send to the admin API: nothing gives a 500, nothing changes a row that it does not name.

Every text of tests/contract/injection_corpus.txt goes into every place that takes a text; then come wrong types,
broken JSON, odd credentials and broken framing.
"""

import json
import os
import re
import sqlite3
import urllib.parse

import pytest

from framing_corpus import REFUSED
from support.admin import ADMIN_KEY, Admin, Answer, checked, sqlite_path
from support.client import Client, request
from support.gateway import ROOT

FINE = (200, 201, 400, 404, 409)
TABLES = ("teams", "keys", "key_secrets", "limits", "budgets", "audit", "state", "attempts", "usage_hourly")


def corpus():
    with open(os.path.join(ROOT, "tests/contract/injection_corpus.txt"), "rb") as file:
        for line in file.read().split(b"\n"):
            if line.startswith(b"#") or not line:
                continue
            times = 1
            if repeated := re.match(rb"repeat (\d+) ", line):
                times, line = int(repeated[1]), line[repeated.end() :]
            yield re.sub(rb"\\x([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), line) * times


CORPUS = list(corpus())


def quoted(text):
    """Bytes as a JSON string: escaped where JSON wants it, raw beyond ASCII, right or wrong."""
    escaped = b"".join(
        b"\\" + bytes([byte]) if byte in b'"\\' else b"\\u%04x" % byte if byte < 0x20 else bytes([byte])
        for byte in text
    )
    return b'"' + escaped + b'"'


def is_utf8(text):
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class Session:
    """The API over one connection that is kept, as long as the answers keep it."""

    def __init__(self, gateway):
        self.gateway, self.client = gateway, None

    def send(self, method, path, body=None, headers=(), key=ADMIN_KEY):
        if self.client is None:
            self.client = Client(self.gateway.admin_port, timeout=30)
        target = (b"/admin/v1/" + path) if isinstance(path, bytes) else "/admin/v1/" + path
        answer = self.client.ask(request(method, target, body, headers, key=key), method=method)
        if answer.header("connection") == "close":
            self.close()
        checked(answer, method)
        return Answer(answer)

    def close(self):
        if self.client:
            self.client.close()
            self.client = None


@pytest.fixture
def session(gateway):
    session = Session(gateway)
    yield session
    session.close()


@pytest.fixture
def witness(gateway):
    """Rows that nobody names; afterwards they are as they were, every table is there, and the audit log is whole."""
    admin = Admin(gateway)
    number = len(admin.get("keys", limit=1000, with_revoked="true").json["data"])
    team = admin.ok("POST", "teams", {"name": f"witness-{number}", "tags": ["w"]})
    key = admin.new_key(name="witness", team=team["name"], budgets=["5/day"], requests_per_minute=7)
    boss = admin.new_key(name="boss", role="viewer")

    def rows():
        queries = [(f"SELECT count(*) >= 0 FROM {table}", ()) for table in TABLES] + [
            ("SELECT * FROM teams WHERE id = ?", (team["id"],)),
            ("SELECT * FROM keys WHERE id IN (?, ?) ORDER BY id", (key["id"], boss["id"])),
            ("SELECT * FROM key_secrets WHERE key_id IN (?, ?) ORDER BY digest", (key["id"], boss["id"])),
            ("SELECT * FROM budgets WHERE scope_id = ?", (key["id"],)),
            ("SELECT * FROM limits WHERE scope_id = ?", (key["id"],)),
            ("SELECT value FROM state WHERE name = 'key_pepper'", ()),
            ("SELECT count(*) FROM keys WHERE role != 'client'", ()),
        ]
        with sqlite3.connect(f"file:{sqlite_path(gateway)}?mode=ro", uri=True) as database:
            return [database.execute(*query).fetchall() for query in queries]

    before = rows()
    yield key
    assert rows() == before
    assert admin.get("audit/verify").json["whole"]
    assert admin.with_key(boss["key"]).get("teams").status == 200
    assert gateway.process.poll() is None


# Member by member: what the request has besides, with %s where the text goes.
BODIES = {
    "team_name": ("POST", "teams", b'{"name":%s}'),
    "team_models": ("POST", "teams", b'{"name":"a%d","models":[%s]}'),
    "team_tags": ("POST", "teams", b'{"name":"b%d","tags":[%s]}'),
    "team_metadata": ("POST", "teams", b'{"name":"c%d","metadata":{%s:%s}}'),
    "key_name": ("POST", "keys", b'{"name":%s,"team":"abuse"}'),
    "key_team": ("POST", "keys", b'{"name":"k","team":%s}'),
    "key_owner": ("POST", "keys", b'{"name":"k","team":"abuse","owner":%s}'),
    "key_role": ("POST", "keys", b'{"name":"k","team":"abuse","role":%s}'),
    "key_scopes": ("POST", "keys", b'{"name":"k","team":"abuse","scopes":[%s]}'),
    "key_ip_ranges": ("POST", "keys", b'{"name":"k","team":"abuse","ip_ranges":[%s]}'),
    "key_expires_at": ("POST", "keys", b'{"name":"k","team":"abuse","expires_at":%s}'),
    "key_budgets": ("POST", "keys", b'{"name":"k","team":"abuse","budgets":[%s]}'),
    "budget_scope": ("POST", "budgets", b'{"scope":%s,"id":"abuse","period":"day","limit":"1"}'),
    "budget_id": ("POST", "budgets", b'{"scope":"team","id":%s,"period":"day","limit":"1"}'),
    "budget_key": ("POST", "budgets", b'{"scope":"key","id":%s,"period":"day","limit":"1"}'),
    "budget_period": ("POST", "budgets", b'{"scope":"team","id":"abuse","period":%s,"limit":"1"}'),
    "budget_limit": ("POST", "budgets", b'{"scope":"team","id":"abuse","period":"day","limit":%s}'),
    "limit_id": ("POST", "limits", b'{"scope":"team","id":%s,"requests_per_minute":5}'),
    "limit_class": ("POST", "limits", b'{"scope":"team","id":"abuse","model_class":%s,"requests_per_minute":5}'),
    "member_name": ("POST", "teams", b'{%s:1}'),
}
PATHS = ["teams/%s", "keys/%s", "requests/%s", "%s", "teams/%s/x"]
WRITE_PATHS = [("PATCH", "teams/%s"), ("PATCH", "keys/%s"), ("DELETE", "teams/%s"), ("DELETE", "keys/%s"),
               ("DELETE", "budgets/%s"), ("POST", "keys/%s/rotate"), ("POST", "keys/%s/revoke")]  # fmt: skip
QUERIES = ["keys?team=%s", "keys?after_id=%s", "keys?limit=%s", "keys?with_revoked=%s", "teams?with_archived=%s",
           "audit?after=%s", "audit?limit=%s", "usage?team=%s", "usage?key=%s", "usage?model=%s", "usage?tag=%s",
           "usage?from=%s", "usage?to=%s", "usage?group_by=%s", "usage?format=%s", "keys?%s=1"]  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_texts_of_the_corpus_in_bodies_are_stored_as_they_stand_or_refused(session, witness, name):
    method, path, shape = BODIES[name]
    Admin(session.gateway).send("POST", "teams", {"name": "abuse"})
    for number, text in enumerate(CORPUS):
        body = shape.replace(b"%d", b"%d" % number).replace(b"%s", quoted(text))
        answer = session.send(method, path, body)
        assert answer.status in FINE, (text[:200], answer.text)
        if not is_utf8(text):
            assert answer.reason == "invalid_json", text
        if answer.status == 201 and name in ("key_name", "key_owner"):
            member = name.removeprefix("key_")
            assert session.send("GET", f"keys/{answer['id']}").json[member] == text.decode("utf-8")


@pytest.mark.parametrize("path", PATHS + QUERIES)
def test_texts_of_the_corpus_in_paths_and_queries_find_nothing_that_they_do_not_name(session, witness, path):
    for text in CORPUS:
        if len(text) > 9_000:
            continue  # longer than a head may be once it is encoded
        encoded = urllib.parse.quote_from_bytes(text, safe="").encode()
        answer = session.send("GET", path.encode().replace(b"%s", encoded))
        assert answer.status in FINE, (text[:200], answer.text)
        assert witness["key"][-4:] not in answer.text or "keys" in path


@pytest.mark.parametrize("method, path", WRITE_PATHS)
def test_texts_of_the_corpus_name_nothing_that_could_be_changed(session, witness, method, path):
    for text in CORPUS:
        if len(text) > 9_000:
            continue
        encoded = urllib.parse.quote_from_bytes(text, safe="").encode()
        answer = session.send(method, path.encode().replace(b"%s", encoded), b"{}" if method != "DELETE" else None)
        is_name = re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", text)  # of a team, which another test may have made
        assert answer.status in (400, 404, 405) or (is_name and "teams" in path), (text[:200], answer.text)


def test_texts_of_the_corpus_are_no_credentials(session, witness):
    for text in CORPUS:
        if any(byte < 0x20 or byte == 0x7F for byte in text) or len(text) > 60_000:
            continue  # such heads are refused as a whole: framing_test.py
        for headers in ([("x-api-key", text)], [("authorization", b"Bearer " + text)], [("authorization", text)]):
            answer = session.send("GET", "keys", headers=headers, key=None)
            assert answer.status == 401, text
            assert answer.reason in ("credential_invalid", "credential_missing"), text


@pytest.mark.parametrize(
    "headers",
    [
        [("x-api-key", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer   \t ")],
        [("authorization", f"Bearer{ADMIN_KEY}")],
        [("authorization", f"Bearer {ADMIN_KEY} x")],
        [("authorization", f"Bearer x {ADMIN_KEY}")],
        [("authorization", f"Bearer {ADMIN_KEY},")],
        [("authorization", f"Basic {ADMIN_KEY}")],
        [("authorization", ADMIN_KEY)],
        [("x-api-key", f"{ADMIN_KEY},{ADMIN_KEY}")],
        [("x-api-key", ADMIN_KEY.upper())],
        [("x-api-key", ADMIN_KEY[:-1])],
        [("x-api-key", f'"{ADMIN_KEY}"')],
        [("x-api-key", "sk-cp-" + "0" * 49)],
        [("x-api-key", "k" * 50_000)],
        [("x-api-key", b"\xff\xfe\x80")],
        [("x-api-key", f"wrong-{number}") for number in range(150)],
        [("x-api-keys", ADMIN_KEY)],
        [("x_api_key", ADMIN_KEY)],
        [("proxy-authorization", f"Bearer {ADMIN_KEY}")],
        [("cookie", f"x-api-key={ADMIN_KEY}")],
    ],
)
def test_odd_credentials_do_not_pass(session, headers):
    answer = session.send("GET", "keys", headers=headers, key=None)
    assert answer.status == 401 and answer.reason in ("credential_invalid", "credential_missing")


def test_a_credential_in_the_address_does_not_pass(session):
    for query in (f"x-api-key={ADMIN_KEY}", f"key={ADMIN_KEY}", f"api_key={ADMIN_KEY}"):
        assert session.send("GET", f"keys?{query}", key=None).status == 401


VALUES = [
    b"null", b"true", b"false", b"0", b"1", b"-1", b"1.5", b"1e400", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551616", b"-9223372036854775809", b'""', b'" "', b'"1"', b"[]", b"{}", b"[[]]", b"[null]", b"[1]",
    b'[""]', b'["a","a"]', b'{"a":1}', b'"' + b"x" * 100_000 + b'"', b"[" + b'"x",' * 5_000 + b'"x"]',
    b"[" * 14 + b"]" * 14, b'"\\u0000"', b'"\\ud83d\\ude00"', b'"\\u202e"',
]  # fmt: skip
OBJECTS = {
    ("POST", "teams"): {"name": "typed", "models": ["m"], "tags": ["t"], "metadata": {}},
    ("PATCH", "teams/typed-2"): {"name": "typed-2", "models": ["m"], "tags": ["t"], "metadata": {}},
    ("POST", "keys"): {
        "name": "k", "team": "typed-2", "owner": "o", "role": "client", "scopes": ["messages"], "models": ["m"],
        "tags": ["t"], "ip_ranges": ["::1"], "metadata": {}, "expires_at": "2099-01-01", "budgets": ["1/day"],
        "requests_per_minute": 1, "input_tokens_per_minute": 1, "output_tokens_per_minute": 1, "concurrent_requests": 1,
    },
    ("POST", "budgets"): {
        "scope": "team", "id": "typed-2", "period": "day", "limit": "1", "hard": True, "alerts": [80],
    },
    ("POST", "limits"): {
        "scope": "team", "id": "typed-2", "model_class": "m", "requests_per_minute": 1, "input_tokens_per_minute": 1,
        "output_tokens_per_minute": 1, "concurrent_requests": 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("method, path", OBJECTS)
def test_values_of_every_type_in_every_member_are_taken_or_refused(session, witness, method, path):
    Admin(session.gateway).send("POST", "teams", {"name": "typed-2"})
    rest = OBJECTS[method, path]
    for member in rest:
        others = {name: value for name, value in rest.items() if name != member}
        for value in VALUES:
            body = json.dumps(others).encode()[:-1] + (b"," if others else b"") + b'"%s":%s}' % (member.encode(), value)
            answer = session.send(method, path, body)
            assert answer.status in (200, 201, 400, 404, 409), (member, value[:100], answer.text)
            if answer.status == 400:
                assert len(answer.message) < 500, "what was given is not sent back in full"


@pytest.mark.parametrize(
    "body, reason",
    [
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"null", "invalid_json"),
        (b'"name"', "invalid_json"),
        (b"name=x", "invalid_json"),
        (b"<team/>", "invalid_json"),
        (b'{"name":"x"}{"name":"y"}', "invalid_json"),
        (b'{"name":"x"} trailing', "invalid_json"),
        (b'{"name":"x",}', "invalid_json"),
        (b"{'name':'x'}", "invalid_json"),
        (b'{"name":"x" /* c */}', "invalid_json"),
        (b'\xef\xbb\xbf{"name":"x"}', "invalid_json"),
        ('{"name":"x"}'.encode("utf-16"), "invalid_json"),
        (b'{"name":"a\x00b"}', "invalid_json"),
        (b'{"name":"a\\u0000b"}', "invalid_argument"),
        (b'{"name":"a\nb"}', "invalid_json"),
        (b'{"name":"\\ud800"}', "invalid_json"),
        (b'{"name":"x","name":"y"}', "duplicate_field"),
        (b'{"name":"x","\\u006eame":"y"}', "duplicate_field"),
        (b'{"name":"x","metadata":{"a":1,"a":2}}', "duplicate_field"),
        (b'{"name":"x","metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
        (b'{"name":"x","metadata":' + b'{"a":' * 1_000 + b"1" + b"}" * 1_000 + b"}", "invalid_json"),
        (b'{"name":"x","metadata":{"a":"' + b"x" * 9_000 + b'"}}', "invalid_argument"),
        (b'{"name":"x","id":"team_000000000000000000000000"}', "invalid_argument"),
        (b'{"name":"x","created_at":0}', "invalid_argument"),
        (b'{"name":"x","__proto__":{}}', "invalid_argument"),
        (b'{"name":"x","":1}', "invalid_argument"),
        (b'{"name":"' + b"x" * ((1 << 20) - 100) + b'"}', "invalid_argument"),
        (b'{"name":"' + b"x" * (1 << 20) + b'"}', "body_too_large"),
        (b"{" + b'"a":1,' * 150_000 + b'"b":1}', "duplicate_field"),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else value,
)  # fmt: skip
def test_bodies_that_are_no_request_are_refused(session, witness, body, reason):
    answer = session.send("POST", "teams", body)
    assert answer.status in (400, 413) and answer.reason == reason, answer.text
    assert len(answer.message) < 500


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_framing_is_refused_here_too(gateway, name):
    data, statuses = REFUSED[name]
    data = data.replace(b"POST /v1/messages HTTP", b"POST /admin/v1/teams HTTP")
    data = data.replace(b"sk-cp-one", ADMIN_KEY.encode())
    smuggled = request("POST", "/admin/v1/teams", b'{"name":"smuggled"}', key=ADMIN_KEY)
    with Client(gateway.admin_port, timeout=5) as client:
        client.send(data + smuggled)
        answer = client.read_response("GET")
        assert answer.status in statuses and answer.header("connection") == "close", (answer.raw_head, answer.body)
        checked(answer, "GET")
        assert client.rest() == b"", "a second answer came after the refusal"
    assert Admin(gateway).get("teams/smuggled").status == 404


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "\u00fc", ""]
)
def test_the_content_type_changes_nothing(session, content_type):
    number = len(session.send("GET", "teams").json["data"])
    answer = session.send("POST", "teams", b'{"name":"typeless-%d"}' % number, headers=[("content-type", content_type)])
    assert answer.status == 201 and answer["name"] == f"typeless-{number}"


def test_headers_of_other_proxies_do_not_choose_the_route_or_the_method(session, witness):
    headers = [
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Original-URL", "/admin/v1/keys"),
        ("X-Rewrite-URL", "/metrics"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Host", "evil.test"),
    ]
    answer = session.send("GET", f"keys/{witness['id']}", headers=headers)
    assert answer.status == 200 and answer["id"] == witness["id"] and answer["revoked_at"] is None


def test_nothing_of_all_this_is_a_defect_in_the_log(gateway):
    told = [event for event in gateway.events if event.get("level") == "error"]
    assert told == []
