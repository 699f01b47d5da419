"""Secrets from AWS Secrets Manager and from files: how they are read, read again, and when they are not taken up."""

import json
import signal

import pytest

from support import secrets_manager
from support.admin import Admin, cli
from support.client import request
from support.gateway import DEFAULTS, Gateway
from support.jwt import AUDIENCE, ISSUER, SharedSecret, token
from support.secrets_manager import SecretsManager
from support.timing import wait_until
from support.upstream import answer

BODY = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[{"role":"user","content":"hi"}]}'
MESSAGE = b'{"id":"msg_1","type":"message","content":[],"usage":{"input_tokens":1,"output_tokens":1}}'
FIRST, SECOND = "sk-ant-api03-first-upstream-key", "sk-ant-api03-second-upstream-key"
PLAIN = {"ANTHROPIC_API_KEY": None, "API_KEYS": None, "ADMIN_KEY": None}
MEMBERS = {
    "ANTHROPIC_API_KEY": FIRST,
    "CLAUDE_PROXY_API_KEYS": "sk-cp-static-key-one,sk-cp-static-key-two",
    "CLAUDE_PROXY_ADMIN_KEY": "sk-cp-admin-key-first",
    "CLAUDE_PROXY_JWT_SECRET": "first-secret-of-an-issuer-with-more-than-32-bytes",
}
JWT = {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE, "JWT_DEFAULT_TEAM": "default"}


@pytest.fixture
def manager():
    with SecretsManager() as manager:
        manager.put(**MEMBERS)
        yield manager


@pytest.fixture
def plain_upstream(upstream):
    upstream.handler = lambda call, peer: peer.send(answer(body=MESSAGE))
    return upstream


def env_text(members):
    return "".join(f'{name}="{value}"\n' for name, value in members.items())


def ask(gateway, key="sk-cp-static-key-one"):
    return gateway.ask(request("POST", "/v1/messages", BODY, [("anthropic-version", "2023-06-01")], key=key))


def used_key(gateway, upstream, key="sk-cp-static-key-one"):
    """The credential that upstream sees of one request."""
    before = len(upstream.calls)
    assert ask(gateway, key).status == 200
    return upstream.calls[before].header("x-api-key")


def event(gateway, name, timeout=20, **fields):
    wanted = {"event": name, **fields}
    return gateway.wait_event(lambda line: all(line.get(key) == value for key, value in wanted.items()), timeout, name)


def metric(gateway, name):
    found = [line for line in gateway.metrics().body.decode().splitlines() if line.startswith(f"claude_proxy_{name} ")]
    assert len(found) == 1, name
    return float(found[0].split()[-1])


def reads(gateway, outcome):
    return metric(gateway, f'secrets_reads_total{{outcome="{outcome}"}}')


def ready(gateway):
    with gateway.admin() as admin:
        return admin.ask(request("GET", "/ready", key=None)).status


def no_secret_in(gateway, *values):
    text = "\n".join(gateway.lines)
    for value in values:
        assert value not in text


@pytest.mark.parametrize("by", ["secrets manager", "file and hangup"])
def test_what_is_rotated_is_taken_up_without_a_restart(by, plain_upstream, manager):
    """Upstream key, static keys, admin key and the secret of tokens: the new ones work, the old ones do not."""
    changed = {
        "ANTHROPIC_API_KEY": SECOND,
        "CLAUDE_PROXY_API_KEYS": "sk-cp-static-key-one,sk-cp-static-key-new",
        "CLAUDE_PROXY_ADMIN_KEY": "sk-cp-admin-key-second",
        "CLAUDE_PROXY_JWT_SECRET": "second-secret-of-an-issuer-with-more-than-32-bytes",
    }
    from_amazon = by == "secrets manager"
    settings = {**PLAIN, **JWT, "THREADS": 2, **(manager.settings if from_amazon else {})}
    files = None if from_amazon else {".env": env_text(MEMBERS)}
    with Gateway(plain_upstream.url, files=files, **settings) as gateway:
        tokens = [token(SharedSecret(each["CLAUDE_PROXY_JWT_SECRET"]), team="default") for each in (MEMBERS, changed)]
        assert cli(gateway.directory, "teams", "create", "default").code == 0
        wait_until(lambda: ask(gateway, tokens[0]).status == 200, 10, "the team is known")
        assert used_key(gateway, plain_upstream) == FIRST
        assert ask(gateway, "sk-cp-static-key-two").status == 200
        assert ask(gateway, "sk-cp-static-key-new").status == 401 and ask(gateway, tokens[1]).status == 401
        assert Admin(gateway, "sk-cp-admin-key-first").get("teams").status == 200

        if from_amazon:
            manager.put(**changed)
        else:
            gateway.write(".env", env_text(changed))
            gateway.signal(signal.SIGHUP)
        told = event(gateway, "secrets_read")
        assert set(told["changed"].split(", ")) == set(changed)
        if from_amazon:
            assert told["version"] == manager.version[:8] and told["from"] == "claude-proxy-secrets in eu-west-1"
            assert metric(gateway, "secrets_version_timestamp_seconds") == 1_790_000_000.5
        # What is posted to the reactors takes a moment, static keys the next look at the directory.
        wait_until(lambda: ask(gateway, "sk-cp-static-key-new").status == 200, 10, "the new static key")
        assert {used_key(gateway, plain_upstream) for _ in range(8)} == {SECOND}
        assert ask(gateway, "sk-cp-static-key-two").status == 401
        assert ask(gateway, tokens[1]).status == 200 and ask(gateway, tokens[0]).status == 401
        assert Admin(gateway, "sk-cp-admin-key-second").get("teams").status == 200
        assert Admin(gateway, "sk-cp-admin-key-first").get("teams").status == 401
        assert metric(gateway, "secrets_changed_total") == 4 and metric(gateway, "secrets_waiting_for_restart") == 0
        no_secret_in(gateway, *MEMBERS.values(), *changed.values())


def test_a_request_that_waits_goes_upstream_with_the_key_of_the_moment_it_goes(plain_upstream):
    """It arrives while the old key is in force; its body is whole only when that has been rotated away."""
    with Gateway(plain_upstream.url, files={".env": env_text(MEMBERS)}, **PLAIN, **JWT) as gateway:
        whole = request("POST", "/v1/messages", BODY, [("anthropic-version", "2023-06-01")], key="sk-cp-static-key-one")
        with gateway.client() as client:
            client.send(whole[:-10])
            assert used_key(gateway, plain_upstream) == FIRST  # the head before this one was read by now
            gateway.write(".env", env_text({**MEMBERS, "ANTHROPIC_API_KEY": SECOND}))
            gateway.signal(signal.SIGHUP)
            event(gateway, "secrets_read")
            wait_until(lambda: used_key(gateway, plain_upstream) == SECOND, 10, "the new key")
            before = len(plain_upstream.calls)
            client.send(whole[-10:])
            assert client.read_response().status == 200
        assert plain_upstream.calls[before].header("x-api-key") == SECOND


def test_the_environment_wins_over_the_secret_and_that_is_told(plain_upstream, manager):
    with Gateway(plain_upstream.url, **{**PLAIN, **JWT, **manager.settings, "ANTHROPIC_API_KEY": SECOND}) as gateway:
        assert used_key(gateway, plain_upstream) == SECOND
        told = event(gateway, "setting")
        assert "ANTHROPIC_API_KEY is in the environment and in the secret" in told["what"]


def test_a_hangup_reads_the_secrets_manager_before_its_time(plain_upstream, manager):
    """The timer's next look is an hour away: what is taken up is taken up by the signal."""
    settings = {**PLAIN, **JWT, **manager.settings, "SECRETS_REFRESH": "1h"}
    with Gateway(plain_upstream.url, **settings) as gateway:
        assert used_key(gateway, plain_upstream) == FIRST and reads(gateway, "read") == 0
        manager.put(**{**MEMBERS, "ANTHROPIC_API_KEY": SECOND})
        gateway.signal(signal.SIGHUP)
        told = event(gateway, "secrets_read", changed="ANTHROPIC_API_KEY")
        assert told["version"] == manager.version[:8]
        wait_until(lambda: used_key(gateway, plain_upstream) == SECOND, 10, "the new key")
        assert reads(gateway, "read") == 1


@pytest.mark.parametrize(
    "trouble, answers",
    [
        ("away", secrets_manager.away),
        ("away", lambda _: (0, "")),
        ("refused", secrets_manager.refusal("AccessDeniedException")),
        ("refused", secrets_manager.refusal("ResourceNotFoundException")),
        ("broken", lambda _: (200, json.dumps({"SecretString": "sk-ant-not-json"}))),
        ("broken", lambda _: (200, json.dumps({"SecretString": json.dumps({**MEMBERS, "ANTHROPIC_API_KEY": 7})}))),
        ("broken", lambda _: (200, json.dumps({"SecretString": "{}"}))),
        ("broken", lambda _: (200, "<html>sk-ant-a-page</html>")),
    ],
    ids=["500", "hangs up", "denied", "gone", "no json", "a number", "empty", "a page"],
)
def test_what_cannot_be_read_changes_nothing(trouble, answers, plain_upstream, manager):
    with Gateway(plain_upstream.url, **{**PLAIN, **JWT, **manager.settings}) as gateway:
        assert metric(gateway, "secrets_age_seconds") < 5
        manager.answer = answers
        gateway.signal(signal.SIGHUP)
        event(gateway, "secrets_unreadable", 30, trouble=trouble)
        wait_until(lambda: reads(gateway, "failed") >= 2, 30, "a second failure")
        assert used_key(gateway, plain_upstream) == FIRST and ready(gateway) == 200
        assert Admin(gateway, "sk-cp-admin-key-first").get("teams").status == 200
        failures = [line for line in list(gateway.events) if line.get("event") == "secrets_unreadable"]
        assert len(failures) == 1, "a trouble is told once"
        age = metric(gateway, "secrets_age_seconds")
        manager.answer = None
        manager.put(**{**MEMBERS, "ANTHROPIC_API_KEY": SECOND})
        event(gateway, "secrets_readable_again")
        event(gateway, "secrets_read", changed="ANTHROPIC_API_KEY")
        wait_until(lambda: used_key(gateway, plain_upstream) == SECOND, 5, "the new key")
        assert metric(gateway, "secrets_age_seconds") < age + 1
        no_secret_in(gateway, "sk-ant-not-json", "sk-ant-a-page", FIRST, SECOND)


def test_a_broken_file_is_not_taken_up(plain_upstream):
    with Gateway(plain_upstream.url, files={".env": env_text(MEMBERS)}, **PLAIN, **JWT) as gateway:
        for text in ("no setting\n", "CLAUDE_PROXY_NO_SUCH=1\n", env_text({**MEMBERS, "CLAUDE_PROXY_JWT_SECRET": "x"})):
            before = reads(gateway, "failed")
            gateway.write(".env", text)
            gateway.signal(signal.SIGHUP)
            wait_until(lambda: reads(gateway, "failed") == before + 1, 10, "a failure")  # pylint: disable=W0640
            assert used_key(gateway, plain_upstream) == FIRST
        gateway.write(".env", env_text(MEMBERS))
        gateway.signal(signal.SIGHUP)
        event(gateway, "secrets_readable_again")
        assert event(gateway, "secrets_read")["changed"] == "nothing"


def test_another_pepper_and_another_database_wait_for_a_restart_and_are_told_once(plain_upstream, manager):
    manager.put(**MEMBERS, CLAUDE_PROXY_KEY_PEPPER="first-pepper")
    with Gateway(plain_upstream.url, **{**PLAIN, **JWT, **manager.settings}) as gateway:
        made = Admin(gateway, "sk-cp-admin-key-first").new_key(team="default")
        assert ask(gateway, made["key"]).status == 200
        manager.put(**MEMBERS, CLAUDE_PROXY_KEY_PEPPER="second-pepper", REDIS_URL="redis://127.0.0.1:1")
        told = event(gateway, "secrets_need_restart")
        assert told["names"] == "REDIS_URL, CLAUDE_PROXY_KEY_PEPPER" and told["level"] == "error"
        assert metric(gateway, "secrets_waiting_for_restart") == 2
        before = reads(gateway, "read")
        wait_until(lambda: reads(gateway, "read") >= before + 2, 20, "two more readings")
        assert len([line for line in gateway.events if line.get("event") == "secrets_need_restart"]) == 1
        assert ask(gateway, made["key"]).status == 200, "keys go on"
        manager.put(**MEMBERS, CLAUDE_PROXY_KEY_PEPPER="first-pepper")
        event(gateway, "secrets_need_no_restart")
        assert metric(gateway, "secrets_waiting_for_restart") == 0


def test_members_that_are_no_secrets_are_named_and_ignored(plain_upstream, manager):
    manager.put(**MEMBERS, LOG_LEVEL="error", SOMETHING="value-of-something")
    with Gateway(plain_upstream.url, **{**PLAIN, **JWT, **manager.settings}) as gateway:
        told = event(gateway, "setting")["what"]
        assert "LOG_LEVEL, SOMETHING" in told
        no_secret_in(gateway, "value-of-something")


def settings_of(manager, **more):
    given = {name if name.startswith("AWS_") else f"CLAUDE_PROXY_{name}": value
             for name, value in manager.settings.items()}  # fmt: skip
    return {**given, "CLAUDE_PROXY_LISTEN": "127.0.0.1:0", "CLAUDE_PROXY_ADMIN_LISTEN": "127.0.0.1:0", **more}


def test_a_start_without_the_secret_names_secret_region_and_cure(tmp_path, manager):
    manager.answer = secrets_manager.refusal("AccessDeniedException", "User is not authorized")
    for words in (["serve"], ["worker"], ["migrate"], ["keys", "list"]):
        done = cli(tmp_path, *words, **settings_of(manager))
        assert done.code == 2, words
        assert "the secret claude-proxy-secrets in eu-west-1 cannot be had" in done.err, done.err
        assert "AccessDeniedException" in done.err and "secretsmanager:GetSecretValue" in done.err
    no_region = cli(tmp_path, "serve", **{**settings_of(manager), "AWS_REGION": ""})
    assert no_region.code == 2 and "AWS_REGION is not set" in no_region.err
    wrong_arn = "aws-secretsmanager:arn:aws:secretsmanager:us-west-2:123456789012:secret:other-AbCdEf"
    other = cli(tmp_path, "serve", **{**settings_of(manager), "CLAUDE_PROXY_SECRETS": wrong_arn})
    assert "in us-west-2" in other.err
    manager.problems.clear()  # that one was signed for another region


def test_subcommands_and_the_doctor_read_the_secret(tmp_path, manager):
    url = f"sqlite:{tmp_path}/of-the-secret.db"
    manager.put(ANTHROPIC_API_KEY=FIRST, DATABASE_URL=url)
    settings = settings_of(manager, CLAUDE_PROXY_UPSTREAM_URL="http://127.0.0.1:1")
    assert cli(tmp_path, "migrate", **settings).code == 0
    assert cli(tmp_path, "keys", "create", "--name", "a", "--team", "t", **settings).code == 0
    assert (tmp_path / "of-the-secret.db").exists()
    checks = {each["check"]: each for each in json.loads(cli(tmp_path, "doctor", "--json", **settings).out)}
    assert checks["secrets"]["result"] == "ok"
    assert checks["secrets"]["text"] == (
        f"claude-proxy-secrets in eu-west-1, version {manager.version[:8]}: ANTHROPIC_API_KEY, DATABASE_URL"
    )
    manager.answer = secrets_manager.away
    away = cli(tmp_path, "doctor", "--json", **settings)
    checks = {each["check"]: each for each in json.loads(away.out)}
    assert away.code == 1 and checks["secrets"]["result"] == "fail" and checks["database"]["result"] == "ok"
    assert FIRST not in away.out


def test_without_secrets_manager_the_doctor_says_so(tmp_path):
    told = cli(tmp_path, "doctor", "--json", ANTHROPIC_API_KEY=FIRST, **{
        name: DEFAULTS[name] for name in ("CLAUDE_PROXY_LISTEN", "CLAUDE_PROXY_ADMIN_LISTEN")
    }, CLAUDE_PROXY_UPSTREAM_URL="http://127.0.0.1:1")  # fmt: skip
    checks = {each["check"]: each for each in json.loads(told.out)}
    assert checks["secrets"] == {"check": "secrets", "result": "ok", "text": "from the environment", "cure": ""}
