"""Who may ask for what, and in which shape the gateway's own answers come."""

import json
import time

import pytest

from support import sse
from support.client import chunked, request
from support.gateway import KEY, OTHER_KEY, Gateway
from support.resources import EMPTY_LIST, give
from support.timing import seconds, setting, wait_until
from support.upstream import MESSAGE, Upstream, always, answer

BODY = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]}'
SHAPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "invalid_request_error",
}


def check_own_error(response, status, reason):
    assert response.status == status, (response.raw_head, response.body)
    answer_ = response.json()
    assert set(answer_) == {"type", "error", "request_id"} and answer_["type"] == "error", answer_
    assert answer_["error"]["type"] == SHAPES[status]
    assert answer_["error"]["details"]["reason"] == reason, answer_
    assert len(answer_["error"]["message"]) > 10
    assert response.header("content-type") == "application/json"
    assert response.header("x-should-retry") == "false"
    assert response.header("cache-control") == "no-store"
    assert response.header("request-id") == response.header("x-claude-proxy-request-id") == answer_["request_id"]


PROTECTED = [
    ("POST", "/v1/messages", BODY),
    ("POST", "/v1/messages/count_tokens", BODY),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/claude-opus-4-8", None),
    ("POST", "/v1/messages/batches", b"{}"),
    ("GET", "/v1/messages/batches", None),
    ("POST", "/v1/files", b"x"),
    ("GET", "/v1/files/f_1/content", None),
    ("GET", "/v1/skills", None),
    ("POST", "/v1/future", b"x"),
]


@pytest.mark.parametrize(
    "method, target, body", PROTECTED, ids=[f"{method}_{target}" for method, target, _ in PROTECTED]
)
def test_no_route_under_v1_answers_without_a_valid_key(gateway, upstream, method, target, body):
    give(gateway, "file", "f_1")
    if (method, target) in (("GET", "/v1/messages/batches"), ("GET", "/v1/skills")):
        upstream.handler = always(answer(body=EMPTY_LIST))

    def ask(headers):
        return gateway.ask(request(method, target, body, headers, key=None))

    check_own_error(ask([]), 401, "credential_missing")
    for headers in (
        [("x-api-key", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", f"Basic {KEY}")],
        [("authorization", KEY)],
    ):
        response = ask(headers)
        assert response.json()["error"]["details"]["reason"] in ("credential_missing", "credential_invalid")
        assert response.status == 401
    for wrong in ("wrong", KEY + "x", KEY[:-1], KEY.upper(), f"{KEY},{OTHER_KEY}", "é", KEY + "\t" + KEY):
        check_own_error(ask([("x-api-key", wrong)]), 401, "credential_invalid")
        check_own_error(ask([("authorization", "Bearer " + wrong)]), 401, "credential_invalid")
    assert upstream.calls == [] and upstream.bytes_received == 0
    for good in (
        [("x-api-key", KEY)],
        [("authorization", f"Bearer {OTHER_KEY}")],
        [("AUTHORIZATION", f"BEARER {KEY}")],
        [("x-api-key", "wrong"), ("authorization", f"Bearer {KEY}")],
        [("x-api-key", KEY), ("authorization", "Bearer wrong")],
    ):
        assert ask(good).status == 200, good


def test_a_refused_request_does_not_spoil_its_connection(gateway, upstream):
    with gateway.client() as client:
        for _ in range(3):
            assert client.ask(request("GET", "/v1/models", key=None)).status == 401
            assert client.ask(request("GET", "/v1/models")).status == 200
            assert client.ask(request(body=BODY, key="wrong")).status == 401
            assert client.ask(request(body=BODY)).status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/v2/messages",
        "/messages",
        "/v1",
        "/v1messages",
        "/admin/v1/keys",
        "/metrics",
        "/favicon.ico",
        "/V1/messages",
        "/health/x",
        "/v1/chat/completions",
        "/v1/jobs/job_1/x",
    ],
)
def test_unknown_paths_are_not_found(gateway, upstream, target):
    check_own_error(gateway.ask(request("GET", target)), 404, "route_unknown")
    assert upstream.calls == []


@pytest.mark.parametrize(
    "method, target",
    [
        ("GET", "/v1/messages"),
        ("PUT", "/v1/messages"),
        ("DELETE", "/v1/models"),
        ("POST", "/health"),
        ("GET", "/v1/messages/count_tokens"),
        ("PATCH", "/v1/messages/batches"),
        ("GET", "/"),
    ],
)
def test_wrong_methods_are_refused(gateway, upstream, method, target):
    check_own_error(gateway.ask(request(method, target)), 405, "method_not_allowed")
    assert upstream.calls == []


@pytest.mark.parametrize(
    "target",
    [
        "/v1/../health",
        "/v1/models/..",
        "/v1/./models",
        "/v1//models",
        "//v1/models",
        "/v1/models/%2e%2e/x",
        "/v1/models/a%2fb",
        "/v1/models/a%5cb",
        "/v1/models/%zz",
        "/v1/models/%",
        "/v1/models/%00",
        "/v1/%2E./x",
    ],
)
def test_paths_that_may_mean_another_one_are_refused(gateway, upstream, target):
    response = gateway.ask(request("GET", target))
    assert response.status in (400, 404), response.raw_head
    assert upstream.calls == []


def test_nothing_is_redirected(gateway):
    for target in ("/v1/messages/", "/v1/models/", "/v1", "/health/", "/v1/v1", "/admin", "/console"):
        assert not 300 <= gateway.ask(request("GET", target)).status < 400, target


def test_warm_up_probes_need_no_key(gateway, upstream):
    for method, target in (
        ("HEAD", "/"),
        ("HEAD", "/api/hello"),
        ("GET", "/health"),
        ("GET", "/ready"),
        ("HEAD", "/health"),
    ):
        with gateway.client() as client:
            for _ in range(2):  # the connection stays usable: that is what the warm-up is for
                response = client.ask(request(method, target, key=None))
                assert response.status == 200, (target, response.raw_head)
                assert response.header("cache-control") == "no-store"
    for target in ("/health", "/ready"):
        with gateway.admin() as admin:
            assert admin.ask(request("GET", target, key=None)).status == 200
    assert upstream.calls == []


def test_the_admin_listener_serves_no_messages_and_the_public_one_no_metrics(gateway, upstream):
    with gateway.admin() as admin:
        assert admin.ask(request(body=BODY)).status in (404, 405)
    assert gateway.ask(request("GET", "/metrics")).status == 404
    assert upstream.calls == []


def test_models_and_token_counts_are_the_upstreams(gateway, upstream):
    models = b'{"data":[{"type":"model","id":"claude-opus-4-8"}],"has_more":false,"first_id":"a","last_id":"a"}'
    upstream.handler = always(answer(body=models))
    assert gateway.ask(request("GET", "/v1/models?limit=1000&after_id=x")).body == models
    upstream.handler = always(answer(body=b'{"input_tokens": 2095}'))
    counted = gateway.ask(request(target="/v1/messages/count_tokens?beta=true", body=BODY))
    assert (counted.status, counted.body) == (200, b'{"input_tokens": 2095}')
    assert [call.target for call in upstream.calls] == [
        b"/v1/models?limit=1000&after_id=x",
        b"/v1/messages/count_tokens?beta=true",
    ]


def test_the_model_list_is_answered_from_memory_when_the_upstream_is_down(shared_upstream):
    models = b'{"data":[{"type":"model","id":"claude-opus-4-8"}],"has_more":false,"first_id":"a","last_id":"a"}'
    with (
        Upstream(always(answer(body=models))) as own,
        Gateway(own.url, UPSTREAM_HEAD_TIMEOUT=setting(60_000)) as gateway,
    ):
        assert gateway.ask(request("GET", "/v1/models?limit=1000")).body == models
        for trouble in (
            lambda call, peer: peer.cut(),
            always(answer(503, body=b"down")),
            lambda call, peer: peer.wait_gone(30),
        ):
            own.handler = trouble
            begin = time.monotonic()
            response = gateway.ask(request("GET", "/v1/models?limit=1000"))
            assert (response.status, response.body) == (200, models)
            assert time.monotonic() - begin < seconds(3)


GOVERNED = {
    "model": '"claude-opus-4-8"',
    "stream": "false",
    "max_tokens": "16",
    "metadata": '{"user_id":"u"}',
    "service_tier": '"auto"',
    "speed": '"standard"',
    "inference_geo": '"us"',
}


@pytest.mark.parametrize("target", ["/v1/messages", "/v1/messages/count_tokens", "/v1/v1/messages?beta=true"])
@pytest.mark.parametrize("name", GOVERNED)
def test_a_governed_member_that_occurs_twice_is_refused(gateway, upstream, name, target):
    others = [f'"{key}":{value}' for key, value in GOVERNED.items() if key != name] + ['"messages":[]']
    escaped = f'"\\u{ord(name[0]):04x}{name[1:]}"'
    fully = '"' + "".join(f"\\u{ord(letter):04X}" for letter in name) + '"'
    for first, second in ((f'"{name}"', f'"{name}"'), (f'"{name}"', escaped), (fully, f'"{name}"'), (escaped, fully)):
        for place in (0, 3, len(others)):
            members = [f"{first}:{GOVERNED[name]}", *others[:place], f"{second}:{GOVERNED[name]}", *others[place:]]
            body = "{" + ",".join(members) + "}"
            check_own_error(gateway.ask(request(target=target, body=body.encode())), 400, "duplicate_field")
    assert upstream.calls == []
    single = "{" + ",".join([f"{fully}:{GOVERNED[name]}", *others]) + "}"
    assert gateway.ask(request(target=target, body=single.encode())).status == 200, "an escaped spelling alone is legal"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"model"',
        b"{",
        b'{"model"',
        b'{"model":"x"',
        b"model=x",
        b'{"model":"x"}}',
        b'{"model":"x"} x',
        b"{'model':'x'}",
        b'{"model":"x"},{"model":"x"}',
        b'{model:"x"}',
        b"\xff\xfe{\0}\0",
    ],
)
def test_a_body_that_is_no_json_object_is_refused(gateway, upstream, body):
    check_own_error(gateway.ask(request(body=body)), 400, "invalid_json")
    assert upstream.calls == []


@pytest.mark.parametrize(
    "body", [b"{}", b'{"max_tokens":1}', b'{"model":""}', b'{"model":null}', b'{"model":5}', b'{"model":["a"]}']
)
def test_a_body_without_a_model_is_refused(gateway, upstream, body):
    check_own_error(gateway.ask(request(body=body)), 400, "missing_field")
    assert upstream.calls == []


def batch(url='"https://api.anthropic.com/v1/messages/batches/msgbatch_01/results"', **changes):
    fields = {
        "id": '"msgbatch_01"',
        "type": '"message_batch"',
        "processing_status": '"ended"',
        "x": "1.0",
        "results_url": url,
        "request_counts": '{"processing":0}',
        **changes,
    }
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


BATCH_CALLS = [
    ("POST", "/v1/messages/batches", b'{"requests":[]}'),
    ("GET", "/v1/messages/batches/msgbatch_01?beta=true", None),
    ("POST", "/v1/messages/batches/msgbatch_01/cancel", b""),
]


def rewritten(text, base):
    return text.replace("https://api.anthropic.com/", base + "/").encode()


SPELLINGS = {
    "compact": batch(),
    "pretty_printed": json.dumps(json.loads(batch()), indent=2),
    "spaces_around_colons": batch().replace('":', '" :\t '),
    "escaped_slashes": batch().replace("/", "\\/"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("method, target, body", BATCH_CALLS, ids=["create", "retrieve", "cancel"])
def test_results_url_points_back_to_where_the_caller_asked(gateway, upstream, method, target, body, spelling):
    give(gateway, "batch", "msgbatch_01")
    text = SPELLINGS[spelling]
    parts = chunked(*(text.encode()[at : at + 7] for at in range(0, len(text), 7)))
    chunked_answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" + parts
    for send in (always(answer(body=text.encode())), always(chunked_answer)):
        upstream.handler = send
        for host in (b"gateway.test", b"gw.example:8443", b"127.0.0.1:%d" % gateway.port):
            response = gateway.ask(request(method, target, body, host=host))
            assert response.status == 200, response.body
            found = json.loads(response.body)
            base = f"http://{host.decode()}"
            assert found["results_url"] == base + "/v1/messages/batches/msgbatch_01/results"
            assert {**found, "results_url": 0} == {**json.loads(text), "results_url": 0}
            if spelling != "escaped_slashes":
                assert response.body == rewritten(text, base), "only the URL may change"


def test_results_url_behind_a_tls_terminator_has_its_scheme(gateway, upstream):
    give(gateway, "batch", "msgbatch_01")
    upstream.handler = always(answer(body=batch().encode()))
    response = gateway.ask(request("GET", BATCH_CALLS[1][1], headers=[("X-Forwarded-Proto", "https")]))
    assert response.json()["results_url"] == "https://gateway.test/v1/messages/batches/msgbatch_01/results"


def test_every_results_url_of_a_list_is_rewritten(gateway, upstream):
    give(gateway, "batch", "msgbatch_01", "msgbatch_02")
    items = [batch(), batch("null"), batch(id='"msgbatch_02"').replace("_01/results", "_02/results")] + [batch()] * 500
    text = '{"data":[' + ",".join(items) + '],"has_more":false,"first_id":"msgbatch_01","last_id":"msgbatch_01"}'
    upstream.handler = always(answer(body=text.encode()))
    response = gateway.ask(request("GET", "/v1/messages/batches?limit=1000"))
    assert response.body == rewritten(text, "http://gateway.test")


@pytest.mark.parametrize(
    "text",
    [
        batch("null"),
        batch("5"),
        batch('""'),
        batch('"relative/path"'),
        '{"x":"https://api.anthropic.com/v1/x","nested":{"y":"results_url"}}',
        '{"type":"error","error":{"type":"not_found_error","message":"results_url https://api.anthropic.com/x"}}',
        "{broken",
        "",
        "[1,2]",
    ],
)
def test_answers_without_a_results_url_pass_unchanged(gateway, upstream, text):
    give(gateway, "batch", "msgbatch_01")
    upstream.handler = always(answer(body=text.encode()))
    assert gateway.ask(request("GET", "/v1/messages/batches/msgbatch_01")).body == text.encode()


def test_batch_results_pass_unchanged(gateway, upstream):
    give(gateway, "batch", "msgbatch_01")
    lines = (
        b'{"custom_id":"a","result":{"x":"https://api.anthropic.com/","results_url":"https://api.anthropic.com/x"}}\n'
        * 2000
    )
    upstream.handler = always(answer(body=lines, content_type="application/x-jsonl"))
    assert gateway.ask(request("GET", "/v1/messages/batches/msgbatch_01/results")).body == lines


def test_a_multipart_upload_passes_byte_for_byte(gateway, upstream):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\xc3\xa9.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + bytes(range(256)) * 100 + b"\r\n--b--\r\n"
    )
    headers = [("Content-Type", "multipart/form-data; boundary=b"), ("anthropic-beta", "files-api-2025-04-14")]
    give(gateway, "skill", "s_1")
    created = b'{"id":"file_1","type":"file","filename":"a"}'
    upstream.handler = always(answer(body=created))
    with gateway.client() as client:
        for target in ("/v1/files?beta=true", "/v1/skills", "/v1/skills/s_1/versions"):
            assert client.ask(request(target=target, body=body, headers=headers)).body == created
            parts = [body[at : at + 1000] for at in range(0, len(body), 1000)]
            assert (
                client.ask(
                    request(target=target, headers=[*headers, ("Transfer-Encoding", "chunked")]) + chunked(*parts)
                ).body
                == created
            )
    assert len(upstream.calls) == 6
    for call in upstream.calls:
        assert call.body == body and call.header("content-type") == "multipart/form-data; boundary=b"


def test_an_upload_by_chunks_stays_chunked_upstream(gateway, upstream):
    gateway.ask(request(target="/v1/files", headers=[("Transfer-Encoding", "chunked")]) + chunked(b"abc", b"def"))
    assert upstream.calls[0].header("transfer-encoding") == "chunked" and upstream.calls[0].body == b"abcdef"


def test_a_client_that_breaks_off_an_upload_does_not_complete_it(gateway, upstream):
    """The upstream must see a broken request, never a shorter whole one."""
    for head in ([("Content-Length", "100000")], [("Transfer-Encoding", "chunked")]):
        upstream.reset()
        with gateway.client() as client:
            client.send(
                request(target="/v1/files", headers=head) + (b"3e8\r\n" if head[0][0][0] == "T" else b"") + b"x" * 1000
            )
            wait_until(lambda: upstream.bytes_received > 1000, 10, "the first part arrives upstream")
        wait_until(lambda: upstream.problems or upstream.calls, 10, "the upstream connection ends")
        assert upstream.calls == [] and "closed inside" in upstream.problems[0], (upstream.calls, upstream.problems)


def test_streams_of_both_credentials_and_versions_work_alike(gateway, upstream):
    body = b'{"model":"claude-opus-4-8","max_tokens":16,"stream":true,"messages":[]}'
    for headers in (
        [("x-api-key", KEY), ("anthropic-version", "2023-06-01")],
        [("authorization", f"Bearer {KEY}"), ("anthropic-version", "2026-10-21")],
    ):
        assert gateway.ask(request(body=body, headers=headers, key=None)).body == sse.short_stream()
    assert gateway.ask(request(body=BODY)).body == MESSAGE
