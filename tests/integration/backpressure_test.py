"""Readers slower than writers: memory stays flat, the fast side waits, nothing is lost, and who never reads is cut."""

import hashlib
import threading
import time

import pytest

from support import sse
from support.client import Truncated, request
from support.gateway import Gateway, memory_slack
from support.timing import seconds, setting, wait_until
from support.upstream import Upstream, stream_head

ASK = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"stream":true,"messages":[]}')
EVENT = sse.text_delta("x" * 65_000)
EVENTS = 1000  # 64 MB, far above what the kernel's buffers on the way can hold


def send_much(progress):
    """Streams EVENTS big events; `progress[0]` counts what the kernel took."""
    framed = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)

    def handle(call, peer):
        peer.stream(sse.preamble())
        try:
            for _ in range(EVENTS):
                peer.send(framed)
                progress[0] += len(framed)
            peer.events(sse.block_stop() + sse.ending()).end()
        except OSError:
            progress[1] = time.monotonic()
            peer.cut()

    return handle


def settled(progress):
    """Waits until the sender stands still and returns how far it came."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < seconds(0.5):
        if progress[0] != last:
            last, since = progress[0], time.monotonic()
        time.sleep(0.02)
    return last


def test_a_client_that_pauses_pauses_the_upstream_and_loses_nothing():
    progress = [0, 0]
    with Upstream(send_much(progress), send_buffer=65_536) as upstream, Gateway(upstream.url) as gateway:
        gateway.ask(request("GET", "/health", key=None))
        before = gateway.rss()
        with gateway.client(receive_buffer=65_536, timeout=60) as client:
            response = client.send(ASK).response()
            response.read_until(b"content_block_delta")
            stopped_at = settled(progress)
            assert (
                0 < stopped_at < len(EVENT) * EVENTS // 2
            ), f"upstream could send {stopped_at} bytes to a client that reads nothing"
            assert gateway.rss() - before < memory_slack(16), f"{before} -> {gateway.rss()}"
            digest = hashlib.sha256(response.body)
            size, peak = len(response.body), 0
            for number, piece in enumerate(response.discard()):
                digest.update(piece)
                size += len(piece)
                if number % 500 == 0:
                    peak = max(peak, gateway.rss())
        expected = sse.preamble() + EVENT * EVENTS + sse.block_stop() + sse.ending()
        assert (size, digest.digest()) == (len(expected), hashlib.sha256(expected).digest())
        assert peak - before < memory_slack(16)


def test_a_client_that_never_reads_again_is_cut():
    progress = [0, 0]
    with Upstream(send_much(progress), send_buffer=65_536) as upstream:
        with (
            Gateway(upstream.url, WRITE_IDLE_TIMEOUT=setting(500)) as gateway,
            gateway.client(receive_buffer=65_536) as client,
        ):
            response = client.send(ASK).response()
            response.read_until(b"content_block_delta")
            wait_until(lambda: progress[1], 10, "the upstream call ends because the client takes nothing")
            line = gateway.wait_event(lambda event: event.get("reason") == "slow_reader", what="slow_reader line")
            assert line["status"] == 200 and line["stream"] is True
            with pytest.raises((Truncated, ConnectionError)):
                response.read()


def test_a_client_that_reads_slowly_but_steadily_is_left_alone():
    events = 40

    def handle(call, peer):
        peer.stream(sse.preamble(), *[EVENT] * events, sse.block_stop() + sse.ending(), head=stream_head()).end()

    with Upstream(handle, send_buffer=65_536) as upstream:
        with (
            Gateway(upstream.url, WRITE_IDLE_TIMEOUT=setting(600)) as gateway,
            gateway.client(receive_buffer=32_768) as client,
        ):
            response = client.send(ASK).response()
            for _ in range(20):  # together longer than the limit, each pause shorter
                response.next_piece()
                time.sleep(seconds(0.06))
            assert response.read().body == sse.preamble() + EVENT * events + sse.block_stop() + sse.ending()


def test_a_slow_upstream_pauses_an_upload():
    """The other direction: bytes the upstream does not take are not gathered in memory."""
    go_on, size, piece = threading.Event(), 64 << 20, b"u" * (1 << 16)
    sent = [0]

    def handle(call, peer):
        go_on.wait(seconds(60))
        peer.read_body(call)
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    def upload(client):
        for _ in range(size // len(piece)):
            client.socket.sendall(piece)
            sent[0] += len(piece)

    with Upstream(handle, read_bodies=False) as upstream, Gateway(upstream.url) as gateway:
        gateway.ask(request("GET", "/health", key=None))
        before = gateway.rss()
        with gateway.client(timeout=60) as client:
            client.send(request("POST", "/v1/files", headers=[("Content-Length", str(size))]))
            sender = threading.Thread(target=upload, args=(client,))
            sender.start()
            upstream.wait_calls(1)
            stopped_at = settled(sent)
            assert stopped_at < size, "the gateway took the whole upload while the upstream read nothing"
            assert gateway.rss() - before < memory_slack(16), f"{before} -> {gateway.rss()}"
            go_on.set()
            sender.join()
            assert client.read_response().status == 200
        call = upstream.calls[0]
        assert call.body_size == size and call.digest.digest() == hashlib.sha256(b"u" * size).digest()


def test_many_slow_readers_cost_little_each():
    progress = [0, 0]
    with Upstream(send_much(progress), send_buffer=65_536) as upstream, Gateway(upstream.url) as gateway:
        gateway.ask(request("GET", "/health", key=None))
        before, count = gateway.rss(), 30
        clients = [gateway.client(receive_buffer=32_768) for _ in range(count)]
        for client in clients:
            client.send(ASK)
        upstream.wait_calls(count)
        settled(progress)
        grown = gateway.rss() - before
        assert grown < memory_slack(count), f"{grown / count / 1024:.0f} KiB for each of {count} slow readers"
        for client in clients:
            client.close()
