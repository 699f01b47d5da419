"""The events of a job that runs in another process: live, and cut anywhere and read on from any replica."""

import json
import random
import re
import threading

import pytest

from support import job_log, sse
from support.client import request
from support.gateway import Gateway, memory_slack
from support.player import Player
from support.timing import seconds

BODY = json.dumps({"request": {"model": "claude-opus-4-8", "max_tokens": 16, "messages": []}}).encode()
RESULT = b'{"id":"msg_1","type":"message","usage":{"output_tokens":97}}'


@pytest.fixture(scope="module")
def replicas(shared_upstream, tmp_path_factory):
    """Two gateways and a worker on one SQLite file. Nothing tells the gateways of changes: they have to look."""
    url = f"sqlite:{tmp_path_factory.mktemp('jobs')}/jobs.db"
    settings = {"DATABASE_URL": url, "JOBS_POLL_EVERY": "30ms", "PING_INTERVAL": "200ms"}
    with Gateway(shared_upstream.url, **settings) as one, Gateway(shared_upstream.url, THREADS=2, **settings) as two:
        with Player(url) as player:
            yield [one, two], player


def submit(gateway):
    answer = gateway.ask(request("POST", "/v1/jobs", BODY))
    assert answer.status == 202, answer.body
    return answer.json()["id"]


def ask_events(job, after=None):
    headers = [] if after is None else [("Last-Event-ID", str(after))]
    return request("GET", f"/v1/jobs/{job}/events", headers=headers)


def without_comments(body):
    return body.replace(b": ping\n\n", b"")


def last_id(body):
    found = re.findall(rb"^id: (\d+)$", body, re.M)
    return int(found[-1]) if found else None


def whole(gateway, job, after=None):
    answer = gateway.ask(ask_events(job, after))
    assert answer.status == 200
    return without_comments(answer.body)


def test_events_come_as_they_are_written_and_the_stream_ends_with_the_job(replicas):
    gateways, player = replicas
    job = submit(gateways[0])
    running = player.claim()
    assert running.id == job
    clients = [gateway.client() for gateway in gateways]
    answers = [client.send(ask_events(job)).response("GET") for client in clients]
    written = b""
    for event in (sse.message_start(), sse.block_start(), sse.text_delta("Hé"), sse.block_stop(), sse.ping()):
        written += running.append(event)
        for answer in answers:
            answer.read_until(event)
            assert without_comments(answer.body) == written
    assert gateways[0].ask(request("GET", f"/v1/jobs/{job}")).json()["status"] == "running"
    running.finish(text=RESULT)
    for answer, client in zip(answers, clients):
        answer.read()
        body = without_comments(answer.body)
        end = b'id: 6\nevent: job\ndata: {"type":"job","status":"succeeded"}\n\n'
        assert body == written + end
        client.close()
    result = gateways[1].ask(request("GET", f"/v1/jobs/{job}/result"))
    assert (result.status, result.body, result.header("content-type")) == (200, RESULT, "application/json")


def test_a_stream_cut_after_each_event_goes_on_at_the_other_replica_byte_for_byte(replicas):
    gateways, player = replicas
    job = submit(gateways[0])
    running = player.claim()
    written = running.append(sse.message_start(), sse.block_start())
    for number in range(20):
        written += running.append(*(sse.text_delta(f"{number}.{part}") for part in range(number % 4 + 1)))
    running.finish()
    log = whole(gateways[0], job)
    assert log.startswith(written) and log == whole(gateways[1], job)
    for after in range(last_id(log)):
        at = log.index(b"id: %d\n" % (after + 1))
        assert log[:at] + whole(gateways[after % 2], job, after) == log
    for gateway in gateways:
        assert gateway.ask(ask_events(job, last_id(log))).status == 204


def test_a_reader_that_is_cut_in_the_middle_of_a_live_stream_misses_nothing(replicas):
    """Readers that leave at random and come back to either replica with the last id they saw whole."""
    gateways, player = replicas
    job = submit(gateways[0])
    running = player.claim()
    seen, failures = {}, []

    def read(number):
        chance = random.Random(number)
        body = b""
        try:
            while b"event: job\n" not in body:
                with chance.choice(gateways).client() as client:
                    answer = client.send(ask_events(job, last_id(body))).response("GET")
                    got, budget = b"", chance.randrange(1, 2_000)
                    while len(got) < budget and (piece := answer.next_piece()):
                        got += piece
                got = without_comments(got)
                body += got[: got.rfind(b"\n\n") + 2] if b"\n\n" in got else b""
        except BaseException as problem:
            failures.append(repr(problem))
        seen[number] = body

    readers = [threading.Thread(target=read, args=(number,)) for number in range(12)]
    for reader in readers:
        reader.start()
    chance = random.Random(99)
    for number in range(60):
        running.append(*(sse.text_delta("x" * chance.randrange(200)) for _ in range(chance.randrange(1, 5))))
    running.finish()
    for reader in readers:
        reader.join(seconds(60))
    assert not failures, failures
    log = whole(gateways[0], job)
    assert len(seen) == 12 and all(body == log for body in seen.values())


def test_a_log_of_megabytes_is_replayed_to_a_slow_reader_with_flat_memory(replicas):
    gateways, player = replicas
    job = submit(gateways[0])
    running = player.claim()
    for number in range(40):
        running.append(*(sse.text_delta(f"{number}" + "y" * 20_000) for _ in range(20)))
    running.finish()
    log = whole(gateways[0], job)
    assert len(log) > 15 << 20
    before = gateways[1].rss()
    with gateways[1].client(receive_buffer=4096, timeout=30) as client:
        answer = client.send(ask_events(job)).response("GET")
        body, peak = b"", 0
        pieces = []
        for piece in answer.discard():
            pieces.append(piece)
            if len(pieces) % 500 == 0:
                peak = max(peak, gateways[1].rss())
        body = b"".join(pieces)
    assert without_comments(body) == log
    assert peak - before < memory_slack(8), f"{(peak - before) >> 10} KiB more for one reader"


def test_a_second_attempt_goes_on_in_the_same_log(replicas):
    gateways, player = replicas
    job = submit(gateways[0])
    first = player.claim()
    with gateways[1].client() as client:
        answer = client.send(ask_events(job)).response("GET")
        written = first.append(sse.message_start())
        answer.read_until(written)
        first.finish("retry")
        told = gateways[0].ask(request("GET", f"/v1/jobs/{job}")).json()
        assert (told["status"], told["attempt"]) == ("queued", 1)
        second = player.claim()
        assert (second.id, second.attempt, second.events) == (job, 2, 1)
        second.append(b'event: restart\ndata: {"type":"restart","attempt":2,"reason":"cut"}\n\n', sse.short_stream())
        second.finish(text=RESULT)
        answer.read()
    body = without_comments(answer.body)
    assert body == whole(gateways[0], job) and body.endswith(b'data: {"type":"job","status":"succeeded"}\n\n')


@pytest.mark.parametrize(
    "envelope, status",
    [
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}}, 400),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, 529),
        (
            {
                "type": "error",
                "error": {"type": "api_error", "message": "m", "details": {"reason": "upstream_idle_timeout"}},
            },
            504,
        ),
        ({"type": "error", "error": {"type": "new_error", "message": "m"}}, 500),
    ],
)
def test_the_result_of_a_failed_job_is_its_error(replicas, envelope, status):
    gateways, player = replicas
    job = submit(gateways[0])
    running = player.claim()
    text = json.dumps(envelope).encode()
    running.finish("failed", text)
    answer = gateways[1].ask(request("GET", f"/v1/jobs/{job}/result"))
    assert (answer.status, answer.body, answer.header("x-should-retry")) == (status, text, "false")
    told = gateways[0].ask(request("GET", f"/v1/jobs/{job}?wait=5")).json()
    assert told["status"] == "failed" and told["error"] == envelope["error"]
    (_, _, last) = job_log.check(whole(gateways[1], job), "failed")[-1]
    assert last == {"type": "job", "status": "failed", "error": told["error"]}, "what the job shows, its events tell"


@pytest.mark.parametrize("path", ["?wait=30", "/result?wait=30"])
def test_a_long_poll_hears_of_an_end_elsewhere(replicas, path):
    gateways, player = replicas
    job = submit(gateways[0])
    running = player.claim()
    with gateways[0].client(timeout=30) as one, gateways[1].client(timeout=30) as two:
        for client in (one, two):
            client.send(request("GET", f"/v1/jobs/{job}{path}"))
        running.append(sse.message_start())
        running.finish(text=RESULT)
        for client in (one, two):
            answer = client.read_response("GET")
            assert answer.status == 200
            assert answer.body == RESULT if "result" in path else answer.json()["status"] == "succeeded"


def test_a_running_job_is_asked_to_stop_and_says_so(replicas):
    gateways, player = replicas
    job = submit(gateways[0])
    running = player.claim()
    told = gateways[1].ask(request("POST", f"/v1/jobs/{job}/cancel")).json()
    assert told["status"] == "running" and told["cancel_requested"] is True
    running.finish("cancelled", b"")
    assert gateways[0].ask(request("GET", f"/v1/jobs/{job}?wait=5")).json()["status"] == "cancelled"
