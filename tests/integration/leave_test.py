"""Clients that leave: with CLAUDE_PROXY_LEAVE_DRAIN their answers are counted to the end, without it they are cancelled
at once and their cost lies between two bounds."""

import signal
import threading
import time

import pytest

from support import sse
from support.admin import Admin, cli
from support.client import request
from support.gateway import Gateway
from support.ledger import Ledger
from support.timing import seconds, setting, wait_until
from support.upstream import MESSAGE, answer

PLAIN = b'{"model":"claude-opus-4-8","max_tokens":1000,"messages":[{"role":"user","content":"a"}]}'
ASK_JSON = request(body=PLAIN)
ASK = request(body=PLAIN.replace(b'"max_tokens"', b'"stream":true,"max_tokens"'))
BEGUN, REST = sse.preamble() + sse.text_delta("a"), sse.text_delta("b") * 50 + sse.block_stop() + sse.ending()

# Pico-dollars a token of claude-opus-4-8.
INPUT, CACHE_READ, OUTPUT = 5_000_000, 500_000, 25_000_000
STREAM_COST = 412 * INPUT + 3072 * CACHE_READ + 97 * OUTPUT
MESSAGE_COST = 12 * INPUT + 5 * OUTPUT


def metric(gateway, name):
    for line in gateway.metrics().body.decode().splitlines():
        if line.startswith(f"claude_proxy_{name} "):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


@pytest.fixture(scope="module")
def patient(shared_upstream):
    """Reads on for longer than any of these answers takes."""
    with Gateway(shared_upstream.url, LEAVE_DRAIN=setting(5_000), DRAIN_TIMEOUT="10s") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def strict(shared_upstream):
    with Gateway(shared_upstream.url, LEAVE_DRAIN="0s") as gateway:
        yield gateway


def leaves(gateway, upstream, data, after=b"", goodbye="close"):
    """One request whose client goes away once it has seen `after`; its log line."""
    known = [event["request_id"] for event in gateway.events if event.get("reason") == "client_left"]
    calls = len(upstream.calls)
    client = gateway.client()
    client.send(data)
    upstream.wait_calls(calls + 1)
    if after:
        client.response().read_until(after)
    getattr(client, goodbye)()
    assert gateway.ask(request("GET", "/health", key=None)).status == 200  # by now its one thread has noticed
    return lambda: gateway.wait_event(
        lambda event: event.get("reason") == "client_left" and event["request_id"] not in known,
        what="line of the client that left",
    )


def check_exact(row, cost):
    assert row["outcome"] == "complete" and row["details"]["reason"] == "client_left", row
    assert row["cost_low_pico"] == row["cost_pico"] == row["cost_high_pico"] == cost, row


def check_estimated(row):
    assert row["outcome"] == "estimated" and row["details"]["reason"] == "client_left", row
    assert row["cost_low_pico"] <= row["cost_pico"] <= row["cost_high_pico"], row
    assert row["cost_high_pico"] > 0, row


def gated(*steps):
    """A handler that waits between its steps: (handler, the event that lets it go on)."""
    go_on = threading.Event()

    def handle(call, peer):
        for number, step in enumerate(steps):
            if number:
                assert go_on.wait(seconds(20))
            step(peer)

    return handle, go_on


@pytest.mark.parametrize("goodbye", ["close", "reset"])
def test_a_stream_is_counted_after_its_client_left_in_the_middle(patient, upstream, goodbye):
    upstream.handler, go_on = gated(lambda peer: peer.stream(BEGUN), lambda peer: peer.events(REST).end())
    line = leaves(patient, upstream, ASK, BEGUN, goodbye)
    go_on.set()
    told = line()
    row = Ledger(patient).attempt(told["request_id"])
    check_exact(row, STREAM_COST)
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) == (412, 3072, 97)
    assert (row["status"], row["details"]["stop_reason"]) == (200, "end_turn")
    assert told["status"] == 200 and len(upstream.calls) == 1


@pytest.mark.parametrize(
    "data, given, cost",
    [
        (ASK, lambda peer: peer.stream(BEGUN + REST).end(), STREAM_COST),
        (ASK_JSON, lambda peer: peer.send(answer(body=MESSAGE)), MESSAGE_COST),
    ],
    ids=["stream", "sync"],
)
def test_an_answer_is_counted_whose_client_left_before_its_head(patient, upstream, data, given, cost):
    upstream.handler, go_on = gated(lambda peer: None, given)
    line = leaves(patient, upstream, data)
    go_on.set()
    told = line()
    check_exact(Ledger(patient).attempt(told["request_id"]), cost)
    assert told["status"] == 499 and len(upstream.calls) == 1


def test_a_stream_is_counted_whose_client_left_while_its_beginning_was_held(patient, upstream):
    upstream.handler, go_on = gated(
        lambda peer: peer.stream(sse.preamble()), lambda peer: peer.events(sse.text_delta("a"), REST).end()
    )
    line = leaves(patient, upstream, ASK)
    go_on.set()
    check_exact(Ledger(patient).attempt(line()["request_id"]), STREAM_COST)


def test_a_sync_answer_is_counted_whose_client_left_inside_it(patient, upstream):
    whole = answer(body=MESSAGE)
    upstream.handler, go_on = gated(lambda peer: peer.send(whole[:-60]), lambda peer: peer.send(whole[-60:]))
    line = leaves(patient, upstream, ASK_JSON)
    go_on.set()
    check_exact(Ledger(patient).attempt(line()["request_id"]), MESSAGE_COST)


def test_a_long_sync_answer_is_counted_whose_client_left_inside_it(patient, upstream):
    """Longer than what is held: the client has its head and a part."""
    whole = answer(body=MESSAGE.replace(b"Hello", b"x" * 2_000_000))
    upstream.handler, go_on = gated(lambda peer: peer.send(whole[:10**6]), lambda peer: peer.send(whole[10**6:]))
    line = leaves(patient, upstream, ASK_JSON, b"x" * 1000)
    go_on.set()
    check_exact(Ledger(patient).attempt(line()["request_id"]), MESSAGE_COST)


def test_what_the_drain_cannot_see_is_estimated(patient, upstream):
    """The upstream breaks off after the client has left."""
    upstream.handler, go_on = gated(lambda peer: peer.stream(BEGUN), lambda peer: peer.cut())
    line = leaves(patient, upstream, ASK, BEGUN)
    go_on.set()
    row = Ledger(patient).attempt(line()["request_id"])
    check_estimated(row)
    assert row["cost_low_pico"] < STREAM_COST < row["cost_high_pico"]


@pytest.mark.parametrize(
    "data, given",
    [
        (ASK, lambda peer: peer.send(answer(529, body=b'{"type":"error","error":{"type":"overloaded_error"}}'))),
        (ASK_JSON, lambda peer: peer.send(answer(500, body=b'{"type":"error","error":{"type":"api_error"}}'))),
    ],
    ids=["stream", "sync"],
)
def test_a_failure_that_nobody_saw_costs_nothing_and_is_not_repeated(patient, upstream, data, given):
    upstream.handler, go_on = gated(lambda peer: None, given)
    line = leaves(patient, upstream, data)
    go_on.set()
    row = Ledger(patient).attempt(line()["request_id"])
    assert (row["outcome"], row["cost_pico"], row["cost_high_pico"]) == ("failed", 0, 0), row
    assert len(upstream.calls) == 1


def test_a_stream_that_began_with_an_error_nobody_saw_costs_nothing(patient, upstream):
    upstream.handler, go_on = gated(
        lambda peer: peer.stream(sse.message_start()), lambda peer: peer.events(sse.error()).end()
    )
    line = leaves(patient, upstream, ASK)
    go_on.set()
    row = Ledger(patient).attempt(line()["request_id"])
    assert (row["outcome"], row["cost_pico"], row["cost_high_pico"]) == ("failed", 0, 0), row
    assert len(upstream.calls) == 1


def test_the_drain_ends_after_its_time(shared_upstream):
    shared_upstream.reset()
    gone = threading.Event()

    def handle(call, peer):
        peer.stream(BEGUN)
        peer.wait_gone()
        gone.set()

    shared_upstream.handler = handle
    with Gateway(shared_upstream.url, LEAVE_DRAIN=setting(300)) as gateway:
        line = leaves(gateway, shared_upstream, ASK, BEGUN)
        assert gone.wait(seconds(20)), "the upstream's connection is still open"
        row = Ledger(gateway).attempt(line()["request_id"])
        check_estimated(row)
        assert row["finished_at"] - row["started_at"] >= 300


def test_a_drain_does_not_hold_up_the_end_of_the_process(shared_upstream, tmp_path):
    shared_upstream.reset()
    shared_upstream.handler = lambda call, peer: (peer.stream(BEGUN), peer.wait_gone())
    url = f"sqlite:{tmp_path}/kept.db"
    with Gateway(shared_upstream.url, LEAVE_DRAIN="1h", DRAIN_TIMEOUT=setting(200), DATABASE_URL=url) as gateway:
        line = leaves(gateway, shared_upstream, ASK, BEGUN)
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        own_id = line()["request_id"]
    assert time.monotonic() - began < seconds(5)
    (attempt,) = cli(tmp_path, "requests", "show", own_id, "--json", DATABASE_URL=url).json["attempts"]
    check_estimated(attempt)
    assert attempt["cost_low_pico"] < STREAM_COST < attempt["cost_high_pico"]


def test_what_was_held_of_a_budget_goes_back_when_the_answer_is_counted(patient, upstream):
    made = Admin(patient).new_key(budgets=["1/day"])
    data = ASK.replace(b"sk-cp-one", made["key"].encode())
    upstream.handler, go_on = gated(lambda peer: peer.stream(BEGUN), lambda peer: peer.events(REST).end())
    line = leaves(patient, upstream, data, BEGUN)
    assert metric(patient, "budget_holds") == 1, "the money is held while the answer is read"
    go_on.set()
    line()
    wait_until(lambda: metric(patient, "budget_holds") == 0, 10, "the hold is given back")
    spent = "SELECT spent_pico FROM spend_daily WHERE scope = 'key' AND scope_id = ?"
    wait_until(lambda: Ledger(patient).query(spent, made["id"]), 10, "what was spent of the budget")
    assert [row["spent_pico"] for row in Ledger(patient).query(spent, made["id"])] == [STREAM_COST]


@pytest.mark.parametrize("goodbye", ["close", "reset"])
@pytest.mark.parametrize(
    "data, begun, status",
    [
        (ASK, lambda peer: peer.stream(BEGUN), 200),
        (ASK, lambda peer: peer.stream(sse.preamble()), 499),
        (ASK, lambda peer: None, 499),
        (ASK_JSON, lambda peer: None, 499),
        (ASK_JSON, lambda peer: peer.send(answer(body=MESSAGE)[:-60]), 499),
    ],
    ids=["mid_stream", "held_stream", "stream_before_head", "sync_before_head", "sync_inside"],
)
def test_without_a_drain_the_call_is_cancelled_at_once_and_estimated(strict, upstream, data, begun, status, goodbye):
    took, gone = [], threading.Event()

    def handle(call, peer):
        try:
            begun(peer)
        except OSError:
            pass  # gone already
        took.append(peer.wait_gone())
        gone.set()

    upstream.handler = handle
    line = leaves(strict, upstream, data, BEGUN if status == 200 else b"", goodbye)
    assert gone.wait(seconds(20)), "the upstream's connection is still open"
    assert took[0] < seconds(1)
    told = line()
    assert told["status"] == status
    row = Ledger(strict).attempt(told["request_id"])
    check_estimated(row)
    truth = STREAM_COST if data is ASK else MESSAGE_COST
    assert row["cost_low_pico"] <= truth <= row["cost_high_pico"], row
    if status == 200:  # what the beginning told is certain: the prompt, and the output so far
        assert row["cost_low_pico"] == 412 * INPUT + 3072 * CACHE_READ + 2 * OUTPUT
        assert row["cost_high_pico"] == 412 * INPUT + 3072 * CACHE_READ + 1000 * OUTPUT
    assert len(upstream.calls) == 1


def test_a_client_that_leaves_with_its_request_half_sent_costs_nothing(strict, upstream):
    ledger = Ledger(strict)
    before = len(ledger.all_rows())
    calls = len(upstream.calls)
    with strict.client() as client:
        client.send(ASK_JSON[:-20])
        client.reset()
    strict.wait_event(
        lambda event: event.get("reason") in ("client_left", "body_cut") and "attempts" not in event,
        what="line of the half request",
    )
    assert len(ledger.all_rows()) == before
    assert len(upstream.calls) == calls + 1
