"""The webhooks of jobs, from the submit to the receiver."""

import json

import pytest

from support.admin import Admin
from support.client import request
from support.gateway import KEY, Gateway
from support.upstream import Upstream, answer
from support.webhooks import signatures

REQUEST = {"model": "claude-opus-4-8", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}


def submit(gateway, **members):
    body = json.dumps({"request": REQUEST, **members}).encode()
    with gateway.client() as client:
        return client.ask(request("POST", "/v1/jobs", body, key=KEY))


def cancel(gateway, job):
    with gateway.client() as client:
        assert client.ask(request("POST", f"/v1/jobs/{job}/cancel", b"", key=KEY)).status == 200


@pytest.fixture
def receiver():
    with Upstream(lambda call, peer: peer.send(answer(204))) as listening:
        yield listening


def test_a_job_that_ends_tells_its_webhook(shared_upstream, receiver):
    settings = {"WEBHOOK_ALLOW": "127.0.0.1", "WEBHOOK_ALLOW_HTTP": "yes"}
    with Gateway(shared_upstream.url, **settings) as gateway:
        made = submit(gateway, webhook={"url": receiver.url + "/hook"}, metadata={"mine": 1})
        assert made.status == 202, made.body
        job = made.json()["id"]
        cancel(gateway, job)
        (call,) = receiver.wait_calls(1)
        told = json.loads(call.body)
        assert told["type"] == "job.cancelled" and told["timestamp"]
        assert (told["data"]["id"], told["data"]["metadata"]) == (job, {"mine": 1})
        secret = Admin(gateway).ok("GET", "teams/default/webhook-secret")["secret"]
        assert call.header("webhook-signature") == signatures(call, secret)
        (listed,) = Admin(gateway).get("webhooks", job=job).json["data"]
        assert (listed["id"], listed["event"]) == (call.header("webhook-id"), "job.cancelled")


def test_a_webhook_that_could_never_be_delivered_is_refused_at_submit(gateway):
    for url, why in [
        ("http://example.com/", "https://"),
        ("https://127.0.0.1/", "loopback"),
        ("https://2130706433/", "loopback"),
        ("https://[::ffff:10.0.0.1]/", "private"),
        ("https://example.com/#here", "fragment"),
        ("https://example.com:0/", "port"),
        ("https://user@example.com/", "user"),
    ]:
        refused = submit(gateway, webhook={"url": url})
        assert refused.status == 400, url
        told = refused.json()["error"]
        assert told["details"]["reason"] == "invalid_argument" and why in told["message"], (url, told)
    assert submit(gateway, webhook={"url": "https://example.com/hook?a=b"}).status == 202
