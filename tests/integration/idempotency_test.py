"""Idempotency-Key: who repeats a call joins it while it runs, gets its answer again afterwards, and pays once."""

import threading

import pytest

from support import sse
from support.client import request
from support.gateway import OTHER_KEY, Gateway
from support.ledger import Ledger
from support.timing import seconds, wait_until
from support.twins import BEGUN, OWN, PLAIN, REPLAY, REST, STREAM, Gate, asking, bodies_held, join, whole_of
from support.upstream import MESSAGE, answer, in_turn

BODIES = pytest.mark.parametrize("body", [PLAIN % b"a", STREAM % b"a"], ids=["sync", "stream"])


@pytest.fixture
def name(request, counter=iter(range(10_000))):
    """A key that no other test uses."""
    return f"{request.node.name[:100]}-{next(counter)}"


@pytest.fixture
def ledger(gateway):
    return Ledger(gateway)


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
