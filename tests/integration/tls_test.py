"""TLS on both sides: the upstream is verified before any credential leaves, and clients may be served over TLS."""

import socket
import ssl
import subprocess
import threading
import warnings

import pytest

from support import certs, sse
from support.client import request
from support.gateway import CREDENTIAL, Gateway
from support.jobs import metric
from support.resources import give
from support.timing import seconds, setting
from support.upstream import MESSAGE, Upstream, always, answer

ASK = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"stream":true,"messages":[]}')
ASK_JSON = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]}')


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certs.Authority(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return certs.Authority(tmp_path_factory.mktemp("certs"), "stranger")


@pytest.fixture(scope="module")
def good(authority):
    return authority.server("good")


def test_a_verified_upstream_is_asked_by_its_name(authority, good):
    with (
        Upstream(tls=certs.server_context(*good)) as upstream,
        Gateway(upstream.url, UPSTREAM_CA_FILE=authority.file) as gateway,
    ):
        with gateway.client() as client:
            response = client.ask(ASK_JSON)
            assert (response.status, response.body) == (200, MESSAGE)
            assert client.ask(ASK).body == sse.short_stream()
        assert upstream.calls[0].header("x-api-key") == CREDENTIAL
        assert upstream.calls[0].header("host") == f"localhost:{upstream.port}"
        name, version, _ = upstream.tls_sessions[0]
        assert (name, version) == ("localhost", "TLSv1.3")
        assert len(upstream.tls_sessions) == 1, "the connection is kept between requests"


def test_an_upstream_that_only_speaks_tls_1_2_is_fine(authority, good):
    context = certs.server_context(*good)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Upstream(tls=context) as upstream, Gateway(upstream.url, UPSTREAM_CA_FILE=authority.file) as gateway:
        assert gateway.ask(ASK_JSON).body == MESSAGE
        assert upstream.tls_sessions[0][1] == "TLSv1.2"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls_1_2", "tls_1_3"])
def test_the_second_connection_resumes_the_session_of_the_first(authority, good, version):
    context = certs.server_context(*good)
    context.minimum_version = context.maximum_version = version
    closing = always(answer(headers=[("connection", "close")], body=MESSAGE))
    with Upstream(closing, tls=context) as upstream, Gateway(upstream.url, UPSTREAM_CA_FILE=authority.file) as gateway:
        for _ in range(4):
            assert gateway.ask(ASK_JSON).body == MESSAGE
        assert [resumed for _, _, resumed in upstream.tls_sessions] == [False, True, True, True]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls_1_2", "tls_1_3"])
def test_a_large_body_waits_for_a_tls_upstream_and_lets_others_pass(authority, good, version):
    """TLS 1.3 leaves session tickets unread while the body is sent; the wait for room must still be a wait."""
    context = certs.server_context(*good)
    context.minimum_version = context.maximum_version = version
    body = b'{"model":"m","padding":"' + b"0123456789abcdef" * 1_000_000 + b'"}'
    with (
        Upstream(always(answer(body=MESSAGE)), tls=context) as upstream,
        Gateway(upstream.url, UPSTREAM_CA_FILE=authority.file) as gateway,
    ):
        for _ in range(2):
            response = gateway.ask(request(body=body))
            assert (response.status, response.body) == (200, MESSAGE)
            assert gateway.ask(request("GET", "/health")).status == 200
        assert [call.body == body for call in upstream.calls] == [True, True]


def refused_upstream(context, ask_url=None, **settings):
    """Asks through a gateway whose upstream must not be trusted; nothing may have been told to it."""
    with (
        Upstream(tls=context) as upstream,
        Gateway((ask_url or "https://localhost:{}").format(upstream.port), **settings) as gateway,
    ):
        for ask in (ASK, ASK_JSON):
            response = gateway.ask(ask)
            assert response.status == 502, response.body
            error = response.json()["error"]
            assert (error["type"], error["details"]["reason"]) == ("api_error", "upstream_tls_failed")
        assert (
            upstream.calls == [] and upstream.bytes_received == 0
        ), "a credential was sent to an upstream that was not verified"


def test_an_unknown_authority_is_not_trusted(authority, stranger, good):
    refused_upstream(certs.server_context(*good), UPSTREAM_CA_FILE=stranger.file)
    refused_upstream(certs.server_context(*stranger.server("other")), UPSTREAM_CA_FILE=authority.file)
    refused_upstream(certs.server_context(*good))


def test_a_certificate_for_another_name_is_not_trusted(authority):
    for number, names in enumerate(
        ("DNS:api.example.test", "DNS:*.localhost", "DNS:localhost.evil.test", "IP:127.0.0.1", "DNS:xlocalhost")
    ):
        refused_upstream(
            certs.server_context(*authority.server(f"elsewhere-{number}", names)), UPSTREAM_CA_FILE=authority.file
        )
    by_name = certs.server_context(*authority.server("name-only", "DNS:localhost"))
    refused_upstream(by_name, "https://127.0.0.1:{}", UPSTREAM_CA_FILE=authority.file)


def test_an_address_in_the_certificate_is_enough_for_an_address(authority, good):
    with Upstream(tls=certs.server_context(*good)) as upstream:
        with Gateway(f"https://127.0.0.1:{upstream.port}", UPSTREAM_CA_FILE=authority.file) as gateway:
            assert gateway.ask(ASK_JSON).body == MESSAGE
        assert upstream.tls_sessions[0][0] is None, "an address is no server name"


def test_an_expired_or_future_certificate_is_not_trusted(authority):
    for name, start, end in (
        ("expired", "20200101000000Z", "20210101000000Z"),
        ("future", "20900101000000Z", "20910101000000Z"),
    ):
        refused_upstream(
            certs.server_context(*authority.server(name, start=start, end=end)), UPSTREAM_CA_FILE=authority.file
        )


def test_tls_1_1_is_not_spoken(authority, good):
    context = certs.server_context(*good)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    refused_upstream(context, UPSTREAM_CA_FILE=authority.file)


def test_an_upstream_that_does_not_speak_tls_is_a_tls_failure(authority):
    with Upstream(lambda call, peer: None) as upstream:

        def talk_plain():
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=lambda: [talk_plain() for _ in range(2)], daemon=True).start()
            with Gateway(f"https://localhost:{listener.getsockname()[1]}", UPSTREAM_CA_FILE=authority.file) as gateway:
                response = gateway.ask(ASK_JSON)
                assert (response.status, response.json()["error"]["details"]["reason"]) == (502, "upstream_tls_failed")
        assert upstream.calls == []


def test_a_handshake_that_never_ends_is_a_connect_timeout(authority):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with Gateway(
            f"https://localhost:{listener.getsockname()[1]}",
            UPSTREAM_CA_FILE=authority.file,
            UPSTREAM_CONNECT_TIMEOUT=setting(300),
        ) as gateway:
            response = gateway.ask(ASK_JSON)
            assert (response.status, response.json()["error"]["details"]["reason"]) == (504, "upstream_connect_timeout")


def test_a_stream_cut_over_tls_ends_in_an_error_event(authority, good):
    begun = sse.preamble() + sse.text_delta("a")
    with Upstream(lambda call, peer: (peer.stream(begun), peer.cut()), tls=certs.server_context(*good)) as upstream:
        with Gateway(upstream.url, UPSTREAM_CA_FILE=authority.file) as gateway:
            response = gateway.ask(ASK)
            assert response.body.startswith(begun)
            name, data = sse.parse(response.body)[-1]
            assert name == "error" and b"upstream_cut" in data


@pytest.fixture(scope="module")
def tls_gateway(shared_upstream, authority, good):
    gateway = Gateway(
        shared_upstream.url, tls=certs.client_context(authority.file), TLS_CERT_FILE=good[0], TLS_KEY_FILE=good[1]
    )
    yield gateway
    gateway.stop()


def test_clients_are_served_over_tls(tls_gateway, upstream):
    with tls_gateway.client() as client:
        assert client.socket.version() == "TLSv1.3"
        for _ in range(3):
            assert client.ask(ASK_JSON).body == MESSAGE
            assert client.ask(ASK).body == sse.short_stream()
            assert client.ask(request("GET", "/health", key=None)).status == 200
    assert len(upstream.calls) == 6


def test_results_urls_are_https_for_tls_clients(tls_gateway, upstream):
    give(tls_gateway, "batch", "b")
    upstream.handler = always(answer(body=b'{"results_url":"https://api.anthropic.com/v1/messages/batches/b/results"}'))
    assert (
        tls_gateway.ask(request("GET", "/v1/messages/batches/b")).json()["results_url"]
        == "https://gateway.test/v1/messages/batches/b/results"
    )


def test_large_bodies_pass_both_ways_over_tls(tls_gateway, upstream):
    body = b'{"model":"x","padding":"' + b"0123456789abcdef" * 500_000 + b'"}'
    upstream.handler = lambda call, peer: peer.send(answer(body=call.body))
    with tls_gateway.client(timeout=60) as client:
        response = client.send(request(body=body)).read_response()
        assert response.body == body == upstream.calls[0].body


def test_requests_split_into_many_tls_records_are_read(tls_gateway, upstream):
    with tls_gateway.client() as client:
        client.send(*(ASK_JSON[at : at + 1] for at in range(len(ASK_JSON))))
        assert client.read_response().body == MESSAGE


def test_old_tls_and_plain_http_are_refused_by_the_tls_listener(tls_gateway, authority, upstream):
    old = certs.client_context(authority.file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls_gateway.client(tls=old)
    with tls_gateway.client(tls=None) as plain:
        assert b"200" not in plain.send(ASK_JSON).rest()
    for garbage in (b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\0" * 1000):
        with tls_gateway.client(tls=None) as plain:
            try:
                plain.send(garbage)
            except ConnectionError:
                pass
    assert tls_gateway.ask(ASK_JSON).body == MESSAGE
    assert len(upstream.calls) == 1


def test_a_tls_client_that_leaves_cancels_the_upstream_call(tls_gateway, upstream):
    left = threading.Event()
    upstream.handler = lambda call, peer: (
        peer.stream(sse.preamble() + sse.text_delta("a")),
        peer.wait_gone(),
        left.set(),
    )
    with tls_gateway.client() as client:
        client.send(ASK).response().read_until(b"content_block_delta")
    assert left.wait(seconds(1))


def test_the_admin_listener_stays_plain(tls_gateway):
    with tls_gateway.admin() as admin:
        assert admin.ask(request("GET", "/ready", key=None)).status == 200


def test_the_end_of_the_listeners_certificate_is_told(tls_gateway, good):
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", good[0]], capture_output=True, text=True, check=True
    ).stdout
    end = ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter="))
    assert metric(tls_gateway, "listener_certificate_ends_at_seconds") == end
