"""An upstream that is slow, silent, garbled or gone: each has its own reason, and nothing is asked twice in vain."""

import json
import socket
import threading
import time

import pytest

from support import sse
from support.client import request
from support.gateway import Gateway
from support.timing import seconds, setting
from support.upstream import MESSAGE, Upstream, always, answer, answer_kind, in_turn

ASK = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"stream":true,"messages":[]}')
ASK_JSON = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]}')

# Far enough apart that only one of them can be the first to fire in each test.
GATEWAY_SETTINGS = {
    "UPSTREAM_HEAD_TIMEOUT": setting(500),
    "UPSTREAM_IDLE_TIMEOUT": setting(500),
    "UPSTREAM_FIRST_CONTENT_TIMEOUT": setting(800),
    "UPSTREAM_TOTAL_TIMEOUT": setting(1600),
    "UPSTREAM_CONNECT_TIMEOUT": setting(500),
    "PREAMBLE_HOLD": setting(10_000),
    "PREAMBLE_EVENTS_MAX": 1000,
}


def check(response, status, reason):
    assert response.status == status, (response.raw_head, response.body)
    error = response.json()["error"]
    assert error["details"]["reason"] == reason, error
    assert error["type"] == {502: "api_error", 504: "timeout_error"}[status]
    assert response.header("content-type") == "application/json"


def check_event(body, reason):
    name, data = sse.parse(body)[-1]
    assert (name, json.loads(data)["error"]["details"]["reason"]) == ("error", reason)


def hang(call, peer):
    peer.wait_gone(60)


@pytest.mark.parametrize("ask", [ASK, ASK_JSON], ids=["stream", "sync"])
def test_no_head_in_time(gateway, upstream, ask):
    upstream.handler = hang
    begin = time.monotonic()
    response = gateway.ask(ask)
    check(response, 504, "upstream_head_timeout")
    assert time.monotonic() - begin >= seconds(0.45)
    assert gateway.request_line(response)["reason"] == "upstream_head_timeout"


def test_half_a_head_in_time_is_no_head(gateway, upstream):
    upstream.handler = lambda call, peer: (peer.send(b"HTTP/1.1 200 OK\r\ncontent-"), hang(call, peer))
    check(gateway.ask(ASK_JSON), 504, "upstream_head_timeout")


def ping_on(peer, *events):
    """Keeps the connection from being idle until the gateway gives up."""
    try:
        peer.stream(*events)
        while True:
            peer.events(sse.ping())
            time.sleep(seconds(0.05))
    except OSError:
        peer.cut()


def test_no_content_in_time_before_the_stream_began(gateway, upstream):
    upstream.handler = lambda call, peer: ping_on(peer, sse.preamble())
    check(gateway.ask(ASK), 504, "upstream_first_content_timeout")


def test_no_content_in_time_after_the_stream_began(shared_upstream):
    shared_upstream.reset()
    shared_upstream.handler = lambda call, peer: ping_on(peer, sse.preamble())
    with Gateway(
        shared_upstream.url, UPSTREAM_FIRST_CONTENT_TIMEOUT=setting(800), PREAMBLE_HOLD=setting(100)
    ) as gateway:
        response = gateway.ask(ASK)
        assert response.status == 200 and response.body.startswith(sse.preamble())
        check_event(response.body, "upstream_first_content_timeout")


def test_silence_inside_a_sync_answer(gateway, upstream):
    upstream.handler = lambda call, peer: (peer.send(answer(body=MESSAGE)[:-20]), hang(call, peer))
    check(gateway.ask(ASK_JSON), 504, "upstream_idle_timeout")


def test_silence_inside_a_stream(gateway, upstream):
    begun = sse.preamble() + sse.text_delta("a")
    upstream.handler = lambda call, peer: (peer.stream(begun + sse.text_delta("b")[:30]), hang(call, peer))
    response = gateway.ask(ASK)
    assert response.status == 200 and response.body.startswith(begun)
    check_event(response.body, "upstream_idle_timeout")
    assert gateway.request_line(response)["reason"] == "upstream_idle_timeout"


def test_a_stream_without_end(gateway, upstream):
    upstream.handler = lambda call, peer: ping_on(peer, sse.preamble(), sse.text_delta("a"))
    begin = time.monotonic()
    response = gateway.ask(ASK)
    assert response.status == 200
    check_event(response.body, "upstream_total_timeout")
    assert seconds(1.4) <= time.monotonic() - begin < seconds(6)


def test_a_sync_answer_without_end(gateway, upstream):
    def drip(call, peer):
        try:
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n")
            while True:
                peer.send(b" ")
                time.sleep(seconds(0.05))
        except OSError:
            peer.cut()

    upstream.handler = drip
    check(gateway.ask(ASK_JSON), 504, "upstream_total_timeout")


def test_a_slow_but_living_stream_is_left_alone(gateway, upstream):
    def handle(call, peer):
        peer.stream(sse.preamble() + sse.text_delta("a"))
        for _ in range(4):
            time.sleep(seconds(0.25))  # each pause under the idle limit, together over every limit but the total one
            peer.events(sse.text_delta("b"))
        peer.events(sse.block_stop() + sse.ending()).end()

    upstream.handler = handle
    assert b"event: error" not in gateway.ask(ASK).body


def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with Gateway(f"http://127.0.0.1:{unused.getsockname()[1]}") as gateway:
            for ask in (ASK, ASK_JSON):
                response = gateway.ask(ask)
                check(response, 502, "upstream_connect_failed")
                assert gateway.request_line(response)["attempts"] >= 1


def test_connecting_takes_too_long():
    """A full accept queue leaves the handshake unanswered, as a dead host would."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            with Gateway(f"http://127.0.0.1:{full.getsockname()[1]}", UPSTREAM_CONNECT_TIMEOUT=setting(300)) as gateway:
                check(gateway.ask(ASK_JSON), 504, "upstream_connect_timeout")
        finally:
            for one in waiting:
                one.close()


def test_the_name_does_not_resolve():
    with Gateway("http://no-such-host.invalid:9", UPSTREAM_CONNECT_TIMEOUT=setting(500)) as gateway:
        response = gateway.ask(ASK_JSON)
        # A machine without any name server may only time out.
        assert (response.status, response.json()["error"]["details"]["reason"]) in (
            (502, "upstream_unresolved"),
            (504, "upstream_connect_timeout"),
        ), response.body


def test_a_name_is_resolved_and_a_path_prefix_kept(shared_upstream):
    shared_upstream.reset()
    with Gateway(f"http://localhost:{shared_upstream.port}/team/a/") as gateway:
        assert gateway.ask(request("GET", "/v1/models?limit=5")).status == 200
    assert shared_upstream.calls[0].target == b"/team/a/v1/models?limit=5"
    assert shared_upstream.calls[0].header("host") == f"localhost:{shared_upstream.port}"


@pytest.mark.parametrize("goodbye", ["cut", "reset"])
@pytest.mark.parametrize("ask", [ASK, ASK_JSON], ids=["stream", "sync"])
def test_a_stale_pooled_connection_is_retried_once_unseen(shared_upstream, ask, goodbye):
    """The upstream closes just as the request arrives: it was read, no byte of an answer was sent."""

    def handle(call, peer):
        if len(shared_upstream.calls) == 2:
            getattr(peer, goodbye)()
        else:
            answer_kind(call, peer)

    shared_upstream.reset()
    shared_upstream.handler = handle
    with Gateway(shared_upstream.url, ATTEMPTS_MAX=1) as gateway:  # not one of the counted attempts
        first = gateway.ask(ask)
        second = gateway.ask(ask)
        assert (first.status, second.status) == (200, 200) and first.body == second.body
    calls = shared_upstream.calls
    assert [call.connection == calls[0].connection for call in calls] == [True, True, False]


def test_pooled_connections_closed_by_the_upstream_harm_nobody(gateway, upstream):
    for _ in range(20):
        assert gateway.ask(ASK_JSON).status == 200
        upstream.drop_connections()
    assert len(upstream.calls) == 20


def test_a_connection_that_upstream_wants_closed_is_not_used_again(gateway, upstream):
    upstream.handler = always(answer(headers=[("connection", "close")], body=MESSAGE))
    with gateway.client() as client:
        for _ in range(3):
            response = client.ask(ASK_JSON)
            assert response.status == 200 and response.header("connection") != "close"
    assert len({call.connection for call in upstream.calls}) == 3


def test_a_connection_with_bytes_left_over_is_not_used_again(gateway, upstream):
    upstream.handler = in_turn(
        always(answer(body=MESSAGE) + answer(body=b'{"left":"over"}')), always(answer(body=MESSAGE))
    )
    for _ in range(3):
        assert gateway.ask(ASK_JSON).body == MESSAGE


def test_an_answer_that_had_begun_is_never_asked_for_again(gateway, upstream):
    for begun in (b"HTTP/1.1 200 O", answer(body=MESSAGE)[:-20]):
        upstream.reset()
        assert gateway.ask(ASK_JSON).status == 200  # so that the next call goes over a pooled connection
        upstream.handler = lambda call, peer: (peer.send(begun), peer.cut())
        response = gateway.ask(ASK_JSON)
        assert response.status == 502
        assert response.json()["error"]["details"]["reason"] in ("upstream_cut", "upstream_protocol_error")
        assert len(upstream.calls) == 2, "a call that had begun to answer was paid for; asking again pays twice"


def test_an_upstream_that_always_hangs_up_is_given_up(gateway, upstream):
    upstream.handler = lambda call, peer: peer.cut()
    for ask in (ASK, ASK_JSON):
        upstream.reset()
        upstream.handler = lambda call, peer: peer.cut()
        check(gateway.ask(ask), 502, "upstream_cut")
        assert 1 <= len(upstream.calls) <= 3


OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"content-type: application/json\r\n"
GARBAGE = {
    "no_http": b"garbage\r\n\r\n",
    "ssh_banner": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "tls_alert": b"\x15\x03\x03\x00\x02\x02\x28\r\n\r\n",
    "http_2": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "letters_as_status": b"HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n",
    "short_status": b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
    "long_status": b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
    "head_of_200_kb": OK + b"x: " + b"y" * 200_000 + b"\r\ncontent-length: 0\r\n\r\n",
    "two_lengths": OK + b"content-length: 2\r\ncontent-length: 5\r\n\r\n{}abc",
    "length_with_minus": OK + b"content-length: -2\r\n\r\n{}",
    "length_with_letters": OK + b"content-length: 2x\r\n\r\n{}",
    "length_and_chunked": OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "unknown_coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "nul_in_header": OK + b"x: a\0b\r\ncontent-length: 2\r\n\r\n{}",
    "no_colon": OK + b"x y\r\ncontent-length: 2\r\n\r\n{}",
    "obs_fold": OK + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\n{}",
    "space_in_name": OK + b"x y: a\r\ncontent-length: 2\r\n\r\n{}",
    "bare_cr_in_header": OK + b"x: a\rb\r\ncontent-length: 2\r\n\r\n{}",
    "bad_chunk_size": OK + JSON + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "no_crlf_after_chunk": OK + JSON + b"transfer-encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
    "chunk_size_overflow": OK + JSON + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_from_upstream_is_a_protocol_error(gateway, upstream, name):
    upstream.handler = lambda call, peer: (peer.send(GARBAGE[name]), peer.wait_gone(5))
    with gateway.client() as client:
        check(client.ask(ASK_JSON), 502, "upstream_protocol_error")
        upstream.handler = upstream.default
        assert client.ask(ASK_JSON).body == MESSAGE, "and the next request is served"


def test_garbage_inside_a_stream_ends_in_an_error_event(gateway, upstream):
    begun, seen = sse.preamble() + sse.text_delta("a"), threading.Event()

    def handle(call, peer):
        peer.stream(begun)
        assert seen.wait(seconds(20))
        peer.send(b"zz\r\nnonsense")
        peer.wait_gone(5)

    upstream.handler = handle
    with gateway.client() as client:
        response = client.send(ASK).response()
        response.read_until(begun)
        seen.set()
        check_event(response.read().body, "upstream_protocol_error")


def test_an_answer_before_the_request_was_read_is_passed_on(gateway, upstream):
    """An upstream that refuses a large upload early; the gateway must not insist on sending the rest."""
    body = b'{"error":"too large"}'

    def refuse(call, peer):
        peer.send(answer(413, body=body, headers=[("connection", "close")]))
        peer.wait_gone(20)

    upstream.handler, upstream.read_bodies = refuse, False
    size = 64 << 20
    with gateway.client() as client:
        client.send(request("POST", "/v1/files", headers=[("Content-Length", str(size))]))
        sender = threading.Thread(target=send_until_refused, args=(client, size))
        sender.start()
        response = client.read_response()
        assert (response.status, response.body) == (413, body)
        client.socket.shutdown(socket.SHUT_RDWR)
        sender.join()


def send_until_refused(client, size):
    piece = b"x" * (1 << 16)
    try:
        for _ in range(size // len(piece)):
            client.socket.sendall(piece)
    except OSError:
        pass


def test_requests_wait_for_nobody_else(gateway, upstream):
    """Fifty calls that hang take nothing from the fifty-first."""
    upstream.handler = lambda call, peer: (
        hang(call, peer) if b"hang" in call.target else peer.send(answer(body=MESSAGE))
    )
    clients = [gateway.client() for _ in range(50)]
    for client in clients:
        client.send(request("GET", "/v1/models?hang"))
    upstream.wait_calls(50)
    begin = time.monotonic()
    assert gateway.ask(ASK_JSON).status == 200
    assert time.monotonic() - begin < seconds(0.4)
    for client in clients:
        assert client.read_response("GET").status == 504
        client.close()


def test_an_upstream_on_another_port_with_its_own_settings_is_not_disturbed():
    """Two gateways side by side share nothing."""
    with Upstream() as one, Upstream() as two, Gateway(one.url) as first, Gateway(two.url) as second:
        assert first.ask(ASK_JSON).status == second.ask(ASK_JSON).status == 200
        assert len(one.calls) == len(two.calls) == 1
