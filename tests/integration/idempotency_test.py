"""Idempotency-Key: who repeats a call joins it while it runs, gets its answer again afterwards, and pays once."""

import re
import threading

import pytest

from support import sse
from support.client import Truncated, request
from support.gateway import KEY, OTHER_KEY, Gateway
from support.ledger import Ledger
from support.timing import seconds, wait_until
from support.upstream import MESSAGE, answer, in_turn

PLAIN = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[{"role":"user","content":"%s"}]}'
STREAM = PLAIN.replace(b'"max_tokens"', b'"stream":true,"max_tokens"')
BODIES = pytest.mark.parametrize("body", [PLAIN % b"a", STREAM % b"a"], ids=["sync", "stream"])
BEGUN, REST = sse.preamble() + sse.text_delta("a"), sse.text_delta("b") + sse.block_stop() + sse.ending()
REPLAY, OWN = "x-claude-proxy-replay-of", "x-claude-proxy-request-id"


def asking(name, body=PLAIN % b"a", key=KEY, **options):
    return request(body=body, headers=[("Idempotency-Key", name)], key=key, **options)


@pytest.fixture
def name(request, counter=iter(range(10_000))):
    """A key that no other test uses."""
    return f"{request.node.name[:100]}-{next(counter)}"


@pytest.fixture
def ledger(gateway):
    return Ledger(gateway)


class Gate:
    """A handler that sends the beginning, waits for `open`, and sends the rest."""

    def __init__(self, finish=None):
        self.opened, self.finish = threading.Event(), finish or self.answer_whole

    def __call__(self, call, peer):
        streams = b'"stream":true' in call.body
        if streams:
            peer.stream(BEGUN)
        assert self.opened.wait(seconds(20))
        self.finish(peer, streams)

    @staticmethod
    def answer_whole(peer, streams):
        if streams:
            peer.events(REST).end()
        else:
            peer.send(answer(headers=[("request-id", "req_upstream_1")], body=MESSAGE))

    def open(self):
        self.opened.set()


def whole_of(body):
    return BEGUN + REST if b'"stream":true' in body else MESSAGE


def bodies_held(gateway, size):
    """Waits until the gateway holds request bodies of so many bytes: that many of them were read and wait."""
    name = rb"claude_proxy_in_flight_body_bytes %d\n" % size
    wait_until(lambda: re.search(name, gateway.metrics().body), 10, f"{size} bytes of bodies under way")


def join(gateway, client, data, held):
    """Sends a twin of a request that runs. A stream shows its beginning; else the body that is held shows it."""
    client.send(data)
    if b'"stream":true' not in data:
        bodies_held(gateway, held)
        return None
    response = client.response()
    response.read_until(BEGUN)
    return response


@BODIES
def test_a_twin_joins_the_running_call_and_gets_the_same_bytes(gateway, upstream, name, body):
    upstream.handler = gate = Gate()
    data = asking(name, body)
    with gateway.client() as one, gateway.client() as other:
        one.send(data)
        upstream.wait_calls(1)
        early = join(gateway, other, data, 2 * len(body))
        gate.open()
        first = one.read_response()
        twin = early.read() if early else other.read_response()
    assert first.body == twin.body == whole_of(body)
    assert (first.status, twin.status, len(upstream.calls)) == (200, 200, 1)
    assert twin.header(REPLAY) == first.header(OWN) != twin.header(OWN) and first.header(REPLAY) is None
    for same in ("content-type", "request-id", "cache-control", "x-accel-buffering"):
        assert first.header(same) == twin.header(same), same
    assert "attempts" not in gateway.request_line(twin)


def test_twins_on_other_threads_get_each_event_as_it_comes(shared_upstream, name):
    shared_upstream.reset()
    steps = threading.Semaphore(0)
    deltas = [sse.text_delta(f"number {number}") for number in range(20)]

    def handle(call, peer):
        peer.stream(BEGUN)
        for delta in deltas:
            assert steps.acquire(timeout=seconds(20))
            peer.events(delta)
        peer.events(REST).end()

    shared_upstream.handler = handle
    with Gateway(shared_upstream.url, THREADS=2) as gateway:
        clients = [gateway.client() for _ in range(13)]
        responses = []
        for client in clients:  # the first one leads
            responses.append(client.send(asking(name, STREAM % b"a")).response())
            responses[-1].read_until(BEGUN)
        for delta in deltas:
            steps.release()
            for response in responses:
                response.read_until(delta)
        for response in responses:
            assert response.read().body == BEGUN + b"".join(deltas) + REST
            assert response.header(REPLAY) == (None if response is responses[0] else responses[0].header(OWN))
        for client in clients:  # the connections are fit for more
            assert client.ask(asking(name, STREAM % b"a")).header(REPLAY) == responses[0].header(OWN)
            client.close()
    assert len(shared_upstream.calls) == 1


def test_hundreds_of_twins_on_two_threads_cost_one_call(shared_upstream, name):
    shared_upstream.reset()
    shared_upstream.handler = gate = Gate()
    body = PLAIN % (b"x" * 1000)
    with Gateway(shared_upstream.url, THREADS=2) as gateway:
        clients = [gateway.client() for _ in range(200)]
        for client in clients:
            client.send(asking(name, body))
        bodies_held(gateway, len(clients) * len(body))
        gate.open()
        answers = [client.read_response() for client in clients]
        assert {given.body for given in answers} == {MESSAGE}
        assert [given.header(REPLAY) for given in answers].count(None) == 1
        assert len({given.header(REPLAY) for given in answers}) == 2
        for client in clients:
            client.close()
        wait_until(lambda: len(Ledger(gateway).rows()) == 1, 10, "the one row of all")
    assert len(shared_upstream.calls) == 1


@BODIES
def test_a_finished_answer_is_given_again_and_paid_once(gateway, upstream, ledger, name, body):
    before = len(ledger.all_rows())
    upstream.reset()
    with gateway.client() as client:
        first = client.ask(asking(name, body))
        again = [client.ask(asking(name, body)) for _ in range(5)]
    assert len(upstream.calls) == 1
    for each in again:
        assert (each.status, each.body, each.header(REPLAY)) == (200, first.body, first.header(OWN))
        assert each.header("content-length") == str(len(first.body)), "the length is known by now"
    rows = ledger.all_rows()[before:]
    assert [row["attempt_id"] for row in rows] == [first.header(OWN) + ".1"]


def test_an_answer_of_many_pieces_is_given_again_whole(gateway, upstream, name):
    big = MESSAGE.replace(b"Hello", b"".join(b"%07d " % number for number in range(100_000)))
    upstream.handler = lambda call, peer: peer.send(answer(body=big))
    with gateway.client() as client:
        assert client.ask(asking(name)).body == big
        assert client.ask(asking(name)).body == big
    assert len(upstream.calls) == 1


@BODIES
def test_a_retry_after_the_client_left_gets_the_whole_answer_of_one_call(gateway, upstream, ledger, name, body):
    upstream.handler = gate = Gate()
    with gateway.client() as client:
        client.send(asking(name, body))
        upstream.wait_calls(1)
        if b'"stream":true' in body:
            client.response().read_until(BEGUN)
        client.reset()
    assert gateway.ask(request("GET", "/health", key=None)).status == 200  # by now its one thread has noticed
    with gateway.client() as client:
        early = join(gateway, client, asking(name, body), 2 * len(body))
        gate.open()
        joined = early.read() if early else client.read_response()
        assert joined.body == whole_of(body)
        later = client.ask(asking(name, body))
        assert later.body == whole_of(body)
    assert len(upstream.calls) == 1 and not upstream.problems
    assert joined.header(REPLAY) == later.header(REPLAY)
    row = ledger.attempt(joined.header(REPLAY))
    assert (row["outcome"], row["details"]["reason"]) == ("complete", "client_left")
    assert row["output_tokens"] == (97 if b'"stream":true' in body else 5)
    assert row["cost_low_pico"] == row["cost_pico"] == row["cost_high_pico"] > 0


def test_another_body_under_the_same_key_is_a_conflict(gateway, upstream, ledger, name):
    upstream.handler = gate = Gate()
    with gateway.client() as client:
        client.send(asking(name))
        upstream.wait_calls(1)
        conflicts = [gateway.ask(asking(name, PLAIN % b"b"))]
        gate.open()
        assert client.read_response().status == 200
        conflicts.append(gateway.ask(asking(name, PLAIN % b"c")))
    for refused in conflicts:
        told = refused.json()["error"]
        assert (refused.status, told["type"]) == (409, "conflict_error")
        assert told["details"]["reason"] == "idempotency_conflict" and "new key" in told["message"]
        assert refused.header("x-should-retry") == "false"
    assert ledger.refusal(refused)["reason"] == "idempotency_conflict"
    assert len(upstream.calls) == 1


def test_the_same_key_of_another_caller_is_another_one(gateway, upstream, name):
    mine, theirs = gateway.ask(asking(name)), gateway.ask(asking(name, key=OTHER_KEY))
    assert mine.header(REPLAY) is None and theirs.header(REPLAY) is None
    assert gateway.ask(asking(name, PLAIN % b"b", key=OTHER_KEY)).status == 409
    assert len(upstream.calls) == 2


def test_the_key_counts_whatever_the_case_of_its_header(gateway, upstream, name):
    first = gateway.ask(request(body=PLAIN % b"a", headers=[("IDEMPOTENCY-KEY", name)]))
    assert gateway.ask(request(body=PLAIN % b"a", headers=[("idempotency-key", name)])).header(REPLAY)
    assert first.status == 200 and len(upstream.calls) == 1
    assert upstream.calls[0].header("idempotency-key") == name, "and it goes on to the upstream"


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


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"], ids=["event", "reset"])
def test_a_stream_that_breaks_in_the_middle_breaks_for_its_twins_too(gateway, upstream, name, version):
    upstream.handler = gate = Gate(finish=lambda peer, streams: peer.cut())
    body = STREAM % b"a"
    with gateway.client() as one, gateway.client() as other:
        first = one.send(asking(name, body)).response()
        first.read_until(BEGUN)
        twin = join(gateway, other, asking(name, body, version=version), 0)
        gate.open()
        first.read()
        if version == b"HTTP/1.0":  # without chunks only a reset tells that something is missing
            with pytest.raises((ConnectionError, Truncated)):
                twin.read()
        else:
            assert twin.read().body.startswith(BEGUN)
            kind, data = sse.parse(twin.body)[-1]
            assert kind == "error" and b"upstream_cut" in data
            assert twin.header(OWN).encode() in data, "the error names the twin's own request"
            assert other.ask(request("GET", "/health", key=None)).status == 200, "the connection is fit for more"
    assert twin.header(REPLAY) == first.header(OWN)
    upstream.handler = lambda call, peer: peer.stream(BEGUN + REST).end()
    again = gateway.ask(asking(name, body))
    assert (again.body, again.header(REPLAY), len(upstream.calls)) == (BEGUN + REST, None, 2)


@BODIES
def test_a_twin_of_http_1_0_gets_the_whole_answer(gateway, upstream, name, body):
    upstream.handler = gate = Gate()
    with gateway.client() as one, gateway.client() as other:
        one.send(asking(name, body))
        upstream.wait_calls(1)
        early = join(gateway, other, asking(name, body, version=b"HTTP/1.0"), 2 * len(body))
        gate.open()
        twin = early.read() if early else other.read_response()
        assert one.read_response().body == twin.body == whole_of(body)
        assert twin.header("transfer-encoding") is None and twin.header("connection") == "close"
        assert other.rest() == b""
    later = gateway.ask(asking(name, body, version=b"HTTP/1.0"))
    assert (later.body, later.header("content-length")) == (whole_of(body), str(len(whole_of(body))))


@BODIES
def test_a_twin_that_leaves_disturbs_nobody(gateway, upstream, ledger, name, body):
    upstream.handler = gate = Gate()
    left = len([event for event in gateway.events if event.get("reason") == "client_left"])
    with gateway.client() as one, gateway.client() as leaves, gateway.client() as stays:
        one.send(asking(name, body))
        upstream.wait_calls(1)
        join(gateway, leaves, asking(name, body), 2 * len(body))
        early = join(gateway, stays, asking(name, body), 3 * len(body))
        leaves.reset()
        gone = wait_until(
            lambda: [event for event in gateway.events if event.get("reason") == "client_left"][left:],
            10,
            "the line of the twin that left",
        )
        gate.open()
        assert one.read_response().body == whole_of(body)
        assert (early.read() if early else stays.read_response()).body == whole_of(body)
    assert len(upstream.calls) == 1
    ledger.all_rows()
    assert not ledger.query("SELECT * FROM refusals WHERE request_id = ?", gone[0]["request_id"])


@pytest.mark.parametrize("bad", ["", "k" * 256], ids=["empty", "long"])
def test_a_key_that_is_none_is_refused(gateway, upstream, bad):
    refused = gateway.ask(asking(bad))
    told = refused.json()["error"]
    assert (refused.status, told["type"]) == (400, "invalid_request_error")
    assert "Idempotency-Key" in told["message"] and refused.header("x-should-retry") == "false"
    assert upstream.calls == []


def test_the_longest_key_is_one(gateway, upstream, name):
    longest = (name * 255)[:255]
    assert gateway.ask(asking(longest)).status == 200
    assert gateway.ask(asking(longest)).header(REPLAY) and len(upstream.calls) == 1


def test_counting_tokens_is_free_and_not_remembered(gateway, upstream, name):
    for _ in range(2):
        counted = gateway.ask(asking(name, target="/v1/messages/count_tokens"))
        assert counted.status == 200 and counted.header(REPLAY) is None
    assert len(upstream.calls) == 2


def test_an_answer_is_kept_for_the_time_that_is_set(shared_upstream, name):
    shared_upstream.reset()
    done = threading.Event()

    def handle(call, peer):
        if len(shared_upstream.calls) == 1:
            done.wait(seconds(1.2))  # longer than the answer is kept: what counts is when it was finished
        peer.send(answer(body=MESSAGE))

    shared_upstream.handler = handle
    with Gateway(shared_upstream.url, IDEMPOTENCY_TTL="1s") as gateway:
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
