"""Behind CloudFront and a load balancer: what they add stays here, and the client is who they say it is."""

import json
import os

import pytest

from support.admin import ADMIN_KEY, cli
from support.client import request
from support.gateway import Gateway
from support.jobs import Jobs, stored
from support.resources import EMPTY_LIST, give
from support.sse import parse
from support.upstream import always, answer, answer_kind

SECRET = "origin-secret-0123456789abcdef"
CLIENT, CLOUDFRONT, STRANGER = "198.51.100.7", "130.176.1.9", "127.0.0.2"
# The load balancer is 127.0.0.1, as every client of these tests but the stranger.
GATEWAY_SETTINGS = {
    "words": ("serve", "--with-worker"),
    "TRUSTED_PROXIES": "127.0.0.1,10.20.0.0/16",
    "TRUSTED_HOPS": "2",
    "LOG_LEVEL": "debug",
}
BODY = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]}'
STREAM_BODY = BODY[:-1] + b',"stream":true}'
EDGE = [
    ("X-Origin-Verify", SECRET),
    ("x-forwarded-for", f"{CLIENT}, {CLOUDFRONT}"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Host", "inside.example"),
    ("Forwarded", f"for={CLIENT};proto=https"),
    ("Via", "2.0 0123.cloudfront.net (CloudFront)"),
    ("x-real-ip", CLIENT),
    ("True-Client-IP", CLIENT),
    ("X-Amzn-Trace-Id", "Root=1-67891233-abcdef012345678912345678"),
    ("x-amzn-oidc-data", "who.is.signed-in"),
    ("X-Amz-Cf-Id", "cloudfront-request-id"),
    ("CloudFront-Viewer-Address", f"{CLIENT}:49152"),
    ("CloudFront-Viewer-Country", "DE"),
    ("cf-connecting-ip", CLIENT),
]
KEPT = [
    ("x-request-id", "theirs"),
    ("traceparent", "00-ab-cd-01"),
    ("x-stainless-lang", "python"),
    ("anthropic-beta", "a,b"),
    ("x-forward", "almost"),
]
ROUTES = {
    "message": ("POST", "/v1/messages", BODY),
    "stream": ("POST", "/v1/messages", STREAM_BODY),
    "count_tokens": ("POST", "/v1/messages/count_tokens", BODY),
    "models": ("GET", "/v1/models", None),
    "model": ("GET", "/v1/models/claude-opus-4-8", None),
    "batch_made": ("POST", "/v1/messages/batches", b'{"requests":[{"custom_id":"a","params":' + BODY + b"}]}"),
    "batch_looked_at": ("GET", "/v1/messages/batches/msgbatch_01", None),
    "batches_listed": ("GET", "/v1/messages/batches", None),
    "file_uploaded": ("POST", "/v1/files", b"--b\r\n\r\nx\r\n--b--\r\n"),
    "files_listed": ("GET", "/v1/files", None),
    "other": ("POST", "/v1/future", b"{}"),
}
names = iter(range(10_000))


def check_call(call):
    assert SECRET.encode() not in call.raw_head
    told = {name.lower().decode(): value.decode() for name, value in call.headers}
    assert [name for name, _ in EDGE if name.lower() in told] == []
    return told


@pytest.mark.parametrize("route", ROUTES)
def test_what_the_edge_adds_does_not_go_upstream(gateway, upstream, route):
    give(gateway, "batch", "msgbatch_01")
    upstream.handler = always(answer(body=EMPTY_LIST)) if route.endswith("listed") else answer_kind
    gateway.ask(request(*ROUTES[route], headers=EDGE[:5] + KEPT[:2] + EDGE[5:] + KEPT[2:]))
    told = [check_call(call) for call in upstream.calls]
    theirs = [each for each in told if "traceparent" in each]  # the gateway itself looks after batches meanwhile
    assert theirs, "nothing went upstream"
    for each in theirs:
        assert {name: each.get(name) for name, _ in KEPT} == dict(KEPT)


def test_a_job_keeps_and_sends_nothing_of_the_edge(gateway, upstream):
    jobs = Jobs(gateway)
    job = jobs.submit(*EDGE, *KEPT, ("User-Agent", "theirs")).json()["id"]
    done = jobs.send("GET", f"{job}?wait=30", timeout=40).json()
    assert done["status"] == "succeeded", done
    request_text, kept, *_ = stored(gateway, job)
    assert json.loads(kept) == {"anthropic-beta": "a,b", "user-agent": "theirs"} and SECRET not in request_text
    assert [check_call(call)["user-agent"] for call in upstream.calls] == ["theirs"]


def test_the_origins_secret_is_in_no_log_and_no_file(shared_upstream):
    shared_upstream.reset()
    with Gateway(shared_upstream.url, **GATEWAY_SETTINGS) as gateway:
        assert gateway.ask(request(body=BODY, headers=EDGE)).status == 200
        assert gateway.ask(request(body=BODY, headers=EDGE, key="wrong")).status == 401
        assert gateway.ask(request("GET", "/v1/../x", headers=EDGE)).status == 400
        refused = gateway.ask(request(body=BODY, headers=[*EDGE, ("Transfer-Encoding", "chunked")]))
        assert refused.status == 400
        job = Jobs(gateway).submit(*EDGE).json()["id"]
        Jobs(gateway).send("GET", f"{job}?wait=30", timeout=40)
        gateway.request_line(refused)
        searched = 0
        for folder, _, files in os.walk(gateway.directory):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    content = file.read()
                assert SECRET.encode() not in content, os.path.join(folder, name)
                searched += job.encode() in content
        assert searched > 0, "not even the job was found"
        gateway.signal(15)
        gateway.wait_exit()
        assert SECRET not in "\n".join(gateway.lines)


def ask_from(gateway, source, forwarded, key="sk-cp-one"):
    headers = [("X-Forwarded-For", line) for line in forwarded]
    with gateway.client(source=source) as client:
        return client.ask(request(body=BODY, headers=headers, key=key))


def key_for(gateway, *ranges):
    words = [word for each in ranges for word in ("--ip", each)]
    made = cli(gateway.directory, "keys", "create", "--name", f"k{next(names)}", "--team", "edge", *words, "--json")
    return made.json["key"]


@pytest.mark.parametrize(
    "forwarded, peer",
    [
        ([f"{CLIENT}, {CLOUDFRONT}"], CLIENT),
        ([f"10.20.0.1, 10.0.0.1, {CLIENT}, {CLOUDFRONT}"], CLIENT),
        (["10.0.0.1", f"{CLIENT}, {CLOUDFRONT}"], CLIENT),
        (["10.0.0.1", CLIENT, CLOUDFRONT], CLIENT),
        (["10.0.0.1," * 5_000 + f"{CLIENT}, {CLOUDFRONT}"], CLIENT),
        ([f"\";\t'%00, {CLIENT}, {CLOUDFRONT}"], CLIENT),
        ([f"[2001:DB8::7]:49152, {CLOUDFRONT}"], "2001:db8::7"),
        ([f"{CLIENT}:49152, {CLOUDFRONT}:443"], CLIENT),
        ([f"nonsense, {CLOUDFRONT}"], CLOUDFRONT),
        ([CLOUDFRONT], CLOUDFRONT),
        (["nonsense"], "127.0.0.1"),
        ([], "127.0.0.1"),
    ],
)
def test_the_client_is_the_second_from_the_right(gateway, upstream, forwarded, peer):
    response = ask_from(gateway, "127.0.0.1", forwarded)
    assert response.status == 200
    assert gateway.request_line(response)["peer"] == peer


def test_a_stranger_is_not_believed(gateway, upstream):
    response = ask_from(gateway, STRANGER, [f"{CLIENT}, {CLOUDFRONT}"])
    assert response.status == 200 and gateway.request_line(response)["peer"] == STRANGER
    key = key_for(gateway, "198.51.100.0/24")
    refused = ask_from(gateway, STRANGER, [f"{CLIENT}, {CLOUDFRONT}"], key)
    assert refused.status == 403 and refused.json()["error"]["details"]["reason"] == "address_not_allowed"
    assert STRANGER in refused.json()["error"]["message"]


def test_a_key_works_from_its_addresses_through_the_proxies(gateway, upstream):
    key = key_for(gateway, "198.51.100.0/24", "2001:db8::/32")
    for client in (CLIENT, "2001:db8::7"):
        assert ask_from(gateway, "127.0.0.1", [f"{client}, {CLOUDFRONT}"], key).status == 200
    refused = ask_from(gateway, "127.0.0.1", [f"{CLIENT}, 203.0.113.9, {CLOUDFRONT}"], key)
    assert refused.status == 403 and "203.0.113.9" in refused.json()["error"]["message"]
    assert gateway.request_line(refused)["peer"] == "203.0.113.9"
    assert len(upstream.calls) == 2


def test_one_connection_carries_requests_of_many_clients(gateway, upstream):
    with gateway.client() as client:
        for number in range(1, 6):
            headers = [("x-forwarded-for", f"203.0.113.{number}, {CLOUDFRONT}")]
            response = client.ask(request(body=BODY, headers=headers))
            assert gateway.request_line(response)["peer"] == f"203.0.113.{number}"
        assert gateway.request_line(client.ask(request(body=BODY)))["peer"] == "127.0.0.1"


def test_an_event_stream_of_a_job_needs_the_right_address_too(gateway, upstream):
    key = key_for(gateway, "198.51.100.0/24")
    through = [("x-forwarded-for", f"{CLIENT}, {CLOUDFRONT}")]
    jobs = Jobs(gateway, key)
    job = jobs.submit(*through).json()["id"]
    assert jobs.send("GET", f"{job}?wait=30", headers=through, timeout=40).json()["status"] == "succeeded"
    events = jobs.send("GET", f"{job}/events", headers=through)
    assert events.status == 200 and len(parse(events.body)) > 0
    assert jobs.send("GET", f"{job}/events").status == 403


def test_who_forwards_https_must_be_a_proxy_of_ours(gateway, upstream):
    give(gateway, "batch", "msgbatch_01")
    upstream.handler = always(
        answer(body=b'{"id":"msgbatch_01","type":"message_batch","results_url":"https://api.anthropic.com/v1/x"}')
    )
    ask = request("GET", "/v1/messages/batches/msgbatch_01", headers=[("x-forwarded-proto", "https")])
    for source, scheme in (("127.0.0.1", "https"), (STRANGER, "http")):
        with gateway.client(source=source) as client:
            assert client.ask(ask).json()["results_url"] == f"{scheme}://gateway.test/v1/x"


def test_the_admin_listener_believes_nobody(gateway):
    with gateway.admin() as client:
        headers = [("x-forwarded-for", f"{CLIENT}, {CLOUDFRONT}")]
        asked = client.ask(request("GET", "/admin/v1/teams", headers=headers, key=ADMIN_KEY))
    assert asked.status == 200
    line = gateway.wait_event(
        lambda event: event.get("event") == "admin_request" and event["request_id"] == asked.header("request-id")
    )
    assert line["peer"] == "127.0.0.1"
