"""The official Python SDK, synchronous and asynchronous, of any major."""

import asyncio
import contextlib
import hashlib
import os

import anthropic
from checks import GATEWAY, KEY, MODEL, check, ledger, run_all, same_usage

MAJOR = int(anthropic.__version__.split(".")[0])
TOOL = {
    "name": "get_weather",
    "description": "The weather in a town.",
    "input_schema": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
}


def client(kind=anthropic.Anthropic, **options):
    return kind(**{"api_key": KEY, "base_url": GATEWAY, "max_retries": 0, **options})


def asynchronous(**options):
    return client(anthropic.AsyncAnthropic, **options)


def ask(content, **more):
    return {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": content}], **more}


def fault(text):
    return {"x-sim-fault": text}


@contextlib.contextmanager
def raises(kind, status=None):
    """The error itself is in `.error` of what this yields."""
    caught = contextlib.nullcontext()
    caught.error = None
    try:
        yield caught
    except kind as error:
        caught.error = error
        assert status is None or error.status_code == status, f"status {error.status_code}, not {status}"
        return
    raise AssertionError(f"no {kind.__name__}")


@check
def create():
    message = client().messages.create(**ask("x-sim-text: Grüezi 🙂 日本語"))
    assert message.content[0].text == "Grüezi 🙂 日本語"
    row = ledger.only()
    assert message._request_id == row["request_id"]
    assert row["headers"]["anthropic-version"] == ("2026-10-21" if MAJOR >= 1 else "2023-06-01")
    same_usage(message.usage, row)


@check
async def create_asynchronously():
    async with asynchronous() as c:
        message = await c.messages.create(**ask("x-sim-text: later"))
    assert message.content[0].text == "later"
    same_usage(message.usage, ledger.only())


@check
def bearer_token():
    assert client(api_key=None, auth_token=KEY).messages.create(**ask("Hi.")).id == ledger.only()["message_id"]


@check
def raw_response_headers():
    answer = client().messages.with_raw_response.create(**ask("Hi."))
    assert answer.headers["request-id"] == ledger.only()["request_id"]
    assert answer.headers["x-claude-proxy-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.parse().type == "message"


@check
def stream_helper():
    with client().messages.stream(**ask("x-sim-output-tokens: 150")) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert message.content[0].text == text and len(text) > 400
    row = ledger.only()
    assert row["usage"]["output_tokens"] == 150
    same_usage(message.usage, row)


@check
def raw_stream():
    types = [event.type for event in client().messages.create(**ask("x-sim-output-tokens: 50", stream=True))]
    assert types[:2] == ["message_start", "content_block_start"] and types[-2:] == [
        "message_delta",
        "message_stop",
    ], types


@check
async def stream_asynchronously():
    async with asynchronous() as c, c.messages.stream(**ask("x-sim-output-tokens: 150")) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        message = await stream.get_final_message()
    assert message.content[0].text == text
    same_usage(message.usage, ledger.only())


@check
async def fifty_streams_at_once():
    async with asynchronous() as c:

        async def one(n):
            async with c.messages.stream(**ask(f"x-sim-text: number {n} {'word ' * n}end")) as stream:
                return await stream.get_final_message()

        messages = await asyncio.gather(*(one(n) for n in range(50)))
    rows = {row["message_id"]: row for row in ledger.asked()}
    for n, message in enumerate(messages):
        assert message.content[0].text == f"number {n} {'word ' * n}end"
        same_usage(message.usage, rows[message.id])


@check
def tools_round_trip():
    question = {"role": "user", "content": "The weather in Bern?"}
    first = client().messages.create(model=MODEL, max_tokens=500, tools=[TOOL], messages=[question])
    call = next(block for block in first.content if block.type == "tool_use")
    assert first.stop_reason == "tool_use" and isinstance(call.input["town"], str)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    turns = [question, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = client().messages.create(model=MODEL, max_tokens=500, tools=[TOOL], messages=turns)
    assert second.stop_reason == "end_turn"
    with client().messages.stream(model=MODEL, max_tokens=500, tools=[TOOL], messages=[question]) as stream:
        streamed = stream.get_final_message()
    assert next(block for block in streamed.content if block.type == "tool_use").input == call.input


@check
def thinking_keeps_its_signature():
    body = ask("Think.", max_tokens=3000, thinking={"type": "enabled", "budget_tokens": 1500})
    whole = client().messages.create(**body)
    with client().messages.stream(**body) as stream:
        streamed = stream.get_final_message()
    assert whole.content[0].type == "thinking" and len(whole.content[0].signature) > 100
    assert streamed.content[0].signature == whole.content[0].signature
    assert streamed.content[0].thinking == whole.content[0].thinking
    for message, row in zip((whole, streamed), ledger.asked(), strict=True):
        same_usage(message.usage, row)


@check
def count_tokens():
    counted = client().messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "How long is this?"}])
    assert counted.input_tokens == client().messages.create(**ask("How long is this?")).usage.input_tokens


@check
def models():
    listed = [one.id for one in client().models.list(limit=4)]
    assert MODEL in listed and len(set(listed)) == len(listed) > 10
    assert client().models.retrieve(MODEL).id == MODEL


@check
def batches():
    c = client()
    requests = [{"custom_id": f"n{n}", "params": ask(f"Number {n}?")} for n in range(3)]
    batch = c.messages.batches.create(requests=requests)
    done = ledger.eventually(
        "the batch has ended",
        lambda: (now := c.messages.batches.retrieve(batch.id)).processing_status == "ended" and now,
    )
    assert done.results_url == f"{GATEWAY}/v1/messages/batches/{batch.id}/results"
    results = {one.custom_id: one.result.message.content[0].text for one in c.messages.batches.results(batch.id)}
    assert results == {f"n{n}": c.messages.create(**ask(f"Number {n}?")).content[0].text for n in range(3)}
    assert [row["key_suffix"] for row in ledger.asked() if row["path"].endswith("/results")] == ["m-0001"]
    assert batch.id in [one.id for one in c.messages.batches.list(limit=2)]
    assert c.messages.batches.delete(batch.id).id == batch.id
    slow = c.messages.batches.create(requests=requests, extra_headers={"x-sim-batch-delay-ms": "600000"})
    assert c.messages.batches.cancel(slow.id).processing_status == "canceling"


@check
def files():
    content = os.urandom(200_000)
    c = client().beta.files
    made = c.upload(file=("some.bin", content, "application/octet-stream"))
    stored = [one for one in ledger.control("GET", "/sim/files")["files"] if one["id"] == made.id]
    assert stored[0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert c.retrieve_metadata(made.id).size_bytes == len(content)
    assert c.download(made.id).read() == content
    assert made.id in [one.id for one in c.list(limit=3)]
    c.delete(made.id)
    with raises(anthropic.NotFoundError, 404):
        c.retrieve_metadata(made.id)


@check
def beta_headers_arrive():
    client().beta.messages.create(**ask("Hi."), betas=["one-2026-01-01", "two-2026-02-02"])
    assert ledger.only()["headers"]["anthropic-beta"] == "one-2026-01-01,two-2026-02-02"


@check
def errors_are_their_exceptions():
    with raises(anthropic.AuthenticationError, 401) as caught:
        client(api_key="sk-cp-wrong").messages.create(**ask("Hi."))
    assert caught.error.body["error"]["details"]["reason"] == "credential_invalid" and caught.error.request_id
    assert ledger.asked() == []
    with raises(anthropic.NotFoundError, 404) as caught:
        client().messages.create(**ask("Hi.", model="claude-nobody"))
    assert caught.error.request_id == ledger.only()["request_id"]
    with raises(anthropic.BadRequestError, 400):
        client().messages.create(**ask("Hi.", max_tokens=-1))
    kinds = {
        403: anthropic.PermissionDeniedError,
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
        529: anthropic.OverloadedError,
    }
    for status, kind in kinds.items():
        with raises(kind, status) as caught:
            client().messages.create(**ask("Hi."), extra_headers=fault(f"status={status};retry-after=7"))
        assert caught.error.response.headers["retry-after"] == "7"


@check
def retries():
    ledger.arm("status=529;retry-after=0")
    assert client(max_retries=2).messages.create(**ask("x-sim-text: again")).content[0].text == "again"
    assert [row["headers"]["x-stainless-retry-count"] for row in ledger.asked()] == ["0", "1"]


@check
def should_retry_false_is_obeyed():
    ledger.arm("status=500;should-retry=false", 5)
    with raises(anthropic.InternalServerError, 500):
        client(max_retries=3).messages.create(**ask("Hi."))
    assert len(ledger.asked()) == 1


@check
def overloaded_before_content_is_repeated_by_the_gateway():
    ledger.arm("overload-in-stream=start")
    with client().messages.stream(**ask("x-sim-text: fine")) as stream:
        assert stream.get_final_text() == "fine"
    assert [row["headers"]["x-stainless-retry-count"] for row in ledger.asked()] == ["0", "0"]


@check
def error_event_after_content():
    with raises(anthropic.APIStatusError) as caught:
        for _ in client().messages.create(**ask("Hi.", stream=True), extra_headers=fault("overload-in-stream=content")):
            pass
    assert caught.error.body["error"]["type"] == "overloaded_error"


@check
def cut_stream_ends_in_an_error():
    with raises(anthropic.APIStatusError) as caught:
        for _ in client().messages.create(
            **ask("x-sim-output-tokens: 200", stream=True), extra_headers=fault("cut-after-events=8")
        ):
            pass
    assert caught.error.body["error"]["details"]["reason"] == "upstream_cut"


@check
def leaving_a_stream_cancels_it():
    stream = client().messages.create(
        **ask("x-sim-output-tokens: 5000", stream=True), extra_headers=fault("event-interval=20")
    )
    next(iter(stream))
    stream.close()
    ledger.eventually("the upstream call was cancelled", lambda: ledger.only()["client_left"])


@check
async def cancelling_a_task_cancels_it():
    async with asynchronous() as c:
        call = asyncio.create_task(c.messages.create(**ask("Hi."), extra_headers=fault("slow-head=30000")))
        while not ledger.asked():
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        ledger.eventually("the upstream call was cancelled", lambda: ledger.only()["client_left"])


@check
def timeout():
    with raises(anthropic.APITimeoutError):
        client(timeout=0.3).messages.create(**ask("Hi."), extra_headers=fault("slow-head=30000"))
    ledger.eventually("the upstream call was cancelled", lambda: ledger.only()["client_left"])


@check
def five_megabytes():
    message = client().messages.create(**ask("Größe " * 900_000))
    same_usage(message.usage, ledger.only())
    assert message.usage.input_tokens > 1_000_000


run_all()
