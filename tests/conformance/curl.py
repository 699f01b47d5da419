"""curl, and through it plain HTTP/1.1 and HTTP/1.0."""

import hashlib
import json
import os
import subprocess
import tempfile

from checks import GATEWAY, KEY, MODEL, check, ledger, run_all

JSON = ["-H", "content-type: application/json", "-H", "anthropic-version: 2023-06-01"]
AUTH = ["-H", f"x-api-key: {KEY}"]
MESSAGES = f"{GATEWAY}/v1/messages"


def body(content, **more):
    return json.dumps({"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": content}], **more})


class Answer:
    """Head (of the last response), body and curl's own story of one transfer."""

    def __init__(self, run, head):
        self.code, self.body, self.story = run.returncode, run.stdout, run.stderr.decode("utf-8", "replace")
        last = head.strip().split("\r\n\r\n")[-1]
        self.version, self.status = last.split(" ")[0], int(last.split(" ")[1])
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in last.split("\r\n")[1:])
        }
        self.interim = "HTTP/1.1 100 " in head

    def json(self):
        return json.loads(self.body)


def curl(*arguments, data=None):
    with tempfile.NamedTemporaryFile() as head:
        command = [
            "curl",
            "--silent",
            "--show-error",
            "--verbose",
            "--max-time",
            "60",
            "--dump-header",
            head.name,
            *arguments,
        ]
        if data is not None:
            command += ["--data-binary", "@-"]
        run = subprocess.run(
            command, input=data.encode() if data is not None else b"", capture_output=True, timeout=90, check=False
        )
        answer = Answer(run, head.read().decode())
    assert answer.code == 0, f"curl ended with {answer.code}: {answer.story[-500:]}"
    return answer


def text_of(stream):
    events = [json.loads(line[6:]) for line in stream.decode().split("\n") if line.startswith("data: ")]
    assert events[0]["type"] == "message_start" and events[-1]["type"] == "message_stop", [
        event["type"] for event in events
    ]
    return "".join(event["delta"]["text"] for event in events if event.get("delta", {}).get("type") == "text_delta")


@check
def plain_request():
    answer = curl(*AUTH, *JSON, MESSAGES, data=body("x-sim-text: hello"))
    assert answer.status == 200 and answer.json()["content"][0]["text"] == "hello"
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.headers["request-id"] == ledger.only()["request_id"]
    assert answer.headers["cache-control"] == "no-store"


@check
def bearer_token():
    assert curl("-H", f"Authorization: Bearer {KEY}", *JSON, MESSAGES, data=body("Hi.")).status == 200


@check
def stream():
    answer = curl("-N", *AUTH, *JSON, MESSAGES, data=body("x-sim-text: a stream of words", stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert text_of(answer.body) == "a stream of words"


@check
def stream_comes_as_it_is_made():
    command = [
        "curl",
        "-sN",
        *AUTH,
        *JSON,
        "-H",
        "x-sim-fault: event-interval=50",
        MESSAGES,
        "-d",
        body("x-sim-output-tokens: 60", stream=True),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        while b"text_delta" not in child.stdout.readline():
            assert child.poll() is None
        assert not ledger.only()["complete"], "the first words were seen before the last were made"
        rest = child.stdout.read()
    assert b"message_stop" in rest and child.returncode == 0


@check
def killed_client_cancels_the_call():
    command = [
        "curl",
        "-sN",
        *AUTH,
        *JSON,
        "-H",
        "x-sim-fault: event-interval=50",
        MESSAGES,
        "-d",
        body("x-sim-output-tokens: 5000", stream=True),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        while b"text_delta" not in child.stdout.readline():
            assert child.poll() is None
        child.kill()
    ledger.eventually("the upstream call was cancelled", lambda: ledger.only()["client_left"])


@check
def expect_100_continue():
    answer = curl("--expect100-timeout", "30", "-H", "Expect: 100-continue", *AUTH, *JSON, MESSAGES, data=body("Hi."))
    assert answer.interim, "100 Continue came"
    assert answer.status == 200


@check
def expect_100_continue_of_three_megabytes():
    # curl asks by itself above 1 MiB.
    answer = curl("--expect100-timeout", "30", *AUTH, *JSON, MESSAGES, data=body("x" * (3 << 20)))
    assert answer.interim and answer.status == 200


@check
def expect_100_continue_is_refused_before_the_body():
    for arguments, status in (([*AUTH], 413), (["-H", "x-api-key: wrong"], 401)):
        answer = curl("--expect100-timeout", "30", *arguments, *JSON, MESSAGES, data=body("x" * (33 << 20)))
        assert answer.status == status and not answer.interim, (answer.status, answer.interim)
        assert ledger.asked() == []


@check
def http_1_0():
    answer = curl("--http1.0", *AUTH, *JSON, MESSAGES, data=body("x-sim-text: old"))
    assert answer.status == 200 and answer.json()["content"][0]["text"] == "old"
    assert "transfer-encoding" not in answer.headers


@check
def http_1_0_stream():
    answer = curl("--http1.0", "-N", *AUTH, *JSON, MESSAGES, data=body("x-sim-text: an old stream", stream=True))
    assert "transfer-encoding" not in answer.headers, "HTTP/1.0 knows no chunks"
    assert text_of(answer.body) == "an old stream"


@check
def head():
    for path in ("/", "/api/hello"):
        assert curl("--head", GATEWAY + path).status == 200
    listed = curl("--head", *AUTH, *JSON, f"{GATEWAY}/v1/models")
    assert listed.body.count(b"\r\n\r\n") == 1, "a head and nothing behind it"
    assert listed.status in (200, 405), listed.status


@check
def health():
    assert curl(f"{GATEWAY}/health").status == 200
    assert curl(f"{GATEWAY}/ready").status == 200


@check
def chunked_body():
    answer = curl("-H", "Transfer-Encoding: chunked", *AUTH, *JSON, MESSAGES, data=body("x-sim-text: in pieces"))
    assert answer.json()["content"][0]["text"] == "in pieces"


@check
def connection_is_kept():
    answer = curl(
        *AUTH, *JSON, "-d", body("One."), MESSAGES, "--next", "-sv", *AUTH, *JSON, "-d", body("Two."), MESSAGES
    )
    assert answer.story.count("Re-using existing connection") == 1, answer.story[-800:]
    assert len(ledger.asked()) == 2


@check
def connection_close_is_obeyed():
    answer = curl("-H", "Connection: close", *AUTH, *JSON, MESSAGES, data=body("Hi."))
    assert answer.status == 200 and answer.headers["connection"].lower() == "close"


@check
def asking_for_compression_changes_nothing():
    answer = curl("--compressed", *AUTH, *JSON, MESSAGES, data=body("x-sim-text: plain"))
    assert "content-encoding" not in answer.headers and answer.json()["content"][0]["text"] == "plain"


@check
def refusals():
    def refused(status, reason, *arguments, **more):
        answer = curl(*arguments, **more)
        error = answer.json()
        assert (answer.status, error["type"], error["error"]["details"]["reason"]) == (status, "error", reason), (
            answer.status,
            error,
        )
        assert error["request_id"] == answer.headers["request-id"] == answer.headers["x-claude-proxy-request-id"]
        assert answer.headers["x-should-retry"] == "false"

    refused(401, "credential_missing", *JSON, MESSAGES, data=body("Hi."))
    refused(401, "credential_invalid", "-H", "x-api-key: wrong", *JSON, MESSAGES, data=body("Hi."))
    refused(405, "method_not_allowed", *AUTH, *JSON, MESSAGES)
    refused(404, "route_unknown", *AUTH, f"{GATEWAY}/nowhere")
    refused(400, "invalid_json", *AUTH, *JSON, MESSAGES, data="{not json")
    assert ledger.asked() == []


@check
def no_redirects_for_odd_paths():
    assert curl(*AUTH, *JSON, f"{GATEWAY}/v1/v1/messages", data=body("Hi.")).status == 200
    answer = curl("--path-as-is", *AUTH, *JSON, f"{GATEWAY}/v1/../v1/messages", data=body("Hi."))
    assert answer.status in (400, 404) and "location" not in answer.headers, answer.status


@check
def files_both_ways():
    content = os.urandom(3_000_000)
    with tempfile.NamedTemporaryFile(suffix=".bin") as source:
        source.write(content)
        source.flush()
        version = ["-H", "anthropic-version: 2023-06-01"]
        made = curl(
            *AUTH, *version, "-F", f"file=@{source.name};type=application/octet-stream", f"{GATEWAY}/v1/files"
        ).json()
    stored = [one for one in ledger.control("GET", "/sim/files")["files"] if one["id"] == made["id"]]
    assert stored[0]["sha256"] == hashlib.sha256(content).hexdigest()
    small = curl(*AUTH, *version, "-F", "file=abc;filename=small.txt;type=text/plain", f"{GATEWAY}/v1/files").json()
    answer = curl(*AUTH, *version, f"{GATEWAY}/v1/files/{small['id']}/content")
    assert answer.body == b"abc" and answer.headers["content-type"] == "text/plain"
    assert curl("-X", "DELETE", *AUTH, *version, f"{GATEWAY}/v1/files/{made['id']}").json()["type"] == "file_deleted"


@check
def batch_results():
    requests = [{"custom_id": f"n{n}", "params": json.loads(body(f"Number {n}?"))} for n in range(3)]
    made = curl(*AUTH, *JSON, f"{MESSAGES}/batches", data=json.dumps({"requests": requests})).json()
    batch = f"{MESSAGES}/batches/{made['id']}"
    done = ledger.eventually(
        "the batch has ended", lambda: (now := curl(*AUTH, *JSON, batch).json())["processing_status"] == "ended" and now
    )
    assert done["results_url"] == f"{batch}/results"
    lines = curl(*AUTH, *JSON, done["results_url"]).body.splitlines()
    assert sorted(json.loads(line)["custom_id"] for line in lines) == ["n0", "n1", "n2"]


run_all()
