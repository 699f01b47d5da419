"""Clients that never pause, for tests that rotate a secret under them: whole answers, short streams and slow streams.

    with Traffic([gateway.port]) as traffic:
        ... rotate ...
    traffic.check()                 # every request has its whole answer
"""

import asyncio
import datetime
import itertools
import json
import threading
import time

from support import load, truth
from support.client import request
from support.gateway import KEY
from support.timing import seconds, wait_until

OLD, NEW = "sk-ant-api03-upstream-credential-old001", "sk-ant-api03-upstream-credential-new002"
SUFFIX_BYTES = 6  # what claude-sim keeps of a key
GRACE = 1.0  # seconds beside the refresh until the new key is used everywhere
MODEL = "claude-haiku-4-5"


def body_of(stream):
    asked = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps({**asked, "stream": True} if stream else asked).encode()


class Traffic:
    """`rate` requests a second over all ports, half of them streams, and `slow` streams of about 3 s at a time."""

    def __init__(self, ports, rate=200, slow=10, key=KEY):
        self.ports, self.rate, self.slow, self.key = ports, rate, slow, key
        self.replies, self.slow_replies = [], []
        self._number = itertools.count()
        self._until = threading.Event()
        self._thread = threading.Thread(target=lambda: load.run(self._all(), seconds(240)), daemon=True)

    def _bytes(self, stream, more=()):
        headers = [("anthropic-version", "2023-06-01"), ("user-agent", f"t{next(self._number)}"), *more]
        return request(body=body_of(stream), headers=headers, key=self.key)

    async def _steady(self, port, every, stream):
        caller = load.Caller(port)
        due = time.monotonic()
        while not self._until.is_set():
            self.replies.append(await caller.ask(self._bytes(stream), tag=stream, timeout=seconds(20)))
            due = max(due + every, time.monotonic() - 1)  # a pause of the machine is made up for, in part
            await asyncio.sleep(max(0, due - time.monotonic()))
        caller.close()

    async def _slowly(self, port, start):
        caller = load.Caller(port)
        pace = [("x-sim-output-tokens", "60"), ("x-sim-event-tokens", "2"), ("x-sim-fault", "event-interval=100")]
        await asyncio.sleep(start)
        while not self._until.is_set():
            self.slow_replies.append(await caller.ask(self._bytes(True, pace), tag=True, timeout=seconds(40)))
        caller.close()

    async def _all(self):
        callers = 20
        steady = (
            self._steady(self.ports[i % len(self.ports)], callers / self.rate, (i // len(self.ports)) % 2 == 0)
            for i in range(callers)
        )
        slowly = (self._slowly(self.ports[i % len(self.ports)], i * 3 / self.slow) for i in range(self.slow))
        await asyncio.gather(*steady, *slowly)

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: len(self.replies) > self.rate, 30, "traffic")
        return self

    def __exit__(self, *_):
        self._until.set()
        self._thread.join(seconds(120))
        assert not self._thread.is_alive(), "the traffic does not end"

    def failures(self):
        def is_good(reply):
            return reply.status == 200 and reply.whole and (not reply.tag or reply.finished_stream)

        return [reply for reply in self.replies + self.slow_replies if not is_good(reply)]

    def check(self):
        bad = self.failures()
        told = [(reply.status, reply.whole, reply.began, reply.body[:300]) for reply in bad[:3]]
        assert not bad, f"{len(bad)} of {len(self.replies) + len(self.slow_replies)} requests failed: {told}"

    def rate_seen(self):
        return len(self.replies) / (max(reply.ended for reply in self.replies) - self.replies[0].began)


class Swap:
    """What claude-sim saw of two keys. Times are seconds after the rotation: `moments` are the wall clock's before and
    after it was asked for."""

    def __init__(self, simulator, moments):
        def moment(row):
            return datetime.datetime.fromisoformat(row["started_at"].replace("Z", "+00:00")).timestamp()

        began, changed = moments
        self.lasted = changed - began
        rows = [(row["key_suffix"], moment(row) - changed) for row in truth.simulator_rows(simulator)]
        self.old = [when for suffix, when in rows if suffix == OLD[-SUFFIX_BYTES:]]
        self.new = [when for suffix, when in rows if suffix == NEW[-SUFFIX_BYTES:]]
        assert self.old and self.new and len(self.old) + len(self.new) == len(rows)

    def check(self, within):
        assert max(self.old) <= within, f"the old key was used {max(self.old):.3f} s after the rotation"
        assert -self.lasted <= min(self.new) <= within, f"the new key came {min(self.new):.3f} s after the rotation"

    def __str__(self):
        return (
            f"{len(self.old)} calls with the old key, the last {max(self.old):.3f} s after the rotation; "
            f"{len(self.new)} with the new one, the first after {min(self.new):.3f} s"
        )


def refuse_old_key(simulator):
    """From now on upstream answers 401 to it."""
    refused = {"fault": "status=401", "count": 1_000_000_000, "match": {"key_suffix": OLD[-SUFFIX_BYTES:]}}
    truth.control(simulator, "POST", "/sim/faults", json.dumps(refused).encode())


def rotate_under(traffic, simulator, rotate, within):
    """Rotates the upstream key by `rotate`, waits `within` seconds, has the old one refused upstream, and goes on for
    two more. The moments of Swap."""
    began = time.time()
    rotate()
    changed, mono = time.time(), time.monotonic()
    time.sleep(seconds(within))
    refuse_old_key(simulator)
    time.sleep(seconds(2))
    across = [reply for reply in list(traffic.slow_replies) if reply.began < mono < reply.ended]
    assert across, "no stream was open while the key was rotated"
    return began, changed
