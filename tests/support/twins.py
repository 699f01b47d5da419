"""Requests under one Idempotency-Key, and an upstream that waits between the beginning and the end of its answer."""

import re
import threading

from support import sse
from support.client import request
from support.gateway import KEY
from support.timing import seconds, wait_until
from support.upstream import MESSAGE, answer

PLAIN = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[{"role":"user","content":"%s"}]}'
STREAM = PLAIN.replace(b'"max_tokens"', b'"stream":true,"max_tokens"')
BEGUN, REST = sse.preamble() + sse.text_delta("a"), sse.text_delta("b") + sse.block_stop() + sse.ending()
REPLAY, OWN = "x-claude-proxy-replay-of", "x-claude-proxy-request-id"


def asking(name, body=PLAIN % b"a", key=KEY, **options):
    return request(body=body, headers=[("Idempotency-Key", name)], key=key, **options)


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
