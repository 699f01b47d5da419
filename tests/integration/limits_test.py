"""Sizes and counts: too much is refused early and politely, large but allowed passes with flat memory."""

import hashlib
import threading
import time

import pytest

from support.client import chunked, request
from support.gateway import Gateway, memory_slack
from support.resources import give
from support.timing import seconds, wait_until
from support.upstream import MESSAGE, always, answer

MB = 1 << 20
START = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[{"role":"user","content":"'


def message_of(size):
    """A valid body of exactly `size` bytes whose content does not repeat."""
    line = b"".join(b"%07d " % number for number in range(131_072))  # 1 MB
    return START + (line * (size // len(line) + 1))[: size - len(START) - 4] + b'"}]}'


def reason(response):
    return response.json()["error"]["details"]["reason"]


def test_a_body_of_32_mb_passes_byte_for_byte_both_ways(gateway, upstream):
    body = message_of(32 * MB)
    assert len(body) == 32 * MB
    upstream.handler = lambda call, peer: peer.send(answer(body=call.body))
    for data in (
        request(body=body),
        request(headers=[("Transfer-Encoding", "chunked")])
        + chunked(*(body[at : at + 99_991] for at in range(0, len(body), 99_991))),
    ):
        upstream.reset()
        upstream.handler = lambda call, peer: peer.send(answer(body=call.body))
        with gateway.client(timeout=60) as client:
            sender = threading.Thread(target=client.socket.sendall, args=(data,))
            sender.start()
            response = client.read_response()
            sender.join()
        assert response.status == 200
        assert response.body == body
        assert upstream.calls[0].digest.digest() == hashlib.sha256(body).digest()


@pytest.mark.parametrize("target", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_body_over_the_limit_is_refused_before_it_is_sent(gateway, upstream, target):
    with gateway.client() as client:
        response = client.send(request(target=target, headers=[("Content-Length", str(32 * MB + 1))])).read_response()
        assert (response.status, response.json()["error"]["type"], reason(response)) == (
            413,
            "request_too_large",
            "body_too_large",
        )
        assert response.header("x-should-retry") == "false"
    assert upstream.calls == []


def test_a_body_over_the_limit_is_refused_before_the_continue(gateway, upstream):
    with gateway.client() as client:
        client.send(request(headers=[("Content-Length", str(33 * MB)), ("Expect", "100-continue")]))
        response = client.read_response()
        assert (response.status, response.interim) == (413, [])


def test_a_sender_of_33_mb_gets_the_refusal_not_a_reset(gateway, upstream):
    with gateway.client() as client:
        client.send(request(headers=[("Content-Length", str(33 * MB))]))
        piece = b"x" * 65_536
        try:
            for _ in range(8):  # half a megabyte, less than what is read away after an early answer
                client.socket.sendall(piece)
        except ConnectionError:
            pass
        assert client.read_response().status == 413


def test_a_chunked_body_is_refused_when_it_passes_the_limit(shared_upstream):
    shared_upstream.reset()
    with Gateway(
        shared_upstream.url,
        MESSAGES_BODY_BYTES_MAX="1MiB",
        OTHER_BODY_BYTES_MAX="1MiB",
        BATCHES_BODY_BYTES_MAX="1MiB",
        FILES_BODY_BYTES_MAX="1MiB",
    ) as gateway:
        for target in ("/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches", "/v1/files", "/v1/future"):
            with gateway.client() as client:
                client.send(request(target=target, headers=[("Transfer-Encoding", "chunked")]))
                piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
                try:
                    for _ in range(17):  # no last chunk: the limit alone must end it
                        client.socket.sendall(piece)
                except ConnectionError:
                    pass
                response = client.read_response()
                assert (response.status, reason(response)) == (413, "body_too_large"), target
        assert not [call for call in shared_upstream.calls if call.complete], "a body that was refused arrived whole"
        exact = message_of(MB)
        assert gateway.ask(request(body=exact)).status == 200
        assert gateway.ask(request(body=exact + b" ")).status == 413
        chunks = [exact[at : at + 65_536] for at in range(0, MB, 65_536)]
        assert (
            gateway.ask(
                request(target="/v1/files", headers=[("Transfer-Encoding", "chunked")]) + chunked(*chunks)
            ).status
            == 200
        )


def test_an_upload_of_300_mb_streams_through_with_flat_memory(gateway, upstream):
    parts = [bytes([number]) * MB for number in range(100)] * 3
    frame = (b'--b\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n', b"\r\n--b--\r\n")
    size = 300 * MB + len(frame[0]) + len(frame[1])
    upstream.handler = always(answer(body=b'{"id":"file_1"}'))
    gateway.ask(request("GET", "/health", key=None))
    before, peak = gateway.rss(), 0
    digest = hashlib.sha256()
    with gateway.client(timeout=120) as client:
        client.send(
            request(
                target="/v1/files",
                headers=[("Content-Type", "multipart/form-data; boundary=b"), ("Content-Length", str(size))],
            )
        )
        for number, part in enumerate([frame[0], *parts, frame[1]]):
            client.socket.sendall(part)
            digest.update(part)
            if number % 10 == 0:
                peak = max(peak, gateway.rss())
        response = client.read_response()
    assert (response.status, response.body) == (200, b'{"id":"file_1"}')
    assert (upstream.calls[0].body_size, upstream.calls[0].digest.digest()) == (size, digest.digest())
    assert peak - before < memory_slack(40), f"{(peak - before) / MB:.0f} MB more while 300 MB passed"


def test_a_download_of_100_mb_streams_through_with_flat_memory(gateway, upstream):
    give(gateway, "file", "f_1")
    part, count = bytes(range(256)) * 4096, 100
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n" % (
        len(part) * count
    )
    upstream.handler = lambda call, peer: peer.send(head, *[part] * count)
    gateway.ask(request("GET", "/health", key=None))
    before, peak, size, digest = gateway.rss(), 0, 0, hashlib.sha256()
    with gateway.client(timeout=60) as client:
        response = client.send(request("GET", "/v1/files/f_1/content")).response("GET")
        for number, piece in enumerate(response.discard()):
            digest.update(piece)
            size += len(piece)
            if number % 200 == 0:
                peak = max(peak, gateway.rss())
    assert size == len(part) * count and digest.digest() == hashlib.sha256(part * count).digest()
    assert peak - before < memory_slack(16)


def test_the_byte_budget_admits_before_the_body_is_read(shared_upstream):
    shared_upstream.reset()
    body = message_of(600_000)
    with Gateway(shared_upstream.url, IN_FLIGHT_BYTES_MAX=1_000_000) as gateway, gateway.client() as holder:
        holder.send(request(headers=[("Content-Length", str(len(body)))]) + body[:1000])
        wait_until(
            lambda: b"claude_proxy_in_flight_body_bytes 0" not in gateway.metrics().body,
            10,
            "the first body holds its place",
        )
        with gateway.client() as client:
            refused = client.send(request(headers=[("Content-Length", str(len(body)))])).read_response()
        assert (refused.status, refused.json()["error"]["type"]) == (529, "overloaded_error")
        assert reason(refused) == "in_flight_bytes_exhausted"
        assert int(refused.header("retry-after")) >= 1 and refused.header("x-should-retry") is None
        assert gateway.ask(request(body=message_of(100_000))).status == 200, "what fits is served"
        holder.send(body[1000:])
        assert holder.read_response().status == 200
        assert gateway.ask(request(body=body)).status == 200, "and the place is free again"
        for _ in range(5):  # a client that leaves gives its place back
            with gateway.client() as client:
                client.send(request(headers=[("Content-Length", str(len(body)))]) + body[:1000])
                client.reset()
        wait_until(lambda: gateway.ask(request(body=body)).status == 200, 10, "places of clients that left are free")
        chunks = request(headers=[("Transfer-Encoding", "chunked")]) + chunked(
            *[body[at : at + 50_000] for at in range(0, len(body), 50_000)]
        )
        assert gateway.ask(chunks).status == 200
    assert all(call.complete for call in shared_upstream.calls)


def test_connections_over_the_limit_are_turned_away_politely(shared_upstream):
    shared_upstream.reset()
    with Gateway(shared_upstream.url, CONNECTIONS_MAX=20) as gateway:
        clients = [gateway.client() for _ in range(20)]
        for client in clients:
            assert client.ask(request("GET", "/v1/models")).status == 200
        for _ in range(5):
            with gateway.client() as client:
                response = client.ask(request("GET", "/v1/models"))
                assert (response.status, response.header("connection")) == (529, "close")
                assert (response.json()["error"]["type"], reason(response)) == (
                    "overloaded_error",
                    "too_many_connections",
                )
                assert (
                    response.header("x-claude-proxy-request-id")
                    == response.header("request-id")
                    == response.json()["request_id"]
                )
                assert client.rest() == b""
        with gateway.admin() as admin:
            assert admin.ask(request("GET", "/health", key=None)).status == 200, "operators still get in"
        assert clients[0].ask(request("GET", "/v1/models")).status == 200
        clients.pop().close()

        def served():
            with gateway.client() as client:
                return client.ask(request("GET", "/v1/models")).status == 200

        wait_until(served, 10, "a free place is given to the next one")
        for client in clients:
            client.close()


def test_thousands_of_requests_leave_no_memory_behind(shared_upstream):
    shared_upstream.reset()
    shared_upstream.handler = always(answer(body=MESSAGE))
    body = message_of(1000)
    with Gateway(shared_upstream.url) as gateway:

        def burst(count):
            with gateway.client() as client:
                for _ in range(count):
                    client.send(request(body=body))
                    assert client.read_response().status == 200

        def thousands():
            workers = [threading.Thread(target=burst, args=(1250,)) for _ in range(4)]
            begin = time.monotonic()
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert time.monotonic() - begin < seconds(60)

        thousands()  # the ledger's batches and the database's cache grow to their size
        before = gateway.rss()
        thousands()
        assert gateway.rss() - before < memory_slack(8), f"{before} -> {gateway.rss()}"
        assert len(shared_upstream.calls) == 10_000
