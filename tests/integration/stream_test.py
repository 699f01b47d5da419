"""Streams that are cut, silent or in trouble: what the client sees before and after the first real content."""

import json
import socket
import threading
import time

import pytest

from support import sse
from support.client import Truncated, request
from support.gateway import Gateway
from support.timing import seconds, setting
from support.upstream import MESSAGE, always, answer, in_turn, stream_head

ASK = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"stream":true,"messages":[]}')
ASK_JSON = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]}')

GATEWAY_SETTINGS = {"PING_INTERVAL": setting(200), "PREAMBLE_HOLD": setting(1000)}


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def reason_of(response):
    return json.loads(response.body)["error"]["details"]["reason"]


def check_error_answer(response, status, reason):
    assert response.status == status, (response.raw_head, response.body)
    assert response.header("content-type") == "application/json"
    assert reason_of(response) == reason, response.body
    assert response.json()["request_id"] == response.header("x-claude-proxy-request-id")


def events_within(sent, line_end=b"\n"):
    """The part of `sent` that consists of whole events, and the rest: the event that the cut went through."""
    end = sent.rfind(line_end * 2)
    whole = sent[: end + 2 * len(line_end)] if end >= 0 else b""
    return whole, sent[len(whole) :]


def check_error_end(body, sent, reason, line_end=b"\n"):
    """Every whole event of `sent` arrived, then a parseable `error` event of ours as the last one.

    Of the event that was cut the client may see nothing or a part; it must not glue to the error event.
    """
    whole, part = events_within(sent, line_end)
    assert body.startswith(whole), f"{len(sent)} bytes were sent, got ...{body[-300:]!r}"
    before, events = sse.parse(whole), sse.parse(body)
    name, data = events[-1]
    assert name == "error", events[-1]
    details = json.loads(data)
    assert details["type"] == "error" and details["error"]["details"]["reason"] == reason, details
    assert details["request_id"].startswith("req_"), details
    assert events[: len(before)] == before
    assert len(events) - len(before) <= (
        2 if part else 1
    ), "between the events sent and our error stands at most the cut one"
    assert sum(name == "error" for name, _ in events) == 1
    return details


def cut_after(stream, count):
    """A handler that sends `count` body bytes and closes; odd counts are cut inside a chunk, even ones between two."""

    def handle(call, peer):
        data = stream[:count]
        framed = b"%x\r\n" % len(stream) + data if count % 2 else (chunk(data) if data else b"")
        peer.send(stream_head() + framed)
        peer.cut()

    return handle


STREAM = sse.example_stream()
CONTENT = sse.first_content_end(STREAM)


def test_a_cut_at_every_byte_before_content_is_retried_once_and_unseen(gateway, upstream):
    with gateway.client() as client:
        for count in range(CONTENT):
            upstream.reset()
            upstream.handler = in_turn(cut_after(STREAM, count), lambda call, peer: peer.stream(STREAM).end())
            response = client.ask(ASK)
            assert (response.status, response.body) == (200, STREAM), (count, response.raw_head, response.body[-300:])
            assert len(upstream.calls) == 2, count
            assert (
                upstream.calls[0].raw_head == upstream.calls[1].raw_head
                and upstream.calls[0].body == upstream.calls[1].body
            )


def test_a_persistent_cut_at_every_byte_before_content_is_a_proper_502(gateway, upstream):
    with gateway.client() as client:
        for count in range(0, CONTENT, 3):
            upstream.reset()
            upstream.handler = cut_after(STREAM, count)
            check_error_answer(client.ask(ASK), 502, "upstream_cut")
            assert len(upstream.calls) == 2, count


def test_a_cut_at_every_byte_after_content_ends_in_an_error_event(gateway, upstream):
    with gateway.client() as client:
        for count in range(CONTENT, len(STREAM)):
            upstream.reset()
            upstream.handler = cut_after(STREAM, count)
            response = client.ask(ASK)  # strict: a missing last chunk would raise
            assert response.status == 200
            check_error_end(response.body, STREAM[:count], "upstream_cut")
            assert len(upstream.calls) == 1, "content was seen, nothing may be repeated"


def test_a_cut_after_the_last_event_loses_nothing(gateway, upstream):
    upstream.handler = cut_after(STREAM, len(STREAM))
    response = gateway.ask(ASK)
    assert response.status == 200
    if response.body != STREAM:
        check_error_end(response.body, STREAM, "upstream_cut")


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"], ids=["crlf", "cr"])
def test_a_cut_of_a_stream_with_other_line_ends_still_ends_in_an_error_event(gateway, upstream, line_end):
    stream = STREAM.replace(b"\n", line_end)
    with gateway.client() as client:
        for count in range(stream.index(b"content_block_stop"), len(stream) - 2 * len(line_end), 7):
            upstream.handler = cut_after(stream, count)
            check_error_end(client.ask(ASK).body, stream[:count], "upstream_cut", line_end)


def test_a_cut_inside_an_event_of_a_megabyte_ends_in_an_error_event(gateway, upstream):
    """Such an event is too long to be held back until it is whole, so the client has a part of it."""
    stream = sse.preamble() + sse.text_delta("a") + sse.text_delta("x" * 1_000_000)
    for count in (len(stream) - 900_000, len(stream) - 100, len(stream) - 1):
        upstream.handler = cut_after(stream, count)
        check_error_end(gateway.ask(ASK).body, stream[:count], "upstream_cut")


def test_a_reset_by_the_upstream_is_the_same_as_a_cut(gateway, upstream):
    begun = sse.preamble() + sse.text_delta("a")

    def handle(call, peer):
        peer.stream(begun)
        assert seen.wait(seconds(20))
        peer.reset()

    seen = threading.Event()
    upstream.handler = handle
    with gateway.client() as client:
        response = client.send(ASK).response()
        response.read_until(begun)
        seen.set()
        check_error_end(response.read().body, begun, "upstream_cut")


def test_an_orderly_end_without_message_stop_is_reported_as_a_cut(gateway, upstream):
    begun = sse.preamble() + sse.text_delta("a")
    upstream.handler = lambda call, peer: peer.stream(begun).end()
    response = gateway.ask(ASK)
    check_error_end(response.body, begun, "upstream_cut")


def test_an_overload_before_content_is_retried_on_a_fresh_call(gateway, upstream):
    for before in (b"", sse.message_start(), sse.preamble() + sse.ping()):
        upstream.reset()
        upstream.handler = in_turn(
            lambda call, peer: peer.stream(before + sse.error()).end(), lambda call, peer: peer.stream(STREAM).end()
        )
        response = gateway.ask(ASK)
        assert (response.status, response.body) == (200, STREAM)
        assert len(upstream.calls) == 2


@pytest.mark.parametrize(
    "before", [b"", sse.message_start(), sse.preamble() + sse.ping()], ids=["first", "started", "pinged"]
)
def test_a_persistent_overload_becomes_its_status_with_exactly_its_body(gateway, upstream, before):
    data = '{"type":"error",  "error":{"type":"overloaded_error","message":"Overloaded \\u00e9"}, "request_id":"req_9"}'
    upstream.handler = lambda call, peer: peer.stream(before + sse.event("error", data)).end()
    response = gateway.ask(ASK)
    assert response.status == 529 and response.body.strip() == data.encode()
    assert response.header("content-type").startswith("application/json")
    assert response.header("x-claude-proxy-request-id")
    assert len(upstream.calls) == 2


@pytest.mark.parametrize(
    "kind, status",
    [
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("permission_error", 403),
        ("not_found_error", 404),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("timeout_error", 504),
        ("future_error", 500),
    ],
)
def test_other_errors_before_content_become_their_status(gateway, upstream, kind, status):
    data = json.dumps(sse.error_object(kind, "why"))
    upstream.handler = lambda call, peer: peer.stream(sse.message_start() + sse.event("error", data)).end()
    response = gateway.ask(ASK)
    assert (response.status, response.body.strip()) == (status, data.encode())


def test_an_error_event_after_content_passes_and_is_not_doubled(gateway, upstream):
    stream = sse.preamble() + sse.text_delta("a") + sse.error()
    upstream.handler = in_turn(
        lambda call, peer: peer.stream(stream).end(), lambda call, peer: (peer.stream(stream), peer.cut())
    )
    for _ in range(2):
        response = gateway.ask(ASK)
        assert (response.status, response.body) == (200, stream)
    assert len(upstream.calls) == 2


@pytest.mark.parametrize("size", [60, 200_000], ids=["short_event", "long_event"])
def test_own_pings_fill_silence_but_only_between_events(gateway, upstream, size):
    first, half = sse.preamble() + sse.text_delta("a"), sse.text_delta("b" * size)
    last = sse.block_stop() + sse.ending()
    in_event, go_on = threading.Event(), threading.Event()

    def handle(call, peer):
        peer.stream(first)
        assert in_event.wait(seconds(20))
        peer.events(half[: len(half) - 30])
        assert go_on.wait(seconds(20))
        peer.events(half[len(half) - 30 :], last).end()

    upstream.handler = handle
    with gateway.client() as client:
        response = client.send(ASK).response()
        response.read_until(first)
        begin = time.monotonic()
        while response.body.count(b"event: ping") < 3:  # about three intervals of 200 ms
            response.next_piece()
        assert time.monotonic() - begin >= seconds(0.35)
        in_event.set()
        silence = threading.Timer(seconds(0.7), go_on.set)  # three intervals inside a half event
        silence.start()
        response.read()
    assert sse.parse(response.body)
    assert half in response.body, "something stands inside the event"
    without_pings = response.body.replace(sse.event("ping", '{"type": "ping"}'), b"").replace(sse.ping(), b"")
    assert without_pings == first + half + last
    assert gateway.request_line(response)["pings"] >= 3


def test_no_ping_is_added_while_events_flow(gateway, upstream):
    events = [sse.text_delta(f"{n}") for n in range(20)]

    def handle(call, peer):
        peer.stream(sse.preamble())
        for data in events:
            peer.events(data)
            time.sleep(seconds(0.04))
        peer.events(sse.block_stop() + sse.ending()).end()

    upstream.handler = handle
    assert b"ping" not in gateway.ask(ASK).body


def test_events_are_passed_on_as_they_come(gateway, upstream):
    arrived = threading.Semaphore(0)

    def handle(call, peer):
        peer.stream(sse.preamble() + sse.text_delta("0"))
        for number in range(1, 20):
            assert arrived.acquire(timeout=seconds(10)), f"event {number - 1} did not arrive at the client"
            peer.events(sse.text_delta(str(number)))
        peer.events(sse.block_stop() + sse.ending()).end()

    upstream.handler = handle
    with gateway.client() as client:
        response = client.send(ASK).response()
        for number in range(19):
            response.read_until(sse.text_delta(str(number)))
            arrived.release()
        response.read()
    assert upstream.problems == []


def test_the_preamble_is_held_until_content(gateway, upstream):
    go_on = threading.Event()

    def handle(call, peer):
        peer.stream(sse.preamble())
        assert go_on.wait(seconds(20))
        peer.events(sse.text_delta("a"), sse.block_stop() + sse.ending()).end()

    upstream.handler = handle
    with gateway.client() as client:
        client.send(ASK)
        upstream.wait_calls(1)
        time.sleep(seconds(0.2))  # well inside the hold: the absence of bytes cannot be awaited
        assert client.is_open(), "bytes came before the first content"
        go_on.set()
        assert client.read_response().body == sse.short_stream("a")


def test_the_hold_ends_after_its_time(gateway, upstream):
    go_on = threading.Event()

    def handle(call, peer):
        peer.stream(sse.preamble())
        go_on.wait(seconds(20))
        peer.cut()

    upstream.handler = handle
    with gateway.client() as client:
        begin = time.monotonic()
        response = client.send(ASK).response()
        response.read_until(sse.preamble())
        assert seconds(0.9) <= time.monotonic() - begin < seconds(5)
        go_on.set()
        response.read()
    events = sse.parse(response.body)
    assert events[-1][0] == "error", "once the stream has begun, a cut is an error event"
    assert len(upstream.calls) == 1, "and never a retry"


@pytest.mark.parametrize(
    "limit, held",
    [
        ({"PREAMBLE_EVENTS_MAX": 4}, sse.preamble() + sse.ping() * 4),
        ({"PREAMBLE_BYTES_MAX": 4096}, sse.message_start(padding="p" * 8192)),
    ],
    ids=["events", "bytes"],
)
def test_the_hold_ends_at_its_bounds(shared_upstream, limit, held):
    shared_upstream.reset()
    go_on = threading.Event()

    def handle(call, peer):
        peer.stream(held)
        go_on.wait(seconds(20))
        peer.events(sse.text_delta("a")).cut()

    shared_upstream.handler = handle
    with (
        Gateway(shared_upstream.url, PREAMBLE_HOLD=setting(30_000), **limit) as gateway,
        gateway.client(timeout=5) as client,
    ):
        response = client.send(ASK).response()
        response.read_until(held)
        go_on.set()
        check_error_end(response.read().body, held + sse.text_delta("a"), "upstream_cut")
    assert len(shared_upstream.calls) == 1


@pytest.mark.parametrize("ask", [ASK, ASK_JSON], ids=["stream", "sync"])
@pytest.mark.parametrize("busy", [False, True], ids=["silent", "busy"])
@pytest.mark.parametrize("goodbye", ["close", "reset"])
def test_a_client_that_leaves_cancels_the_upstream_call_within_a_second(gateway, upstream, ask, busy, goodbye):
    took, left = [], threading.Event()

    def handle(call, peer):
        if not busy:
            if ask is ASK:
                peer.stream(sse.preamble() + sse.text_delta("a"))
            took.append(peer.wait_gone() and time.monotonic())
            left.set()
            return
        try:
            if ask is ASK:
                peer.stream(sse.preamble())
            else:
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                peer.events(sse.text_delta("busy"))
                time.sleep(0.002)
        except OSError:
            took.append(time.monotonic())
            left.set()
        peer.cut()

    upstream.handler = handle
    client = gateway.client()
    client.send(ask)
    upstream.wait_calls(1)
    if ask is ASK:
        client.response().read_until(b"content_block_delta")
    begin = time.monotonic()
    getattr(client, goodbye)()
    assert left.wait(seconds(20)), "the upstream call runs on"
    assert took[0] - begin < seconds(1)
    line = gateway.wait_event(
        lambda event: event.get("reason") == "client_left" and event not in gateway.seen, what="client_left line"
    )
    gateway.seen.append(line)
    assert line["status"] == (200 if ask is ASK else 499)


@pytest.fixture(autouse=True)
def seen_log_lines(shared_gateway):
    """Log lines that an earlier test has claimed."""
    if not hasattr(shared_gateway, "seen"):
        shared_gateway.seen = []
    shared_gateway.seen.extend(event for event in shared_gateway.events if event.get("reason") == "client_left")


def test_a_client_that_sends_its_whole_request_and_shuts_down_writing_is_not_forgotten_open(gateway, upstream):
    """A half-closed client either gets its answer or counts as gone; the upstream call must not hang in either case."""
    with gateway.client() as client:
        client.send(ASK_JSON)
        client.socket.shutdown(socket.SHUT_WR)
        rest = client.rest()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 200"), rest[:200]


def test_sync_answers_up_to_the_hold_are_whole_or_an_error(gateway, upstream):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(MESSAGE)
    with gateway.client() as client:
        for count in range(0, len(MESSAGE), 5):
            upstream.reset()
            upstream.handler = lambda call, peer: (peer.send(head + MESSAGE[:count]), peer.cut())
            check_error_answer(client.ask(ASK_JSON), 502, "upstream_cut")
    upstream.handler = always(answer(body=MESSAGE))
    assert gateway.ask(ASK_JSON).body == MESSAGE


def test_a_long_sync_answer_that_is_cut_is_not_passed_off_as_whole(gateway, upstream):
    """Beyond the hold the head is out; then only a broken message can tell the client."""
    body = b'{"a":"' + b"x" * 900_000
    for framing in (b"content-length: 1000000\r\n\r\n" + body, b"transfer-encoding: chunked\r\n\r\n" + chunk(body)):
        upstream.reset()
        upstream.handler = lambda call, peer: (
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + framing),
            peer.cut(),
        )
        with gateway.client() as client:
            client.send(ASK_JSON)
            response = client.response()
            if response.status == 200:
                with pytest.raises((Truncated, ConnectionError)):
                    response.read()
            else:
                check_error_answer(response.read(), 502, "upstream_cut")


def test_streams_of_unlike_kind_on_one_connection_do_not_mix(gateway, upstream):
    with gateway.client() as client:
        for number in range(30):
            stream = sse.short_stream(f"number {number}")
            upstream.handler = always(stream_head() + chunk(stream) + b"0\r\n\r\n")
            assert client.ask(ASK).body == stream
            upstream.handler = always(answer(body=b'{"n":%d}' % number))
            assert client.ask(ASK_JSON).body == b'{"n":%d}' % number
