"""One log line and the right counters for every request, and tokens that equal the upstream's own ledger."""

import json
import re

import pytest

from support import sse
from support.client import request
from support.gateway import KEY, OTHER_KEY, CREDENTIAL
from support.timing import wait_until
from support.upstream import MESSAGE, always, answer, answer_kind, in_turn

BODY = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[],"metadata":{"user_id":"u-1"}}'
STREAM_BODY = BODY[:-1] + b',"stream":true}'
PROMISED = [
    "request_id",
    "upstream_request_id",
    "method",
    "path",
    "route",
    "peer",
    "caller",
    "team",
    "model",
    "user_agent",
    "status",
    "stream",
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "bytes_in",
    "bytes_out",
    "attempts",
    "total_ms",
    "upstream_head_ms",
    "first_byte_ms",
    "overhead_ms",
]


def test_the_line_of_a_message_tells_everything(gateway, upstream):
    response = gateway.ask(
        request(target="/v1/messages?beta=true", body=BODY, headers=[("User-Agent", "Anthropic/Python 0.121.0")])
    )
    line = gateway.request_line(response)
    assert [name for name in PROMISED if name not in line] == [], line
    expected = {
        "upstream_request_id": "req_upstream_1",
        "method": "POST",
        "path": "/v1/messages",
        "route": "messages",
        "team": "default",
        "model": "claude-opus-4-8",
        "user_agent": "Anthropic/Python 0.121.0",
        "status": 200,
        "stream": False,
        "input_tokens": 12,
        "output_tokens": 5,
        "bytes_in": len(BODY),
        "bytes_out": len(MESSAGE),
        "attempts": 1,
    }
    assert {name: line[name] for name in expected} == expected
    assert line["peer"].startswith("127.0.0.1") and line["caller"]
    assert 0 < line["upstream_head_ms"] <= line["first_byte_ms"] <= line["total_ms"]
    assert 0 < line["overhead_ms"] <= line["total_ms"]


def test_the_line_of_a_stream_has_its_tokens_and_times(gateway, upstream):
    stream = sse.example_stream()
    upstream.handler = lambda call, peer: peer.stream(stream).end()
    line = gateway.request_line(gateway.ask(request(body=STREAM_BODY)))
    expected = {
        "stream": True,
        "status": 200,
        "input_tokens": 412,
        "output_tokens": 97,
        "cache_read_input_tokens": 3072,
        "cache_creation_input_tokens": 0,
        "bytes_out": len(stream),
        "attempts": 1,
        "upstream_request_id": "req_upstream_1",
    }
    assert {name: line[name] for name in expected} == expected
    assert 0 < line["first_content_ms"] <= line["total_ms"] and 0 < line["first_byte_ms"] <= line["total_ms"]


def test_the_line_of_a_retried_stream_counts_its_attempts(gateway, upstream):
    upstream.handler = in_turn(lambda call, peer: peer.stream(sse.message_start() + sse.error()).end(), answer_kind)
    assert gateway.request_line(gateway.ask(request(body=STREAM_BODY)))["attempts"] == 2


@pytest.mark.parametrize(
    "ask, status, reason",
    [
        (request(body=BODY, key="wrong"), 401, "credential_invalid"),
        (request(body=b"{"), 400, "invalid_json"),
        (request("GET", "/nothing"), 404, "route_unknown"),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400, "bad_framing"),
    ],
    ids=["credential", "json", "route", "framing"],
)
def test_the_line_of_a_refusal_has_its_reason(gateway, upstream, ask, status, reason):
    line = gateway.request_line(gateway.ask(ask))
    assert (line["status"], line["reason"]) == (status, reason)


def test_an_upstream_error_is_not_our_reason(gateway, upstream):
    upstream.handler = always(answer(429, body=b'{"type":"error","error":{"type":"rate_limit_error","message":"m"}}'))
    line = gateway.request_line(gateway.ask(request(body=BODY)))
    assert line["status"] == 429 and not line.get("reason")


def test_no_secret_and_no_text_of_a_conversation_is_logged(gateway, upstream):
    secret_text = "the-quick-brown-fox"
    upstream.handler = always(answer(body=MESSAGE.replace(b"Hello", secret_text.encode())))
    body = BODY.replace(b'"messages":[]', b'"messages":[{"role":"user","content":"%s"}]' % secret_text.encode())
    for ask in (
        request(body=body),
        request(body=body[:-1]),
        request("GET", f"/v1/models?key={secret_text}"),
        request(body=body, key=None, headers=[("authorization", "Bearer sk-cp-not-a-key")]),
    ):
        gateway.request_line(gateway.ask(ask))
    log = "\n".join(gateway.lines)
    for secret in (secret_text, KEY, OTHER_KEY, CREDENTIAL, "sk-cp-not-a-key", "sk-cp-admin-test"):
        assert secret not in log


def test_every_request_line_is_one_json_object_even_with_odd_input(gateway, upstream):
    odd = b'\xff\xfe"\\ \x80{}</script>\xe2\x80\xa8'
    response = gateway.ask(
        request(body=BODY.replace(b"claude-opus-4-8", b'\\u0000\\n\\"\xc3\xa9\\ud800'), headers=[("User-Agent", odd)])
    )
    assert response.status == 200
    line = gateway.request_line(response)
    assert '"' in line["model"] and line["user_agent"]
    assert all(text.startswith("{") and json.loads(text) for text in gateway.lines)


SAMPLE = re.compile(
    r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*",?)*\})? (\S+)(?: \d+)?$'
)


def scrape(gateway):
    """{(name, labels): value}; lines must be legal in the text format, families typed once, before their samples."""
    response = gateway.metrics()
    assert response.header("content-type").startswith("text/plain")
    values, types, families = {}, {}, []
    for text in response.body.decode().splitlines():
        if text.startswith("# HELP "):
            continue
        if text.startswith("# TYPE "):
            _, _, name, kind = text.split(" ")
            assert name not in types and kind in ("counter", "gauge", "histogram", "summary", "untyped"), text
            types[name] = kind
            continue
        matched = SAMPLE.match(text)
        assert matched, f"not in the exposition format: {text!r}"
        name, labels, value = matched[1], matched[2] or "", float(matched[3])
        family = (
            re.sub(r"_(bucket|sum|count)$", "", name) if re.sub(r"_(bucket|sum|count)$", "", name) in types else name
        )
        assert family in types, f"{name} has no type"
        assert (name, labels) not in values, f"{name}{labels} occurs twice"
        if families[-1:] != [family]:
            assert family not in families, f"samples of {family} are scattered"
            families.append(family)
        values[name, labels] = value
    return values


def total(values, name, **labels):
    """Sum of the samples of that name whose labels include the given ones."""
    return sum(
        value
        for (key, text), value in values.items()
        if key == name and all(f'{label}="{wanted}"' in text for label, wanted in labels.items())
    )


def test_metrics_count_what_happened(gateway, upstream):
    before = scrape(gateway)
    for _ in range(3):
        gateway.ask(request(body=BODY))
    gateway.ask(request(body=STREAM_BODY))
    gateway.ask(request(body=BODY, key="wrong"))
    upstream.handler = always(answer(529, body=b"{}"))
    gateway.ask(request(body=BODY))
    after = scrape(gateway)

    def grown(name, **labels):
        return total(after, name, **labels) - total(before, name, **labels)

    requests = "claude_proxy_requests_total"
    assert grown(requests, route="messages") == 6
    assert grown(requests, route="messages", status="200") == 4
    assert grown(requests, route="messages", status="401") == 1
    assert grown(requests, route="messages", status="529") == 1
    assert grown("claude_proxy_connections_accepted_total") == 6
    assert any(name.startswith("claude_proxy_") and "tokens" in name for name, _ in after)
    assert all(name.startswith(("claude_proxy_", "process_")) for name, _ in after), "one prefix for all"


def test_labels_stay_bounded_whatever_clients_send(gateway, upstream):
    for number in range(300):
        gateway.ask(request("GET", f"/v1/random/{number}"))
        gateway.ask(request("GET", f"/nothing/{number}"))
        gateway.ask(request(body=BODY.replace(b"claude-opus-4-8", b"made-up-model-%d" % number)))
    text = gateway.metrics().body
    assert b"/v1/random/" not in text and b"/nothing/" not in text
    assert len(text) < 300_000, "labels grow with what clients send"


def test_a_metrics_scrape_is_kept_alive(gateway):
    with gateway.admin() as admin:
        for _ in range(3):
            assert admin.ask(request("GET", "/metrics", key=None)).status == 200


def test_every_scrape_sees_every_finished_request(gateway, upstream):
    """No sleep is needed between an answer and its counter."""
    name = "claude_proxy_requests_total"
    count = total(scrape(gateway), name, route="models")
    for number in range(20):
        gateway.ask(request("GET", "/v1/models"))
        wait_until(lambda: total(scrape(gateway), name, route="models") == count + number + 1, 2, "the counter moves")
