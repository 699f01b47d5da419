"""Callers with a token of an identity provider: who they are, what they may, and when they are refused."""

import time

import pytest

from support.admin import cli
from support.client import request
from support.gateway import DEFAULTS, KEY, Gateway
from support.jwt import AUDIENCE, ISSUER, SECRET, EcKey, KeyServer, RsaKey, SharedSecret, encoded, token
from support.ledger import Ledger
from support.timing import seconds, wait_until

BODY = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[{"role":"user","content":"hi"}]}'
HS = SharedSecret()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("issuer")
    return {"rsa": RsaKey(directory, "rsa-1"), "ec": EcKey(directory, "ec-1"), "new": EcKey(directory, "ec-2")}


@pytest.fixture(scope="module")
def issuer(keys):
    with KeyServer(keys["rsa"], keys["ec"]) as server:
        yield server


def new_team(gateway, name, *words):
    return cli(gateway.directory, "teams", "create", name, *words, "--json").json["id"]


@pytest.fixture(scope="module")
def team(shared_upstream, issuer):
    """A gateway that believes the issuer's keys and its secret, and the id of its team `search`."""
    settings = {"JWT_JWKS_URL": issuer.url + "/keys", "JWT_SECRET": SECRET, "JWT_ISSUER": ISSUER}
    with Gateway(shared_upstream.url, JWT_AUDIENCE=AUDIENCE, **settings) as gateway:
        gateway.own_id = new_team(gateway, "search")
        new_team(gateway, "haiku", "--model", "claude-haiku-*")
        new_team(gateway, "gone")
        cli(gateway.directory, "teams", "archive", "gone")
        wait_until(lambda: ask(gateway, token(HS)).status == 200, 10, "the team is known")
        wait_until(lambda: ask(gateway, token(HS, team="gone")).status == 403, 10, "the other is known as archived")
        issuer.wait_calls(1)
        yield gateway


@pytest.fixture
def gateway(team):
    return team


def ask(gateway, credential, target="/v1/messages", header="authorization", **options):
    value = f"Bearer {credential}" if header == "authorization" else credential
    headers = [(header, value), *options.pop("headers", [])]
    method = options.pop("method", "POST")
    return gateway.ask(request(method, target, BODY if method == "POST" else None, headers, key=None, **options))


def check_refused(response, status, reason):
    told = response.json()["error"]
    assert (response.status, told["details"]["reason"]) == (status, reason), response.body
    assert response.header("x-should-retry") == ("false" if status < 500 else None)
    return told["message"]


@pytest.mark.parametrize("which", ["secret", "rsa", "ec"])
@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_token_is_as_good_as_a_key(gateway, upstream, keys, which, header):
    key = keys.get(which, HS)
    good = token(key, sub="ana@example.org")
    for _ in range(2):  # the second one is remembered
        response = ask(gateway, good, header=header, headers=[("user-agent", "test/1")])
        assert response.status == 200, response.body
        row = Ledger(gateway).attempt(response)
        assert (row["team_id"], row["key_id"]) == (gateway.own_id, "jwt")
        assert (row["details"]["subject"], row["details"]["user_agent"]) == ("ana@example.org", "test/1")
    line = gateway.request_line(response)
    assert (line["caller"], line["team"]) == ("jwt", "search")
    for call in upstream.calls:
        assert good.encode() not in call.raw_head and call.header("authorization") is None


def test_keys_and_tokens_stand_side_by_side(gateway, upstream):
    good = token(HS)
    assert gateway.ask(request(body=BODY, key=KEY)).status == 200
    assert gateway.ask(request(body=BODY, headers=[("authorization", f"Bearer {good}")], key="sk-cp-x")).status == 200
    assert gateway.ask(request(body=BODY, headers=[("authorization", "Bearer eyJ.a.b")], key=KEY)).status == 200


def test_a_team_may_be_named_by_its_id(gateway, upstream):
    assert ask(gateway, token(HS, team=gateway.own_id)).status == 200


@pytest.mark.parametrize(
    "scope, opened",
    [
        (None, {"messages", "models"}),
        ("*", {"messages", "models"}),
        ("models", {"models"}),
        ("models  messages", {"messages", "models"}),
        (["messages", "files"], {"messages"}),
        ("openid email", set()),
    ],
    ids=["none", "star", "one", "two", "list", "foreign"],
)
def test_a_tokens_scopes_are_what_it_may_do(gateway, upstream, scope, opened):
    good = token(HS, scope=scope)
    for label, method, target in (("messages", "POST", "/v1/messages"), ("models", "GET", "/v1/models")):
        response = ask(gateway, good, target, method=method)
        if label in opened:
            assert response.status == 200, response.body
        else:
            assert f"`{label}`" in check_refused(response, 403, "permission_denied")


@pytest.mark.parametrize(
    "claims, reason, told",
    [
        ({"exp": -60}, "credential_expired", "expired"),
        ({"exp": None}, "credential_invalid", "`exp`"),
        ({"exp": "tomorrow"}, "credential_invalid", "`exp`"),
        ({"nbf": 600}, "credential_invalid", "`nbf`"),
        ({"iat": 600}, "credential_invalid", "`iat`"),
        ({"aud": "another-service"}, "credential_invalid", "`aud`"),
        ({"aud": None}, "credential_invalid", "`aud`"),
        ({"iss": "https://issuer.test"}, "credential_invalid", "`iss`"),
        ({"team": None}, "credential_invalid", "`team`"),
        ({"team": 7}, "credential_invalid", "`team`"),
        ({"sub": None}, "credential_invalid", "`sub`"),
        ({"scope": 7}, "credential_invalid", "`scope`"),
    ],
    ids=lambda value: "_".join(f"{key}_{value[key]}" for key in value) if isinstance(value, dict) else None,
)
def test_a_token_with_wrong_claims_is_refused(gateway, upstream, claims, reason, told):
    bad = token(HS, **claims)
    response = ask(gateway, bad)
    assert told in check_refused(response, 401, reason)
    assert bad.split(".")[1].encode() not in response.body
    assert upstream.calls == []


def test_an_audience_among_others_will_do_and_clocks_may_differ_a_little(gateway, upstream):
    assert ask(gateway, token(HS, aud=["x", AUDIENCE])).status == 200
    assert ask(gateway, token(HS, exp=-10, iat=10, nbf=10)).status == 200


def test_a_token_that_nobody_signed_is_refused(gateway, upstream, keys):
    good = token(HS)
    head, payload, signature = good.split(".")
    other = encoded(b'{"sub":"boss","team":"search"}')
    public = SharedSecret(keys["rsa"].public_pem())
    unsigned = encoded(b'{"alg":"none"}')
    forged = {
        "another payload": f"{head}.{other}.{signature}",
        "no signature": f"{head}.{payload}.",
        "half a signature": f"{head}.{payload}.{signature[:-20]}",
        "alg none": f"{unsigned}.{payload}.",
        "another secret": token(SharedSecret("x" * 40)),
        "the public key as a secret": token(public, head={"kid": keys["rsa"].kid}),
        "the name of another key": token(keys["ec"], head={"kid": keys["rsa"].kid}),
        "another algorithm": token(keys["ec"], head={"alg": "RS256"}),
        "longer than allowed": token(HS, padding="x" * 20_000),
        "no token at all": "eyJhbGciOiJIUzI1NiJ9.!!!.???",
    }
    for what, bad in forged.items():
        for header in ("authorization", "x-api-key"):
            response = ask(gateway, bad, header=header)
            assert response.status == 401, (what, response.body)
            check_refused(response, 401, "credential_invalid")
    assert upstream.calls == []


@pytest.mark.parametrize("name", ["nobody", "gone"])
def test_a_team_that_is_not_here_is_refused(gateway, upstream, name):
    assert "team" in check_refused(ask(gateway, token(HS, team=name)), 403, "permission_denied")
    assert upstream.calls == []


def test_the_rules_of_the_team_hold_for_its_tokens(gateway, upstream):
    check_refused(ask(gateway, token(HS, team="haiku")), 403, "model_not_allowed")
    cli(gateway.directory, "budgets", "set", "--team", "haiku", "1/day")
    wait_until(
        lambda: ask(gateway, token(HS, team="haiku", scope="*"), "/v1/complete").status == 403,
        10,
        "the budget is obeyed",
    )
    assert upstream.wait_calls(0) is not None


def test_users_of_a_team_do_not_share_idempotency_keys(gateway, upstream):
    def asked(**claims):
        return ask(gateway, token(HS, **claims), headers=[("idempotency-key", "shared")])

    first = asked(sub="ana")
    assert asked(sub="ana").header("x-claude-proxy-replay-of") == first.header("x-claude-proxy-request-id")
    for other in ({"sub": "bo"}, {"sub": "ana", "team": "haiku"}):
        assert asked(**other).header("x-claude-proxy-replay-of") is None
    assert len(upstream.calls) == 2


def test_a_project_of_supabase_needs_one_setting(shared_upstream, keys):
    shared_upstream.reset()
    with KeyServer(keys["ec"]) as project:
        settings = {"SUPABASE_URL": project.url + "/", "JWT_DEFAULT_TEAM": "guests"}
        with Gateway(shared_upstream.url, **settings) as gateway:
            guests, own_id = new_team(gateway, "guests"), new_team(gateway, "search")
            common = {"iss": project.url + "/auth/v1", "aud": "authenticated", "team": None, "sub": "5f0c-1"}
            good = token(keys["ec"], app_metadata={"team": "search"}, user_metadata={"team": "haiku"}, **common)
            wait_until(lambda: ask(gateway, good).status == 200, 10, "the team and the keys are known")
            assert project.calls[0].target == b"/auth/v1/.well-known/jwks.json"
            row = Ledger(gateway).attempt(ask(gateway, good))
            assert (row["team_id"], row["details"]["subject"]) == (own_id, "5f0c-1")
            guest = token(keys["ec"], app_metadata={"provider": "email"}, **common)
            assert Ledger(gateway).attempt(ask(gateway, guest))["team_id"] == guests
            anonymous = {**common, "aud": "anon"}
            assert "`aud`" in check_refused(ask(gateway, token(keys["ec"], **anonymous)), 401, "credential_invalid")
            check_refused(ask(gateway, token(HS)), 401, "credential_invalid")


def test_without_the_issuers_keys_its_tokens_wait_and_others_work(shared_upstream, keys):
    shared_upstream.reset()
    with KeyServer() as broken:
        broken.handler = lambda call, peer: peer.cut()
        settings = {"JWT_JWKS_URL": broken.url, "JWT_SECRET": SECRET, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
        with Gateway(shared_upstream.url, **settings) as gateway:
            gateway.wait_event(lambda event: event.get("event") == "jwks_unreachable")
            refused = ask(gateway, token(keys["rsa"]))
            check_refused(refused, 529, "directory_stale")
            assert int(refused.header("retry-after")) >= 1
            new_team(gateway, "search")
            wait_until(lambda: ask(gateway, token(HS)).status == 200, 10, "the team is known")


SOUND = {
    "CLAUDE_PROXY_JWT_SECRET": SECRET,
    "CLAUDE_PROXY_JWT_ISSUER": ISSUER,
    "CLAUDE_PROXY_JWT_AUDIENCE": AUDIENCE,
}


@pytest.mark.parametrize(
    "name, value",
    [
        ("CLAUDE_PROXY_JWT_SECRET", "short"),
        ("CLAUDE_PROXY_JWT_ISSUER", None),
        ("CLAUDE_PROXY_JWT_AUDIENCE", None),
        ("CLAUDE_PROXY_JWT_JWKS_URL", "http://issuer.test/keys"),
        ("CLAUDE_PROXY_JWT_JWKS_URL", "issuer"),
        ("CLAUDE_PROXY_SUPABASE_URL", "http://project.supabase.co"),
        ("CLAUDE_PROXY_JWT_TEAM_CLAIM", "user_metadata.team"),
        ("CLAUDE_PROXY_JWT_SUBJECT_CLAIM", "x" * 300),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_setting_that_cannot_be_right_stops_the_start_and_is_named(tmp_path, name, value):
    settings = {**DEFAULTS, "CLAUDE_PROXY_UPSTREAM_URL": "http://127.0.0.1:9", **SOUND, name: value}
    done = cli(tmp_path, "serve", **settings)
    assert done.code in (1, 2) and name in done.err, done.err
    assert "listening" not in done.err and SECRET not in done.err


def test_settings_without_anything_to_check_with_stop_the_start(tmp_path):
    settings = {**DEFAULTS, "CLAUDE_PROXY_UPSTREAM_URL": "http://127.0.0.1:9", **SOUND}
    del settings["CLAUDE_PROXY_JWT_SECRET"]
    done = cli(tmp_path, "serve", **settings)
    assert done.code in (1, 2) and "CLAUDE_PROXY_JWT_JWKS_URL" in done.err and "CLAUDE_PROXY_JWT_SECRET" in done.err


def test_a_new_key_of_the_issuer_is_fetched_when_a_token_names_it(gateway, upstream, issuer, keys):
    """Last in the file: the keys are asked for at most every ten seconds."""
    before = len(issuer.calls)
    issuer.show(keys["new"])
    new, old = token(keys["new"]), token(keys["ec"])
    assert ask(gateway, old).status == 200, "nothing tells yet that it is gone"

    def accepted():
        began = time.monotonic()
        response = ask(gateway, new)
        assert time.monotonic() - began < seconds(1)
        if response.status != 200:
            check_refused(response, 401, "credential_invalid")
        return response.status == 200

    wait_until(accepted, 15, "the new key")
    assert len(issuer.calls) == before + 1
    check_refused(ask(gateway, old), 401, "credential_invalid")
    assert ask(gateway, token(HS)).status == 200
    for number in range(50):  # made-up names do not make us ask again and again
        check_refused(ask(gateway, token(HS, head={"alg": "ES256", "kid": str(number)})), 401, "credential_invalid")
    assert len(issuer.calls) == before + 1
