"""Idempotency-Key when something goes wrong: failures, streams that break, silence, the end of the process, and what
cannot be kept."""

import signal
import threading

import pytest

from support import sse
from support.client import request
from support.gateway import Gateway
from support.timing import seconds, setting, wait_until
from support.twins import BEGUN, OWN, PLAIN, REPLAY, REST, STREAM, Gate, asking, bodies_held, join, whole_of
from support.upstream import MESSAGE, answer, in_turn

BODIES = pytest.mark.parametrize("body", [PLAIN % b"a", STREAM % b"a"], ids=["sync", "stream"])


@pytest.fixture
def name(request, counter=iter(range(10_000))):
    """A key that no other test uses."""
    return f"{request.node.name[:100]}-{next(counter)}"


def fails_with_500(call, peer):
    peer.send(answer(500, body=b'{"type":"error","error":{"type":"api_error","message":"broken"}}'))


def is_cut_before_content(call, peer):
    peer.stream(sse.message_start())
    peer.cut()


def is_cut(call, peer):
    peer.send(answer(body=MESSAGE)[:-20])
    peer.cut()


@pytest.mark.parametrize(
    "body, failure, calls, status",
    [
        (PLAIN % b"a", fails_with_500, 1, 500),
        (PLAIN % b"a", is_cut, 1, 502),
        (STREAM % b"a", fails_with_500, 1, 500),
        (STREAM % b"a", is_cut_before_content, 2, 502),
    ],
    ids=["sync_500", "sync_cut", "stream_500", "stream_cut"],
)
def test_after_a_failure_the_next_one_leads(gateway, upstream, name, body, failure, calls, status):
    fails = threading.Event()

    def late_failure(call, peer):
        assert fails.wait(seconds(20))
        failure(call, peer)

    def success(call, peer):
        if b'"stream":true' in call.body:
            peer.stream(BEGUN + REST).end()
        else:
            peer.send(answer(body=MESSAGE))

    upstream.handler = in_turn(late_failure, *[failure] * (calls - 1), success)
    with gateway.client() as one, gateway.client() as other:
        one.send(asking(name, body))
        upstream.wait_calls(1)
        other.send(asking(name, body))
        bodies_held(gateway, 2 * len(body))
        fails.set()
        first, twin = one.read_response(), other.read_response()
    assert first.status == status and first.header(REPLAY) is None
    assert (twin.status, twin.body, twin.header(REPLAY)) == (200, whole_of(body), None)
    assert len(upstream.calls) == calls + 1
    again = gateway.ask(asking(name, body))
    assert (again.body, again.header(REPLAY)) == (whole_of(body), twin.header(OWN))


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"], ids=["1_1", "1_0"])
@pytest.mark.parametrize("half", [b"", sse.text_delta("half")[:-30]], ids=["between_events", "inside_one"])
def test_a_stream_that_breaks_in_the_middle_breaks_for_its_twins_too(gateway, upstream, name, version, half):
    upstream.handler = gate = Gate(finish=lambda peer, streams: (half and peer.events(half), peer.cut()))
    body = STREAM % b"a"
    with gateway.client() as one, gateway.client() as other:
        first = one.send(asking(name, body)).response()
        first.read_until(BEGUN)
        twin = join(gateway, other, asking(name, body, version=version), 0)
        gate.open()
        for response in (first.read(), twin.read()):
            assert response.body.startswith(BEGUN + b"event: error\n"), "only whole events, then the error"
            kind, data = sse.parse(response.body)[-1]
            assert kind == "error" and b"upstream_cut" in data
            assert response.header(OWN).encode() in data, "the error names the request that gets it"
        if version == b"HTTP/1.1":
            assert other.ask(request("GET", "/health", key=None)).status == 200, "the connection is fit for more"
    assert twin.header(REPLAY) == first.header(OWN)
    assert gateway.request_line(twin)["reason"] == "upstream_cut"
    upstream.handler = lambda call, peer: peer.stream(BEGUN + REST).end()
    again = gateway.ask(asking(name, body))
    assert (again.body, again.header(REPLAY), len(upstream.calls)) == (BEGUN + REST, None, 2)


def test_an_event_too_long_to_wait_for_its_end_reaches_twins_in_pieces(gateway, upstream, name):
    long_event, halves = sse.text_delta("x" * 300_000), threading.Semaphore(0)

    def handle(call, peer):
        peer.stream(BEGUN)
        assert halves.acquire(timeout=seconds(20))
        peer.events(long_event[:200_000])
        assert halves.acquire(timeout=seconds(20))
        if len(upstream.calls) == 1:
            peer.cut()
        else:
            peer.events(long_event[200_000:], REST).end()

    upstream.handler = handle
    for broken in (True, False):
        with gateway.client() as one, gateway.client() as other:
            one.send(asking(name, STREAM % b"a"))
            responses = [one.response(), join(gateway, other, asking(name, STREAM % b"a"), 0)]
            halves.release()
            for response in responses:
                while len(response.body) < 130_000:  # less than 64 KiB of it may wait
                    assert response.next_piece()
            halves.release()
            for response in responses:
                if broken:
                    assert sse.parse(response.read().body)[-1][0] == "error"
                else:
                    assert response.read().body == BEGUN + long_event + REST
        assert responses[1].header(REPLAY) == responses[0].header(OWN)


def test_a_twin_gets_pings_in_silence(shared_upstream, name):
    shared_upstream.reset()
    half = sse.text_delta("half")
    shared_upstream.handler = gate = Gate(finish=lambda peer, streams: peer.events(half[20:], REST).end())

    def begin(call, peer):
        peer.stream(BEGUN).events(half[:20])  # the beginning of an event must not stand before a ping
        assert gate.opened.wait(seconds(20))
        gate.finish(peer, True)

    shared_upstream.handler = begin
    with Gateway(shared_upstream.url, PING_INTERVAL=setting(150)) as gateway:
        with gateway.client() as one, gateway.client() as other:
            one.send(asking(name, STREAM % b"a"))
            responses = [one.response(), join(gateway, other, asking(name, STREAM % b"a"), 0)]
            for response in responses:
                response.read_until(b"event: ping")
            gate.open()
            for response in responses:
                response.read()
                assert sse.parse(response.body)[3][0] == "ping"
                without_pings = response.body.replace(sse.event("ping", '{"type": "ping"}'), b"")
                assert without_pings == BEGUN + half + REST
            assert gateway.request_line(responses[1])["pings"] >= 1


@BODIES
def test_twins_are_told_when_the_process_ends(shared_upstream, name, body):
    shared_upstream.reset()
    over = threading.Event()

    def never_ends(call, peer):
        if b'"stream":true' in call.body:
            peer.stream(BEGUN)
        peer.wait_gone()
        over.set()

    shared_upstream.handler = never_ends
    with Gateway(shared_upstream.url, DRAIN_TIMEOUT=setting(200)) as gateway:
        with gateway.client() as one, gateway.client() as other:
            one.send(asking(name, body))
            shared_upstream.wait_calls(1)
            early = join(gateway, other, asking(name, body), 2 * len(body))
            gateway.signal(signal.SIGTERM)
            if early:
                kind, data = sse.parse(early.read().body)[-1]
                assert kind == "error" and b"shutting_down" in data
            else:
                refused = other.read_response()
                assert (refused.status, refused.json()["error"]["details"]["reason"]) == (529, "shutting_down")
        assert over.wait(seconds(20))


def test_an_answer_is_kept_for_the_time_that_is_set(shared_upstream, name):
    shared_upstream.reset()
    done = threading.Event()

    def handle(call, peer):
        if len(shared_upstream.calls) == 1:
            done.wait(seconds(1.2))  # longer than the answer is kept: what counts is when it was finished
        peer.send(answer(body=MESSAGE))

    shared_upstream.handler = handle
    with Gateway(shared_upstream.url, IDEMPOTENCY_TTL=setting(1_000)) as gateway:
        first = gateway.ask(asking(name))
        assert gateway.ask(asking(name)).header(REPLAY) == first.header(OWN)

        def next_one_leads():
            given = gateway.ask(asking(name))
            return given if given.header(REPLAY) is None else None

        second = wait_until(next_one_leads, 10, "the end of the time to keep")
        assert len(shared_upstream.calls) == 2
        assert gateway.ask(asking(name)).header(REPLAY) == second.header(OWN)


def test_the_oldest_answers_give_way_to_the_memory_bound(shared_upstream, name):
    shared_upstream.reset()
    kept = MESSAGE.replace(b"Hello", b"x" * 10_000)
    shared_upstream.handler = lambda call, peer: peer.send(answer(body=kept))
    with Gateway(shared_upstream.url, IDEMPOTENCY_BYTES_MAX=65_536) as gateway:
        for number in range(7):  # six of them fit
            assert gateway.ask(asking(f"{name}-{number}")).status == 200
        for number in range(6, 0, -1):
            assert gateway.ask(asking(f"{name}-{number}")).header(REPLAY), number
        assert len(shared_upstream.calls) == 7
        assert gateway.ask(asking(f"{name}-0")).header(REPLAY) is None


@BODIES
def test_an_answer_too_long_to_keep_is_whole_for_the_first_and_begun_anew_by_others(shared_upstream, name, body):
    """One answer may have a quarter of the memory."""
    shared_upstream.reset()
    padding, go_on = b"x" * 5_000, threading.Semaphore(0)
    streams = b'"stream":true' in body
    delta = sse.text_delta(padding.decode())
    long_message = MESSAGE.replace(b"Hello", padding * 4)

    def handle(call, peer):
        if streams:
            peer.stream(BEGUN)
            assert go_on.acquire(timeout=seconds(20))
            peer.events(*[delta] * 4, REST).end()
        else:
            whole = answer(body=long_message)
            peer.send(whole[:-1])
            assert go_on.acquire(timeout=seconds(20))
            peer.send(whole[-1:])

    shared_upstream.handler = handle
    whole = BEGUN + delta * 4 + REST if streams else long_message
    with Gateway(shared_upstream.url, IDEMPOTENCY_BYTES_MAX=65_536) as gateway:
        with gateway.client() as one, gateway.client() as other:
            one.send(asking(name, body))
            shared_upstream.wait_calls(1)
            if streams:
                twin = join(gateway, other, asking(name, body), 0)
                go_on.release()
                assert one.read_response().body == whole
                assert sse.parse(twin.read().body)[-1][0] == "error"
            else:
                other.send(asking(name, body))
                shared_upstream.wait_calls(2)  # while the first one still runs
                go_on.release()
                go_on.release()
                assert one.read_response().body == other.read_response().body == whole
            go_on.release()
            again = gateway.ask(asking(name, body))
            assert (again.status, again.body, again.header(REPLAY)) == (200, whole, None)
