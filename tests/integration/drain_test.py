"""SIGTERM: not ready at once, still serving for a while, streams may finish, the rest end well, exit code 0."""

import json
import signal
import socket
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from support import sse
from support.admin import ADMIN_KEY, sqlite_path
from support.client import Client, request
from support.gateway import Gateway
from support.ledger import Ledger
from support.timing import SCALE, seconds, setting, wait_until
from support.upstream import MESSAGE, Upstream, answer_kind

ASK = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"stream":true,"messages":[]}')
ASK_JSON = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]}')
READY = request("GET", "/ready", key=None)
BEGUN, REST = sse.preamble() + sse.text_delta("a"), sse.block_stop() + sse.ending()


class Held:
    """An upstream handler whose streams go on when `go_on` is set; everything else is answered at once."""

    def __init__(self):
        self.go_on = threading.Event()

    def __call__(self, call, peer):
        if b'"stream":true' not in call.body:
            return answer_kind(call, peer)
        peer.stream(BEGUN)
        if self.go_on.wait(seconds(60)):
            peer.events(REST).end()


@pytest.fixture
def held():
    handler = Held()
    yield handler
    handler.go_on.set()


def open_stream(gateway):
    client = gateway.client()
    response = client.send(ASK).response()
    response.read_until(BEGUN)
    return client, response


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), seconds(5)).close()
        return False
    except ConnectionError:
        return True


def test_readiness_fails_at_once_while_new_connections_are_served_for_the_delay(held):
    with (
        Upstream(held) as upstream,
        Gateway(upstream.url, DRAIN_DELAY=setting(1500), DRAIN_TIMEOUT=setting(20_000)) as gateway,
    ):
        client, response = open_stream(gateway)
        begin = time.monotonic()
        gateway.signal(signal.SIGTERM)
        gateway.wait_event(lambda event: event.get("event") == "draining", what="draining line")
        for listener in (gateway.port, gateway.admin_port):
            with Client(listener) as probe:
                assert probe.ask(READY).status == 503
        assert gateway.ask(request("GET", "/health", key=None)).status == 200, "alive, only not ready"
        while time.monotonic() - begin < seconds(1.0):
            with gateway.client() as newcomer:
                served = newcomer.ask(ASK_JSON)
                assert (served.status, served.body) == (200, MESSAGE)
                assert served.header("connection") == "close"
                assert newcomer.rest() == b""
            time.sleep(0.02)
        wait_until(lambda: refused(gateway.port), 10, "new connections are refused after the delay")
        assert time.monotonic() - begin >= seconds(1.4)
        held.go_on.set()
        assert response.read().body == BEGUN + REST, "a running stream finishes"
        client.close()
        assert gateway.wait_exit() == 0
        assert time.monotonic() - begin < seconds(10), "and then the process ends without waiting for its limit"


def test_idle_keep_alive_connections_are_told_and_closed(held):
    with (
        Upstream(held) as upstream,
        Gateway(upstream.url, DRAIN_DELAY=setting(800), DRAIN_TIMEOUT=setting(20_000)) as gateway,
    ):
        silent, talking = gateway.client(), gateway.client()
        for client in (silent, talking):
            assert client.ask(ASK_JSON).header("connection") != "close"
        gateway.signal(signal.SIGTERM)
        gateway.wait_event(lambda event: event.get("event") == "draining", what="draining line")
        response = talking.ask(ASK_JSON)
        assert (response.status, response.header("connection")) == (200, "close")
        assert talking.rest() == b"" and silent.rest() == b""
        assert gateway.wait_exit() == 0


def test_streams_beyond_the_limit_end_with_an_error_event(held):
    with Upstream(held) as upstream, Gateway(upstream.url, DRAIN_TIMEOUT=setting(700)) as gateway:
        streams = [open_stream(gateway) for _ in range(5)]
        waiting = gateway.client()
        upstream.handler = lambda call, peer: peer.wait_gone(60)
        waiting.send(ASK_JSON)
        upstream.wait_calls(6)
        begin = time.monotonic()
        gateway.signal(signal.SIGTERM)
        for client, response in streams:
            body = response.read().body
            assert body.startswith(BEGUN)
            name, data = sse.parse(body)[-1]
            assert name == "error"
            error = json.loads(data)["error"]
            assert (error["type"], error["details"]["reason"]) == ("overloaded_error", "shutting_down")
            client.close()
        assert time.monotonic() - begin >= seconds(0.6), "they had their time"
        answer = waiting.read_response()
        assert (answer.status, answer.json()["error"]["details"]["reason"]) == (529, "shutting_down")
        assert gateway.wait_exit() == 0


@pytest.mark.parametrize("stage", ["delay", "timeout"])
def test_a_second_signal_cuts(held, stage):
    times = {"DRAIN_DELAY": setting(60_000 if stage == "delay" else 1), "DRAIN_TIMEOUT": setting(60_000)}
    with Upstream(held) as upstream, Gateway(upstream.url, **times) as gateway:
        client, response = open_stream(gateway)
        gateway.signal(signal.SIGTERM)
        gateway.wait_event(lambda event: event.get("event") == "draining", what="draining line")
        if stage == "timeout":
            wait_until(lambda: refused(gateway.port), 10, "the second stage has begun")
        begin = time.monotonic()
        gateway.signal(signal.SIGTERM)
        name, data = sse.parse(response.read().body)[-1]
        assert (name, json.loads(data)["error"]["details"]["reason"]) == ("error", "shutting_down")
        client.close()
        assert gateway.wait_exit() == 0
        assert time.monotonic() - begin < seconds(4)


def test_an_idle_gateway_stops_at_once_and_sigint_is_the_same(shared_upstream):
    for number in (signal.SIGTERM, signal.SIGINT):
        with Gateway(shared_upstream.url, DRAIN_TIMEOUT=setting(60_000)) as gateway:
            begin = time.monotonic()
            gateway.signal(number)
            assert gateway.wait_exit() == 0
            assert time.monotonic() - begin < seconds(3)


def test_a_drain_under_load_fails_nobody(held):
    """Short requests and streams keep coming, as from a balancer that stops sending once it sees /ready fail."""
    count = 50
    with (
        Upstream(held) as upstream,
        Gateway(upstream.url, THREADS=2, DRAIN_DELAY=setting(1500), DRAIN_TIMEOUT=setting(30_000)) as gateway,
    ):
        streams = [open_stream(gateway) for _ in range(count)]
        enough, failures, served = threading.Event(), [], [0] * 8

        def short_requests(worker):
            client = gateway.client()
            while not enough.is_set():
                try:
                    response = client.ask(ASK_JSON)
                    assert (response.status, response.body) == (200, MESSAGE), response.raw_head
                    served[worker] += 1
                    if response.header("connection") == "close":
                        client.close()
                        if enough.is_set():
                            return
                        client = gateway.client()
                except Exception as failure:
                    failures.append((enough.is_set(), repr(failure)))
                    return
            client.close()

        workers = [threading.Thread(target=short_requests, args=(number,)) for number in range(8)]
        for worker in workers:
            worker.start()
        wait_until(lambda: min(served) > 20 / SCALE, 20, "load is running")
        gateway.signal(signal.SIGTERM)
        gateway.wait_event(lambda event: event.get("event") == "draining", what="draining line")
        before = list(served)
        time.sleep(seconds(1.0))  # inside the delay: the balancer has not looked yet
        enough.set()
        for worker in workers:
            worker.join()
        assert failures == []
        assert all(now > then for now, then in zip(served, before)), "requests were served during the delay"
        wait_until(lambda: refused(gateway.port), 10, "accepting ends after the delay")
        held.go_on.set()
        bodies = [response.read().body for _, response in streams]
        assert bodies == [BEGUN + REST] * count
        for client, _ in streams:
            client.close()
        assert gateway.wait_exit() == 0
        lines = [event for event in gateway.events if event.get("route") == "messages"]
        assert sum(line["stream"] is True for line in lines) == count and all(line["status"] == 200 for line in lines)


def test_an_administrators_change_that_is_under_way_at_the_end_is_finished(shared_upstream):
    """Nothing that it needs may be gone, and what was answered is in the ledger."""
    shared_upstream.reset()
    gateway = Gateway(shared_upstream.url)
    try:
        path = sqlite_path(gateway)
        other = sqlite3.connect(path, timeout=seconds(10), isolation_level=None)
        with closing(other) as holder, gateway.admin() as admin:
            holder.execute("BEGIN IMMEDIATE")
            answered = gateway.ask(ASK_JSON)
            assert answered.status == 200
            admin.send(request("POST", "/admin/v1/teams", b'{"name":"late"}', key=ADMIN_KEY))
            gateway.metrics()  # by the same reactor, so that the change waits for the database now
            gateway.signal(signal.SIGTERM)
            wait_until(lambda: refused(gateway.port), 10, "the end of the public listener")
            time.sleep(0.5)  # a chance for what should not be taken apart yet
            holder.execute("ROLLBACK")
        assert gateway.wait_exit() == 0, gateway.tail()
        gateway.check_reports()
        rows = Ledger(gateway).rows()
        assert [row["attempt_id"] for row in rows] == [answered.header("x-claude-proxy-request-id") + ".1"]
        assert [team["name"] for team in Ledger(gateway).query("SELECT name FROM teams")] == ["late"]
    finally:
        gateway.cleanup()
