"""The gateway in front of claude-sim: the tokens it logs are those that were billed, also when things break."""

import json

import pytest

from support import sse
from support.client import Client, request
from support.gateway import CREDENTIAL, Gateway, Simulator
from support.timing import setting, wait_until

PROMPT = "Tell me about the weather in Bern. " * 40


@pytest.fixture(scope="module")
def simulator():
    simulator = Simulator("--listen", "127.0.0.1:0", "--strict", "--api-key", CREDENTIAL, "--batch-delay-ms", "0")
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def through(simulator):
    """The gateway whose upstream is the simulator."""
    gateway = Gateway(simulator.url, PREAMBLE_HOLD=setting(500), UPSTREAM_IDLE_TIMEOUT=setting(1500))
    yield gateway
    gateway.stop()


def message(stream=False, **fields):
    body = {"model": "claude-opus-4-8", "max_tokens": 200, "messages": [{"role": "user", "content": PROMPT}], **fields}
    if stream:
        body["stream"] = True
    return json.dumps(body).encode()


def ask(gateway, body=None, target="/v1/messages", method="POST", **headers):
    fields = [("anthropic-version", "2023-06-01"), ("content-type", "application/json")]
    fields += [(name.replace("_", "-"), value) for name, value in headers.items()]
    return gateway.ask(request(method, target, body, fields))


def control(simulator, method, target, body=None):
    with Client(simulator.port) as client:
        return client.ask(request(method, target, body, key=None)).json()


def ledger_row(simulator, request_id):
    """The simulator's row of one of its answers, once it is closed."""

    def find():
        rows = [row for row in control(simulator, "GET", "/sim/ledger")["requests"] if row["request_id"] == request_id]
        return rows and (rows[0]["complete"] or rows[0]["client_left"] or rows[0]["faults"]) and rows[0]

    return wait_until(find, 10, f"the ledger's row of {request_id}")


TOKENS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def check_tokens(through, simulator, response):
    line = through.request_line(response)
    row = ledger_row(simulator, line["upstream_request_id"])
    assert {name: line[name] for name in TOKENS} == {name: row["usage"][name] for name in TOKENS}
    return line, row


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
def test_the_tokens_of_a_request_line_are_those_that_were_billed(through, simulator, stream):
    cached = [
        {"type": "text", "text": "You know the weather. " * 800, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]
    thinking = {"type": "adaptive"}
    tools = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
    bodies = [
        message(stream),
        message(stream, system=cached),
        message(stream, system=cached),
        message(stream, thinking=thinking),
        message(stream, tools=tools, tool_choice={"type": "any"}),
        message(stream, max_tokens=1),
    ]
    lines = []
    for body in bodies:
        response = ask(through, body)
        assert response.status == 200, response.body
        line, row = check_tokens(through, simulator, response)
        assert line["stream"] is stream and line["status"] == 200 and line["attempts"] == 1
        assert line["response_model"] == row["model"]
        lines.append(line)
    assert lines[1]["cache_creation_input_tokens"] + lines[1]["cache_read_input_tokens"] > 1024, "the prompt was cached"
    assert lines[2]["cache_read_input_tokens"] > 1024
    assert all(line["output_tokens"] > 0 and line["input_tokens"] > 0 for line in lines)


def test_a_hundred_requests_of_all_kinds_add_up(through, simulator):
    before = control(simulator, "GET", "/sim/ledger")["totals"]["usage"]
    ids = set()
    with through.client() as client:
        for number in range(100):
            body = message(number % 2 == 0, messages=[{"role": "user", "content": f"{number} " * (number + 1)}])
            headers = [("anthropic-version", "2023-06-01"), ("x-sim-output-tokens", str(number + 1))]
            response = client.ask(request(body=body, headers=headers))
            assert response.status == 200, response.body
            ids.add(response.header("x-claude-proxy-request-id"))
    after = control(simulator, "GET", "/sim/ledger")["totals"]["usage"]
    lines = wait_until(
        lambda: (found := [event for event in through.events if event.get("request_id") in ids])
        and len(found) == 100
        and found,
        10,
        "all lines are written",
    )
    for name in TOKENS:
        assert sum(line[name] for line in lines) == after[name] - before[name], name


@pytest.mark.parametrize(
    "fault, status", [("status=429;retry-after=3", 429), ("status=500", 500), ("status=529", 529), ("html=502", 502)]
)
def test_statuses_of_the_upstream_pass(through, fault, status):
    response = ask(through, message(), x_sim_fault=fault)
    assert response.status == status
    assert response.header("request-id") != response.header("x-claude-proxy-request-id") or status == 502
    if status == 429:
        assert response.header("retry-after") == "3"


@pytest.mark.parametrize("fault", ["overload-in-stream=first", "overload-in-stream=start"])
def test_an_overload_inside_the_stream_is_hidden_by_one_retry(through, simulator, fault):
    control(
        simulator,
        "POST",
        "/sim/faults",
        json.dumps({"fault": fault, "count": 1, "match": {"path": "/v1/messages"}}).encode(),
    )
    response = ask(through, message(True))
    assert response.status == 200
    assert [name for name, _ in sse.parse(response.body)][-1] == "message_stop"
    assert through.request_line(response)["attempts"] == 2
    persistent = ask(through, message(True), x_sim_fault=fault)
    assert (persistent.status, persistent.json()["error"]["type"]) == (529, "overloaded_error")


def test_a_cut_stream_is_billed_as_far_as_it_is_known(through, simulator):
    response = ask(through, message(True), x_sim_fault="cut-after-events=8", x_sim_output_tokens="100")
    name, data = sse.parse(response.body)[-1]
    assert (name, json.loads(data)["error"]["details"]["reason"]) == ("error", "upstream_cut")
    line = through.request_line(response)
    row = ledger_row(simulator, line["upstream_request_id"])
    assert line["input_tokens"] == row["usage"]["input_tokens"] and line["usage_state"] == "partial"
    assert line["reason"] == "upstream_cut"


def test_a_client_that_leaves_is_seen_by_the_upstream(through, simulator):
    with through.client() as client:
        body, headers = message(True), [
            ("anthropic-version", "2023-06-01"),
            ("x-sim-fault", "event-interval=50"),
            ("x-sim-output-tokens", "2000"),
        ]
        response = client.send(request(body=body, headers=headers)).response()
        response.read_until(b"content_block_delta")
        own_id = response.header("x-claude-proxy-request-id")
    line = through.wait_event(lambda event: event.get("request_id") == own_id)
    assert line["reason"] == "client_left"
    assert ledger_row(simulator, line["upstream_request_id"])["client_left"] is True


def test_a_stalled_upstream_ends_in_its_own_reason(through):
    response = ask(through, message(True), x_sim_fault="stall-after-events=5")
    name, data = sse.parse(response.body)[-1]
    assert (name, json.loads(data)["error"]["details"]["reason"]) == ("error", "upstream_idle_timeout")


def test_models_counts_files_and_batches_work_through(through, simulator):
    models = ask(through, method="GET", target="/v1/models?limit=100").json()
    assert (
        models["data"]
        and ask(through, method="GET", target=f"/v1/models/{models['data'][0]['id']}").json()["type"] == "model"
    )
    count = json.dumps({"model": "claude-opus-4-8", "messages": [{"role": "user", "content": PROMPT}]}).encode()
    assert ask(through, count, "/v1/messages/count_tokens").json()["input_tokens"] > 100
    disposition = b'Content-Disposition: form-data; name="file"; filename="a.txt"'
    upload = b"--b\r\n" + disposition + b"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"
    created = through.ask(
        request(
            target="/v1/files",
            body=upload,
            headers=[("anthropic-version", "2023-06-01"), ("content-type", "multipart/form-data; boundary=b")],
        )
    ).json()
    assert created["size_bytes"] == 5
    assert ask(through, method="GET", target=f"/v1/files/{created['id']}").json()["filename"] == "a.txt"
    item = {
        "custom_id": "a-1",
        "params": {"model": "claude-opus-4-8", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]},
    }
    batch = ask(through, json.dumps({"requests": [item]}).encode(), "/v1/messages/batches").json()

    def ended():
        found = ask(through, method="GET", target=f"/v1/messages/batches/{batch['id']}").json()
        return found["processing_status"] == "ended" and found

    done = wait_until(ended, 10, "the batch ends")
    assert done["results_url"] == f"http://gateway.test/v1/messages/batches/{batch['id']}/results"
    results = ask(through, method="GET", target=done["results_url"].split("gateway.test", 1)[1])
    assert json.loads(results.body.splitlines()[0])["custom_id"] == "a-1"


def test_the_simulator_saw_no_request_that_a_well_behaved_gateway_would_not_send(through, simulator):
    assert ask(through, message()).status == 200
    assert control(simulator, "GET", "/sim/stats")["strict_violations"] == 0
    rows = control(simulator, "GET", "/sim/ledger")["requests"]
    assert rows and all(CREDENTIAL.endswith(row["key_suffix"]) for row in rows)
