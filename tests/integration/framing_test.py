"""Ambiguous requests are refused and leave no trace; odd but legal ones pass."""

import json
import time

import pytest

from framing_corpus import ACCEPTED, BODY, CHUNKED, CL, KEY, LINE, HOST, PLAIN, REFUSED, post
from support.client import request
from support.gateway import Gateway
from support.timing import seconds, setting
from support.upstream import MESSAGE

# What an attacker would like to see processed as a request of its own, in the same segment as the refused one.
SMUGGLED = request("GET", "/v1/models?smuggled=yes", headers=[("X-Smuggled", "yes")])
REASONS = {400: "bad_framing", 413: "body_too_large", 431: "head_too_large", 505: "http_version_unsupported"}


def check_refusal(response, statuses):
    """Status, Anthropic's envelope, and the headers that every answer of our own has."""
    assert response.status in statuses, (response.raw_head, response.body)
    assert response.header("content-type") == "application/json"
    answer = response.json()
    assert answer["type"] == "error", answer
    assert answer["error"]["type"] and answer["error"]["message"], answer
    if response.status in REASONS and response.status != 400:
        assert answer["error"]["details"]["reason"] == REASONS[response.status]
    if response.status == 400:
        assert answer["error"]["details"]["reason"] in ("bad_framing", "http_version_unsupported"), answer
        assert answer["error"]["type"] == "invalid_request_error"
    own_id = response.header("x-claude-proxy-request-id")
    assert own_id and response.header("request-id") == own_id and answer["request_id"] == own_id, response.raw_head
    assert response.header("x-should-retry") == "false"
    assert response.header("cache-control") == "no-store"
    assert response.header("connection") == "close"


@pytest.mark.parametrize("name", REFUSED)
def test_an_ambiguous_request_is_refused_and_nothing_after_it_is_read(gateway, upstream, name):
    data, statuses = REFUSED[name]
    with gateway.client(timeout=5) as client:
        client.send(data + SMUGGLED)
        check_refusal(client.read_response("GET"), statuses)
        assert client.rest() == b"", "a second answer came after the refusal"
    # What the refused bytes may have caused upstream would have been there before this request of a new connection.
    assert gateway.ask(request("GET", "/v1/models?after=refusal")).status == 200
    assert [call.target for call in upstream.calls] == [b"/v1/models?after=refusal"]
    assert upstream.bytes_received == sum(len(call.raw_head) + call.body_size for call in upstream.calls)


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_odd_but_legal_request_passes(gateway, upstream, name):
    pieces, expected = ACCEPTED[name]
    with gateway.client() as client:
        client.send(*pieces)
        for method, _, _ in expected:
            response = client.read_response(method.decode())
            assert response.status == 200, (response.raw_head, response.body)
            assert response.body == MESSAGE
    assert [(call.method, call.target, call.body) for call in upstream.calls] == expected
    for call in upstream.calls:
        for hop_by_hop in ("upgrade", "http2-settings", "expect", "te", "trailer", "keep-alive"):
            assert not call.all(hop_by_hop), call
        assert not (call.all("content-length") and call.all("transfer-encoding")), call


def ask_in_two_pieces(client, data, position):
    client.send(data[:position], data[position:], pause=0.0005)
    return client.read_response()


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        CHUNKED,
        post(
            b"Transfer-Encoding: chunked\r\n",
            b"3;x=y\r\n" + BODY[:3] + b"\r\n36\r\n" + BODY[3:] + b"\r\n0\r\nX-A: b\r\n\r\n",
        ),
    ],
    ids=["content_length", "chunked", "chunk_extension_and_trailer"],
)
def test_a_request_may_be_split_at_every_byte(gateway, upstream, data):
    with gateway.client() as client:
        for position in range(1, len(data)):
            response = ask_in_two_pieces(client, data, position)
            assert (response.status, response.body) == (200, MESSAGE), (position, response.raw_head)
    assert len(upstream.calls) == len(data) - 1
    assert all(call.body == BODY for call in upstream.calls)


def test_a_request_may_come_byte_by_byte(gateway, upstream):
    for data in (PLAIN, CHUNKED):
        with gateway.client() as client:
            client.send(*(data[at : at + 1] for at in range(len(data))), pause=0.0002)
            assert client.read_response().status == 200
    assert [call.body for call in upstream.calls] == [BODY, BODY]


def test_refusals_are_the_same_when_the_bytes_come_one_by_one(gateway, upstream):
    for name in (
        "content_length_and_chunked",
        "bare_lf_hides_a_header",
        "obs_fold_with_space",
        "chunk_size_with_plus",
        "chunk_no_crlf_after_data",
        "transfer_encoding_in_http_1_0",
        "http_2_0",
    ):
        data, statuses = REFUSED[name]
        with gateway.client() as client:
            try:
                client.send(*(data[at : at + 1] for at in range(len(data))), pause=0.0001)
            except ConnectionError:
                pass  # refused before the last byte was sent
            check_refusal(client.read_response("GET"), statuses)
    assert upstream.calls == []


def test_expect_continue_is_answered_before_the_body_is_sent(gateway, upstream):
    with gateway.client() as client:
        client.send(LINE + HOST + KEY + CL + b"Expect: 100-continue\r\n\r\n")
        assert client.read_until(b"\r\n\r\n", 1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert upstream.calls == []
        response = client.ask(BODY, method="POST")
    assert (response.status, response.interim, response.body) == (200, [], MESSAGE)
    assert upstream.calls[0].header("expect") is None


def test_expect_continue_with_a_bad_key_is_refused_without_asking_for_the_body(gateway, upstream):
    with gateway.client() as client:
        client.send(LINE + HOST + b"x-api-key: wrong\r\n" + CL + b"Expect: 100-continue\r\n\r\n")
        response = client.read_response()
        assert (response.status, response.interim) == (401, [])
    assert upstream.calls == []


def test_http_1_0_answers_are_closed_or_kept_as_asked(gateway):
    with gateway.client() as client:
        response = client.ask(post(CL, line=b"POST /v1/messages HTTP/1.0\r\n"))
        assert response.status == 200 and not response.all("transfer-encoding")
        assert client.rest() == b""


def test_http_1_0_streams_end_with_the_connection(gateway):
    body = b'{"model":"claude-opus-4-8","max_tokens":16,"stream":true,"messages":[]}'
    with gateway.client() as client:
        response = client.ask(request(body=body, version=b"HTTP/1.0"))
    assert response.status == 200 and response.framing == "close", response.raw_head
    assert response.body.endswith(b'data: {"type":"message_stop"}\n\n')


def test_connection_close_is_obeyed(gateway):
    with gateway.client() as client:
        response = client.ask(request(body=BODY, headers=[("Connection", "close")]))
        assert response.status == 200 and response.header("connection") == "close"
        assert client.rest() == b""


def test_a_connection_is_kept_for_many_requests(gateway, upstream):
    with gateway.client() as client:
        for number in range(200):
            response = client.ask(request("GET", f"/v1/models?n={number}"))
            assert response.status == 200 and response.header("connection") != "close"
    assert [call.target for call in upstream.calls] == [b"/v1/models?n=%d" % number for number in range(200)]
    assert len({call.connection for call in upstream.calls}) == 1, "the upstream connection was not reused"


def test_a_body_that_trickles_is_timed_out_although_it_never_pauses(shared_upstream):
    shared_upstream.reset()
    head = LINE + HOST + KEY + b"Content-Length: 100000\r\n\r\n"
    for per_second, refused in ((1_000_000, True), (1, False)):
        with (
            Gateway(
                shared_upstream.url, BODY_IDLE_TIMEOUT=setting(600), BODY_BYTES_PER_SECOND_MIN=per_second
            ) as gateway,
            gateway.client(timeout=5) as client,
        ):
            begin = b'{"model":"m","padding":"'
            client.send(head + begin)
            for _ in range(12):  # a byte every 100 ms, twice the pause allowed in all
                time.sleep(seconds(0.1))
                try:
                    client.send(b"m")
                except ConnectionError:
                    assert refused
                    break
            if refused:
                assert client.read_response().status == 408
            else:
                client.send(b"m" * (100_000 - len(begin) - 12 - 2) + b'"}')
                assert client.read_response().status == 200
    assert len(shared_upstream.calls) == 1


def test_a_slow_head_and_a_slow_body_are_timed_out(shared_upstream):
    with Gateway(
        shared_upstream.url, HEAD_TIMEOUT=setting(300), BODY_IDLE_TIMEOUT=setting(300), KEEP_ALIVE_TIMEOUT=setting(300)
    ) as gateway:
        shared_upstream.reset()
        for begun in (LINE + HOST, LINE + HOST + KEY + CL + b"\r\n" + BODY[:10]):
            with gateway.client(timeout=5) as client:
                response = client.send(begun).read_response()
                assert response.status == 408
                assert json.loads(response.body)["error"]["details"]["reason"] == "request_timeout"
                assert client.rest() == b""
        with gateway.client(timeout=5) as client:  # idle between requests: closed without a word
            assert client.ask(request("GET", "/v1/models")).status == 200
            client.socket.settimeout(seconds(5))
            assert client.rest() == b""
        assert [call.target for call in shared_upstream.calls] == [b"/v1/models"]
