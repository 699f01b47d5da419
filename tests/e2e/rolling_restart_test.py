"""Replicas behind a real HAProxy are restarted one after the other under load: no stream is cut, no request fails.

ROLLING_FULL=1: 500 streams of 20 to 40 s, 200 requests a second, each replica twice in each way. Without it less of
everything, so that it fits into every run.
"""

import asyncio
import concurrent.futures
import json
import os
import random
import signal
import time

from support import load, truth
from support.balancer import Haproxy, ports_of_services
from support.client import request
from support.cluster import Cluster, Database
from support.timing import seconds, setting, wait_until

FULL = os.environ.get("ROLLING_FULL") == "1"
STREAMS = 500 if FULL else 100
REQUESTS_PER_SECOND = 200 if FULL else 100
STREAM_SECONDS = (20, 40) if FULL else (3, 6)
EVENT_MS = 500 if FULL else 250
ROUNDS = 2 if FULL else 1
DRAIN_DELAY_MS = 3000  # more than the balancer needs to notice: two checks and a late one
EVENT_TOKENS, EVENT_CHARACTERS = 4, 16
MODEL = "claude-haiku-4-5"


def ask_bytes(key, tag, stream, *controls):
    body = {"model": MODEL, "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}]}
    if stream:
        body["stream"] = True
    headers = [("anthropic-version", "2023-06-01"), ("user-agent", tag), *controls]
    return request(body=json.dumps(body).encode(), headers=headers, key=key)


class Streams:
    """So many streams at all times: who has one to its end asks for the next. Every byte of them is compared."""

    def __init__(self, port, key, count):
        self.port, self.key, self.count = port, key, count
        self.ended, self.open, self.ending = [], 0, False
        self.random = random.Random(7)

    async def one(self, name):
        caller, number = load.Caller(self.port), 0
        first, last = STREAM_SECONDS
        await asyncio.sleep(self.random.uniform(0, first))  # or they would all end together
        while not self.ending:
            number += 1
            tag = f"stream-{name}.{number}"
            events = round(self.random.uniform(first, last) * 1000 / EVENT_MS)
            text = (f"{tag} " * events)[: events * EVENT_CHARACTERS].strip()
            controls = [
                ("x-sim-text", text),
                ("x-sim-event-tokens", str(EVENT_TOKENS)),
                ("x-sim-fault", f"event-interval={EVENT_MS}"),
            ]
            self.open += 1
            reply = await caller.ask(ask_bytes(self.key, tag, True, *controls), tag, timeout=seconds(2 * last + 20))
            self.open -= 1
            self.ended.append((reply, text))
        caller.close()

    async def go(self):
        await asyncio.gather(*(self.one(name) for name in range(self.count)))


class Requests:
    """So many a second, whatever becomes of those before: an answer that waits holds no other one up."""

    def __init__(self, port, key, rate):
        self.port, self.key, self.rate = port, key, rate
        self.idle, self.callers, self.tasks, self.replies = [], [], set(), []
        self.ending, self.per_second = False, 0.0

    async def one(self, number):
        if not self.idle:
            self.callers.append(load.Caller(self.port))
            self.idle.append(self.callers[-1])
        caller = self.idle.pop()
        tag = f"request-{number}"
        self.replies.append(await caller.ask(ask_bytes(self.key, tag, False), tag, timeout=seconds(30)))
        self.idle.append(caller)

    async def go(self):
        began, number = time.monotonic(), 0
        while not self.ending:
            number += 1
            task = asyncio.ensure_future(self.one(number))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
        self.per_second = number / (time.monotonic() - began)
        await asyncio.gather(*self.tasks)
        for caller in self.callers:
            caller.close()


class Restarts:
    """One replica after the other."""

    def __init__(self, cluster, balancer, streams):
        self.cluster, self.balancer, self.streams = cluster, balancer, streams

    def end(self, number):
        """SIGTERM, and an orderly end that cut nothing off. Seconds until the process was gone."""
        gateway, began = self.cluster.gateways[number], time.monotonic()
        gateway.signal(signal.SIGTERM)
        assert gateway.wait_exit(2 * STREAM_SECONDS[1] + 30) == 0, gateway.tail()
        gateway.check_reports()
        names = [event.get("event") for event in gateway.events]
        assert "stopped" in names and "cutting" not in names, gateway.tail()
        gateway.cleanup()
        return time.monotonic() - began

    def begin(self, number):
        began = time.monotonic()
        self.cluster.start(number)
        self.balancer.wait_for_status(number, "UP")
        return time.monotonic() - began

    def drained_first(self, number):
        """As ECS does it: out of the target group, and SIGTERM only when its streams are over."""
        began = time.monotonic()
        self.balancer.set_state(number, "drain")
        held = self.balancer.wait_until_idle(number, 2 * STREAM_SECONDS[1] + 30)
        drained = time.monotonic() - began
        gone = self.end(number)
        self.balancer.set_state(number, "ready")
        return held, f"{drained:.1f} s until it had nothing to do, {gone:.1f} s to its end"

    def by_a_signal(self, number):
        """SIGTERM alone: /ready says no, the balancer notices, what runs is finished."""
        held = self.balancer.busy(number)
        return held, f"{self.end(number):.1f} s from SIGTERM to its end"

    def all(self):
        ways = [self.drained_first, self.by_a_signal]
        plan = [(way, number) for way in ways for _ in range(ROUNDS) for number in range(2)] if FULL else [
            (ways[0], 0), (ways[1], 1)
        ]  # fmt: skip
        for way, number in plan:
            held, told = way(number)
            again = self.begin(number)
            print(
                f"replica {number}, {way.__name__}: {held} under way there, {told}, {again:.1f} s until it was up"
                f" again; {self.streams.open} streams open",
                flush=True,
            )
            assert held > 0


def text_of(reply):
    """The answer's text, put together from the stream's events."""
    events = [json.loads(line[6:]) for line in reply.body.split(b"\n") if line.startswith(b"data: ")]
    return "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")


def judge(streams, requests):
    """What clients saw; returns a list of sentences, empty when all was well."""
    bad = []
    for reply, text in streams.ended:
        if reply.status != 200 or not reply.finished_stream:
            bad.append(f"{reply.tag} was cut: status {reply.status}, {len(reply.body)} bytes, {reply.body[-200:]}")
        elif text_of(reply) != text:
            bad.append(f"{reply.tag} has another text")
    for reply in requests.replies:
        if reply.status != 200 or not reply.whole:
            bad.append(f"{reply.tag} failed: status {reply.status}, whole {reply.whole}, {reply.body[:200]}")
    return bad


def test_restarts_cut_no_stream_and_fail_no_request(simulator, postgres, redis):
    """Goal: each replica is restarted under open streams and steady requests, in the two ways there are, and no client
    notices.

    Method: two replicas at fixed addresses behind HAProxy, whose checks ask /ready. A stream counts when its text is
    the one that was asked for and its body has as many bytes as the simulator sent; a request when it is answered with
    200 at its first try: no client here tries again. At the end the ledger is compared with the simulator's.
    """
    ports = ports_of_services(2)
    settings = {
        "REDIS_URL": redis.url,
        "THREADS": 2,
        "DRAIN_DELAY": setting(DRAIN_DELAY_MS),
        "DRAIN_TIMEOUT": setting(2000 * STREAM_SECONDS[1]),
    }
    each = [{"LISTEN": f"127.0.0.1:{port}"} for port in ports]
    with Cluster(simulator.url, Database.postgres(postgres), 2, each=each, **settings) as cluster:
        with Haproxy(ports) as balancer:
            key = cluster.admin().new_key(name="rolling")["key"]
            for number in range(2):
                balancer.wait_for_status(number, "UP")
            streams = Streams(balancer.port, key, STREAMS)
            requests = Requests(balancer.port, key, REQUESTS_PER_SECOND)

            async def scenario():
                await asyncio.gather(streams.go(), requests.go())

            # The clients have a thread of their own: processes have to be started from the one that stays.
            with concurrent.futures.ThreadPoolExecutor(1) as beside:
                going = beside.submit(load.run, scenario(), seconds(900 if FULL else 240))
                try:
                    wait_until(lambda: streams.open == STREAMS or going.done(), 60, "all streams open")
                    print(f"\n{streams.open} streams open, {REQUESTS_PER_SECOND} requests a second", flush=True)
                    Restarts(cluster, balancer, streams).all()
                finally:
                    streams.ending = requests.ending = True
                going.result()
        bad = judge(streams, requests)
        print(
            f"{len(streams.ended)} streams, {len(requests.replies)} requests ({requests.per_second:.0f}/s),"
            f" {len(bad)} of them bad"
        )
        assert not bad, "\n".join(bad[:10])
        assert requests.per_second > 0.8 * REQUESTS_PER_SECOND, "this machine is too busy to ask so often"

        rows = truth.simulator_rows(simulator)
        sent = {row["headers"]["user-agent"]: row["response_bytes"] for row in rows}
        differ = [reply.tag for reply, _ in streams.ended if len(reply.body) != sent[reply.tag]]
        assert not differ, f"other bytes than were sent: {differ[:10]}"
        cluster.wait_for_ledger(30)
        compared = truth.Comparison(rows, truth.ledger_rows(cluster.database))
        compared.check()
        assert set(compared.outcomes) == {"complete"}
        assert compared.exact == len(streams.ended) + len(requests.replies)
        print(compared)
