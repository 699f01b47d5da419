"""A Redis that speaks TLS only: limits and news through it, and what is said when its certificate is not believed."""

import json

import pytest

from stores_test import doctor
from support.admin import Admin
from support.client import request
from support.gateway import Gateway
from support.servers import TlsRedis
from support.timing import wait_until

BODY = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]}'
REFUSED = "the certificate is refused: "


@pytest.fixture(scope="module")
def redis():
    with TlsRedis() as server:
        yield server


def test_limits_and_news_of_jobs_go_through_it(redis, shared_upstream):
    shared_upstream.reset()
    with Gateway(shared_upstream.url, REDIS_URL=redis.url, REDIS_CA_FILE=redis.ca_file) as one:
        one.wait_event(lambda event: event.get("event") == "redis_available")
        one.wait_event(lambda event: event.get("event") == "job_news_available")
        assert redis.ask(b"KEYS claude-proxy:limit:*") == b"*0\r\n"
        key = Admin(one).new_key(name="k", team="tls")["key"]
        Admin(one).ok("POST", "limits", {"scope": "team", "id": "tls", "requests_per_minute": 2})
        wait_until(lambda: one.ask(request(body=BODY, key=key)).status == 429, 10, "the limit")
        wait_until(lambda: b"limit:" in redis.ask(b"KEYS claude-proxy:limit:*"), 10, "the limit in Redis")
        assert redis.ask(b"PUBSUB CHANNELS") == b"*1\r\n$17\r\nclaude-proxy:jobs\r\n"


def test_without_trust_every_replica_counts_alone_and_says_why(redis, shared_upstream):
    shared_upstream.reset()
    with Gateway(shared_upstream.url, REDIS_URL=redis.url) as alone:
        for name in ("redis_unavailable", "job_news_unavailable"):
            told = alone.wait_event(lambda event, name=name: event.get("event") == name)
            assert told["level"] == "warn" and told["what"].startswith(REFUSED), told
        assert alone.ask(request(body=BODY)).status == 200


def test_doctor_says_what_is_wrong_and_the_cure(redis, tmp_path):
    trusted = {"CLAUDE_PROXY_REDIS_CA_FILE": redis.ca_file}
    named = redis.url.replace("localhost", "gateway:p%40ss@localhost")
    for url in (redis.url, named):
        assert doctor(tmp_path, REDIS_URL=url, **trusted)[0]["redis"]["result"] == "ok"
    wrong_name = redis.url.replace("localhost", "127.0.0.1")
    for checks, code in (doctor(tmp_path, REDIS_URL=redis.url), doctor(tmp_path, REDIS_URL=wrong_name, **trusted)):
        told = checks["redis"]
        assert code == 1 and told["result"] == "fail" and REFUSED in told["text"], told
        assert "CLAUDE_PROXY_REDIS_CA_FILE" in told["cure"]
    plain = doctor(tmp_path, REDIS_URL=redis.url.replace("rediss:", "redis:"))[0]["redis"]
    assert plain["result"] == "warn" and "REDIS_URL" in plain["cure"]
    wrong = doctor(tmp_path, REDIS_URL=named.replace("p%40ss", "hunter2"), **trusted)[0]["redis"]
    assert wrong["result"] == "warn" and "WRONGPASS" in wrong["text"] and "hunter2" not in json.dumps(wrong)
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    told = doctor(tmp_path, REDIS_URL=redis.url, CLAUDE_PROXY_REDIS_CA_FILE=str(broken))[0]["redis"]
    assert told["result"] == "fail" and "CLAUDE_PROXY_REDIS_CA_FILE" in told["text"] and "ca.pem" in told["text"]
