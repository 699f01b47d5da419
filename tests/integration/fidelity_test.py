"""Bytes pass both ways unchanged: bodies and headers of requests, statuses, headers and bodies of answers."""

import gzip
import json

import pytest

from support import sse
from support.client import chunked, request
from support.gateway import CREDENTIAL, KEY, OTHER_KEY
from support.resources import give
from support.upstream import MESSAGE, always, answer, stream_head

START = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]'


def member(text):
    """A body with one more member, given as the bytes or text to be kept."""
    return START + b"," + (text if isinstance(text, bytes) else text.encode("utf-8")) + b"}"


SIGNATURE = "EqQBCkYIBxgCKkDx0aP" + "Ab+/" * 400 + "=="
BODIES = {
    "one_point_zero": member('"temperature":1.0'),
    "exponent": member('"x":1e5'),
    "exponent_with_plus_and_capital": member('"x":1E+05'),
    "tiny_exponent": member('"x":1.5e-300'),
    "minus_zero": member('"x":-0'),
    "minus_zero_point_zero": member('"x":-0.0'),
    "integer_of_40_digits": member('"x":1234567890123456789012345678901234567890'),
    "integer_above_two_to_the_53": member('"x":9007199254740993'),
    "fraction_of_40_digits": member('"x":0.1234567890123456789012345678901234567890'),
    "number_too_big_for_a_double": member('"x":1e999'),
    "trailing_zeros": member('"x":1.100000'),
    "nested_200_deep": member('"x":' + '[{"a":' * 100 + "1" + "}]" * 100),
    "escape_e_acute": member(r'"x":"\u00e9"'),
    "escape_in_capitals": member(r'"x":"\u00E9\u00C9"'),
    "escaped_ascii": member(r'"x":"\u0041\/"'),
    "escaped_slash_and_plain_slash": member(r'"x":"a\/b/c"'),
    "surrogate_pair": member(r'"x":"\ud83d\ude00"'),
    "lone_high_surrogate": member(r'"x":"\ud83d"'),
    "lone_low_surrogate": member(r'"x":"\ude00 a"'),
    "raw_utf_8": member('"x":"één 日本語 😀 ﷽ \u2028\u2029 \ufeff"'),
    "combining_and_precomposed": member('"x":"e\u0301 é"'),
    "control_escapes": member(r'"x":"\u0000\u0001\u001f\b\f\n\r\t\"\\"'),
    "delete_character": member(b'"x":"\x7f"'),
    "duplicate_key_not_governed": member('"x":1,"x":2'),
    "duplicate_messages": member('"messages":[1]'),
    "duplicate_system": member('"system":"a","system":"b"'),
    "duplicate_keys_inside_metadata": member('"metadata":{"user_id":"a","user_id":"b"}'),
    "governed_names_deeper_inside": member('"x":{"model":"a","model":"b","stream":true,"stream":false}'),
    "governed_names_as_strings": member(r'"x":["model","stream","\"model\":\"claude-x\""]'),
    "unknown_fields": member('"future_field":{"a":[1,2,{"b":null}]},"another":"x"'),
    "empty_strings": member('"system":"","x":[""," "]'),
    "empty_key": member('"":1'),
    "null_fields": member('"system":null,"tools":null,"stop_sequences":null'),
    "keys_that_differ_in_case": member('"Model":"x","MODEL":"y","Stream":true'),
    "model_last": b'{"messages":[],"max_tokens":16,"model":"claude-opus-4-8"}',
    "keys_in_odd_order": b'{"z":1,"messages":[],"a":2,"model":"claude-opus-4-8","m":3,"max_tokens":16}',
    "model_with_escapes": b'{"model":"claude\\u002dopus-4-8","max_tokens":16,"messages":[]}',
    "unknown_model": b'{"model":"\xe6\x9c\xaa\xe6\x9d\xa5","max_tokens":16,"messages":[]}',
    "trailing_newline": START + b"}\n",
    "trailing_white_space": START + b"} \t\r\n \n",
    "leading_white_space": b" \r\n\t" + START + b"}",
    "white_space_everywhere": b'{ "model"\t:\n"claude-opus-4-8" ,\r\n"max_tokens" : 16 , "messages" : [ ] }',
    "pretty_printed": json.dumps(json.loads(START + b"}"), indent=4).encode(),
    "max_tokens_zero": b'{"model":"claude-opus-4-8","max_tokens":0,"messages":[]}',
    "max_tokens_as_text": b'{"model":"claude-opus-4-8","max_tokens":"16","messages":[]}',
    "max_tokens_as_float": b'{"model":"claude-opus-4-8","max_tokens":16.0,"messages":[]}',
    "stream_null": member('"stream":null'),
    "stream_as_number": member('"stream":1'),
    "thinking_signature": START[:-2] + b'[{"role":"assistant","content":[{"type":"thinking",'
    b'"thinking":"","signature":"'
    + SIGNATURE.encode()
    + b'"},{"type":"redacted_thinking","data":"'
    + SIGNATURE.encode()
    + b'"}]}]}',
    "cache_control": member('"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]'),
    "tool_input_with_odd_numbers": member('"tools":[{"name":"a","input_schema":{"minimum":-0.0,"maximum":1e400}}]'),
    "long_text_of_300_kb": member('"x":"' + "é\\u00e9" * 40_000 + '"'),
    "many_small_members": member(",".join(f'"k{n}":{n}.0' for n in range(3000))),
}

# Not valid for a strict reader, but nothing the gateway governs on: the upstream decides.
OTHER_ROUTE_BODIES = {
    "not_json": b"hello \x00\xff world",
    "empty_object": b"{}",
    "jsonl": b'{"a":1}\n{"a":1.0}\n',
    "bom": b"\xef\xbb\xbf{}",
    "binary": bytes(range(256)) * 20,
}


@pytest.mark.parametrize("name", BODIES)
def test_a_message_body_arrives_as_it_was_sent(gateway, upstream, name):
    body = BODIES[name]
    with gateway.client() as client:
        whole = client.ask(request(body=body))
        assert whole.status == 200, whole.body
        parts = client.ask(
            request(headers=[("Transfer-Encoding", "chunked")]) + chunked(body[:7], body[7:20], body[20:])
        )
        assert parts.status == 200, parts.body
    assert [call.body == body for call in upstream.calls] == [True, True]


@pytest.mark.parametrize("name", OTHER_ROUTE_BODIES)
def test_a_body_of_another_route_arrives_as_it_was_sent(gateway, upstream, name):
    body = OTHER_ROUTE_BODIES[name]
    for target in ("/v1/future/resource", "/v1/files", "/v1/skills/x/versions?beta=true"):
        assert gateway.ask(request(target=target, body=body)).status == 200
    assert [call.body == body for call in upstream.calls] == [True] * 3


@pytest.mark.parametrize("name", BODIES)
def test_a_batch_arrives_as_it_was_sent(gateway, upstream, name):
    item = b'{ "custom_id" : "a" ,\n"params":' + BODIES[name] + b"}"
    body = b'{"x":1.0,"requests" : [' + item + b" ,\t" + item.replace(b'"a"', b'"\\u0062"') + b"] }"
    assert gateway.ask(request(target="/v1/messages/batches?beta=true", body=body)).status == 200
    assert [call.body == body for call in upstream.calls] == [True]


def test_count_tokens_bodies_arrive_as_they_were_sent(gateway, upstream):
    body = BODIES["raw_utf_8"]
    assert gateway.ask(request(target="/v1/messages/count_tokens?beta=true", body=body)).status == 200
    assert (upstream.calls[0].target, upstream.calls[0].body) == (b"/v1/messages/count_tokens?beta=true", body)


# Replaced on the way, wherever they stand; everything else must arrive in the same order and letter case.
REPLACED = {
    b"host",
    b"x-api-key",
    b"authorization",
    b"accept-encoding",
    b"content-length",
    b"transfer-encoding",
    b"connection",
}
HOP_BY_HOP = [
    ("Connection", "keep-alive, X-Private, te"),
    ("Keep-Alive", "timeout=5"),
    ("TE", "trailers"),
    ("X-Private", "a"),
    ("Trailer", "X-Sum"),
    ("Proxy-Authorization", "Basic YTpi"),
    ("Proxy-Connection", "keep-alive"),
    ("Upgrade", "h2c"),
    ("Expect", "100-continue"),
]
END_TO_END = [
    ("anthropic-version", "2023-06-01"),
    ("Anthropic-Beta", "files-api-2025-04-14,context-1m-2025-08-07"),
    ("User-Agent", "Anthropic/Python 0.121.0"),
    ("X-Stainless-Retry-Count", "0"),
    ("x-stainless-lang", "python"),
    ("Accept", "application/json"),
    ("Content-Type", "application/json; charset=utf-8"),
    ("traceparent", "00-ab-cd-01"),
    ("X-CLAUDE-Code-Session-Id", "a b  c"),
    ("Cookie", "a=b; c=d"),
    ("X-Empty", ""),
    ("cdn-loop", "cloudfront"),
    ("x-amz-date", "20261125T000000Z"),
    ("Idempotency-Key", "k\t1"),
    ("X-High", b"caf\xc3\xa9 \xff"),
    ("x-list", "a"),
    ("X-List", "b"),
    ("x-list", ""),
    ("x-list", "a"),
    ("Range", "bytes=0-5"),
    ("If-None-Match", '"x"'),
    ("Accept-Language", "de, en;q=0.5"),
    ("prefer", "wait=5"),
    ("Content-Encoding", "identity"),
]


def forwarded(call, but=()):
    return [(name, value) for name, value in call.headers if name.lower() not in REPLACED and name.lower() not in but]


def as_bytes(fields):
    return [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in fields]


@pytest.mark.parametrize("target", ["/v1/messages", "/v1/files", "/v1/future"])
def test_request_headers_arrive_verbatim(gateway, upstream, target):
    body = BODIES["one_point_zero"]
    # An odd place for the hop-by-hop ones, so that dropping them must not disturb the order of the others.
    mixed = END_TO_END[:5] + HOP_BY_HOP[:4] + END_TO_END[5:12] + HOP_BY_HOP[4:] + END_TO_END[12:]
    with gateway.client() as client:
        response = client.ask(request(target=target, body=body, headers=[*mixed, ("Accept-Encoding", "gzip, br")]))
    assert response.status == 200, response.body
    call = upstream.calls[0]
    assert forwarded(call) == as_bytes(END_TO_END)
    assert call.header("host") == f"127.0.0.1:{upstream.port}"
    assert call.header("accept-encoding") == "identity"
    assert call.header("content-length") == str(len(body))
    assert call.header("connection") in (None, "keep-alive")


@pytest.mark.parametrize(
    "credentials",
    [
        [("x-api-key", KEY)],
        [("X-Api-Key", OTHER_KEY)],
        [("Authorization", f"Bearer {KEY}")],
        [("authorization", f"bearer {KEY}")],
        [("x-api-key", KEY), ("authorization", f"Bearer {KEY}")],
        [("x-api-key", "wrong"), ("authorization", f"Bearer {KEY}")],
        [("authorization", "Bearer wrong"), ("x-api-key", KEY)],
    ],
    ids=["x_api_key", "second_key", "bearer", "bearer_lower_case", "both", "only_bearer_valid", "only_x_api_key_valid"],
)
def test_the_upstream_credential_replaces_the_callers_in_exactly_one_header(gateway, upstream, credentials):
    response = gateway.ask(request(body=BODIES["null_fields"], key=None, headers=credentials))
    assert response.status == 200, response.body
    call = upstream.calls[0]
    assert call.all("x-api-key") == [CREDENTIAL.encode()] and call.all("authorization") == []
    assert b"sk-cp-" not in call.raw_head and b"wrong" not in call.raw_head


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21", "2099-01-01-preview", ""])
def test_the_api_version_is_never_touched(gateway, upstream, version):
    assert gateway.ask(request(body=BODIES["null_fields"], headers=[("anthropic-version", version)])).status == 200
    assert upstream.calls[0].all("anthropic-version") == [version.encode()]


def test_a_missing_or_repeated_api_version_stays_so(gateway, upstream):
    gateway.ask(request(body=BODIES["null_fields"]))
    gateway.ask(
        request(
            body=BODIES["null_fields"],
            headers=[("anthropic-version", "2023-06-01"), ("anthropic-version", "2026-10-21")],
        )
    )
    assert [call.all("anthropic-version") for call in upstream.calls] == [[], [b"2023-06-01", b"2026-10-21"]]


def test_sixty_four_betas_pass_in_one_header_and_in_many(gateway, upstream):
    betas = [f"some-future-beta-{number}-2026-01-{number % 28 + 1:02}" for number in range(64)]
    for headers in (
        [("anthropic-beta", ",".join(betas))],
        [("anthropic-beta", beta) for beta in betas],
        [("anthropic-beta", ", ".join(betas[:32])), ("Anthropic-Beta", ",".join(betas[32:]))],
    ):
        upstream.reset()
        assert gateway.ask(request(body=BODIES["null_fields"], headers=headers)).status == 200
        assert forwarded(upstream.calls[0]) == as_bytes(headers)


def test_header_values_of_16_kb_pass_both_ways(gateway, upstream):
    long = "v" * 16_384
    upstream.handler = always(answer(headers=[("x-long", long)], body=MESSAGE))
    response = gateway.ask(request(body=BODIES["null_fields"], headers=[("x-long", long), ("x-long-too", long)]))
    assert response.header("x-long") == long
    assert upstream.calls[0].header("x-long") == long and upstream.calls[0].header("x-long-too") == long


def test_a_bodiless_request_stays_bodiless(gateway, upstream):
    give(gateway, "file", "file_1")
    give(gateway, "batch", "b_1")
    gateway.ask(request("GET", "/v1/models"))
    gateway.ask(request("DELETE", "/v1/files/file_1"))
    gateway.ask(request("POST", "/v1/messages/batches/b_1/cancel", body=b""))
    assert [call.method for call in upstream.calls] == [b"GET", b"DELETE", b"POST"]
    assert [call.body_size for call in upstream.calls] == [0, 0, 0]
    assert not upstream.calls[0].all("content-length") and not upstream.calls[0].all("transfer-encoding")
    assert upstream.calls[2].header("content-length") == "0"


RESPONSE_HEADERS = [
    ("Date", "Tue, 24 Nov 2026 02:00:00 GMT"),
    ("Request-Id", "req_018EeWyXxfu5pfWkrYcMdjWG"),
    ("anthropic-organization-id", "a-b-c"),
    ("anthropic-ratelimit-unified-5h-utilization", "0.25"),
    ("retry-after", "3"),
    ("x-should-retry", "true"),
    ("X-ODD-Case", "A  b\tc"),
    ("server", "cloudflare"),
    ("CF-RAY", "x-FRA"),
    ("vary", "Accept-Encoding"),
    ("x-list", "a"),
    ("X-List", ""),
    ("x-list", "a"),
    ("x-high", b"caf\xc3\xa9 \xff"),
    ("location", "https://api.anthropic.com/v1/x"),
    ("etag", '"e"'),
    ("access-control-allow-origin", "*"),
]
REMOVED = [
    ("Strict-Transport-Security", "max-age=31536000"),
    ("set-cookie", "__cf=1; secure"),
    ("Set-Cookie", "b=2"),
    ("Alt-Svc", 'h3=":443"'),
    ("Via", "1.1 edge"),
    ("Keep-Alive", "timeout=5"),
    ("anthropic-ratelimit-requests-limit", "50"),
    ("Anthropic-RateLimit-Input-Tokens-Remaining", "1"),
    ("anthropic-priority-input-tokens-limit", "1"),
    ("anthropic-fast-output-tokens-reset", "2026-08-21T12:40:59Z"),
]
OURS = {b"x-claude-proxy-request-id", b"cache-control", b"content-length", b"transfer-encoding", b"connection"}


def check_response_headers(response, expected, ours=OURS):
    assert [(name, value) for name, value in response.headers if name.lower() not in ours] == as_bytes(expected)
    assert response.header("cache-control") == "no-store"
    assert response.header("x-claude-proxy-request-id")


@pytest.mark.parametrize("target", ["/v1/messages", "/v1/future", "/v1/files"])
@pytest.mark.parametrize("status", [200, 201, 400, 429, 529])
def test_response_headers_pass_in_order_and_letter_case(gateway, upstream, status, target):
    fields = RESPONSE_HEADERS[:6] + REMOVED[:3] + RESPONSE_HEADERS[6:] + REMOVED[3:] + [("Cache-Control", "max-age=60")]
    upstream.handler = always(answer(status, fields, MESSAGE, content_type="application/json; odd"))
    response = gateway.ask(request(target=target, body=BODIES["null_fields"]))
    assert (response.status, response.body) == (status, MESSAGE)
    check_response_headers(response, [("content-type", "application/json; odd"), *RESPONSE_HEADERS])


def test_stream_headers_pass_and_forbid_buffering(gateway, upstream):
    stream = sse.short_stream()
    upstream.handler = lambda call, peer: peer.stream(stream, head=stream_head(RESPONSE_HEADERS[:1] + REMOVED)).end()
    response = gateway.ask(request(body=member('"stream":true')))
    assert (response.status, response.body) == (200, stream)
    check_response_headers(
        response,
        [("content-type", "text/event-stream; charset=utf-8"), ("request-id", "req_upstream_1"), RESPONSE_HEADERS[0]],
        OURS | {b"x-accel-buffering"},
    )
    assert response.header("x-accel-buffering") == "no"
    assert response.framing == "chunked"


def test_headers_named_by_upstreams_connection_header_are_dropped(gateway, upstream):
    upstream.handler = always(answer(headers=[("x-hop", "1"), ("Connection", "x-hop"), ("x-end", "2")], body=MESSAGE))
    response = gateway.ask(request(body=BODIES["null_fields"]))
    assert response.header("x-hop") is None and response.header("x-end") == "2"


ERROR_BODIES = {
    "envelope": b'{"type":"error","error":{"type":"x_error","message":"m \\u00e9 1.0"},"request_id":"req_1"}',
    "odd_white_space": b' {"type" : "error",\n"error":{ "type":"overloaded_error" , "message" : ""} }\n\n',
    "html": b"<html><head><title>502</title></head>\r\n<body>\xff</body></html>\r\n",
    "empty": b"",
}


@pytest.mark.parametrize("kind", ERROR_BODIES)
def test_upstream_errors_pass_byte_for_byte(gateway, upstream, kind):
    body = ERROR_BODIES[kind]
    statuses = [
        400,
        401,
        402,
        403,
        404,
        405,
        408,
        409,
        413,
        418,
        422,
        425,
        429,
        451,
        499,
        500,
        501,
        502,
        503,
        504,
        520,
        524,
        529,
    ]
    content_type = "text/html" if kind == "html" else "application/json"
    with gateway.client() as client:
        for status in statuses:
            fields = [("retry-after", "7"), ("x-should-retry", "true"), ("request-id", "req_1")]
            upstream.handler = always(answer(status, fields, body, reason=b"Odd Reason", content_type=content_type))
            for stream in (b"false", b"true"):
                response = client.ask(request(body=START + b',"stream":' + stream + b"}"))
                assert (response.status, response.body) == (status, body)
                check_response_headers(response, [("content-type", content_type), *fields])
    assert len(upstream.calls) == 2 * len(statuses), "an error with a status is the caller's to retry"


def test_answers_of_every_framing_have_the_same_body(gateway, upstream):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    coded = head + b"Transfer-Encoding: Chunked\r\n\r\n" + b"5;x=y\r\n" + MESSAGE[:5] + b"\r\n" + chunked(MESSAGE[5:])
    trailers = coded[:-2] + b"x-sum: 1\r\n\r\n"
    until_close = head + b"\r\n" + MESSAGE
    old = head.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n" + MESSAGE
    for data, closes in (
        (coded, False),
        (trailers, False),
        (until_close, True),
        (old, True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(body=MESSAGE), False),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 3 + answer(body=MESSAGE), False),
        (answer(body=MESSAGE, reason=b""), False),
    ):
        upstream.handler = lambda call, peer, data=data, closes=closes: (peer.send(data), closes and peer.cut())
        with gateway.client() as client:
            response = client.ask(request(body=BODIES["null_fields"]))
            assert (response.status, response.body, response.interim) == (200, MESSAGE, []), data
            upstream.handler = upstream.default
            assert client.ask(request(body=BODIES["null_fields"])).status == 200


def test_answers_without_body_have_none(gateway, upstream):
    with gateway.client() as client:
        for status in (204, 304):
            upstream.handler = always(answer(status, [("etag", '"e"')], content_type=None))
            response = client.ask(request("GET", "/v1/future"))
            assert (response.status, response.body, response.header("etag")) == (status, b"", '"e"')
        upstream.handler = always(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
        response = client.ask(request("HEAD", "/v1/future"))
        assert (response.status, response.body) == (200, b"")
        upstream.handler = upstream.default
        assert client.ask(request("GET", "/v1/future")).status == 200


def test_a_compressed_answer_passes_untouched(gateway, upstream):
    body = gzip.compress(MESSAGE)
    upstream.handler = always(answer(headers=[("content-encoding", "gzip")], body=body))
    response = gateway.ask(request(body=BODIES["null_fields"]))
    assert (response.header("content-encoding"), response.body) == ("gzip", body)


def test_binary_answers_and_jsonl_pass(gateway, upstream):
    give(gateway, "file", "file_2")
    for content_type, body in (
        ("application/octet-stream", bytes(range(256)) * 4000),
        ("application/x-jsonl", b'{"a":1.0}\n' * 50_000),
    ):
        upstream.handler = always(answer(body=body, content_type=content_type))
        response = gateway.ask(request("GET", "/v1/files/file_2/content"))
        assert response.body == body and response.header("content-type") == content_type
