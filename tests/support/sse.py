"""Server-sent events: a strict parser (WHATWG event stream format) and streams to be served by a scripted upstream."""

import json


def parse(data):
    """[(event, data)] for a complete stream. An unfinished last event is a failure: SDKs may lose it."""
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    assert lines[-1] == b"", f"the stream ends inside a line: {lines[-1]!r}"
    events, name, texts, fields = [], b"", [], 0
    for line in lines[:-1]:
        if not line:
            if texts:
                events.append((name.decode(), b"\n".join(texts)))
            name, texts, fields = b"", [], 0
            continue
        if line.startswith(b":"):
            continue
        fields += 1
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"event":
            name = value
        elif field == b"data":
            texts.append(value)
    assert fields == 0, f"the stream ends inside an event: ...{data[-200:]!r}"
    return events


def event(name, payload):
    text = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    return f"event: {name}\ndata: {text}\n\n".encode()


def ping():
    return event("ping", {"type": "ping"})


def message_start(model="claude-opus-4-8", padding=""):
    message = {
        "id": "msg_01Ab",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "container": None,
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": 412,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 3072,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 2,
            "service_tier": "standard",
            "inference_geo": "global",
        },
    }
    if padding:
        message["padding"] = padding
    return event("message_start", {"type": "message_start", "message": message})


def block_start(index=0, block=None):
    block = block or {"type": "text", "text": ""}
    return event("content_block_start", {"type": "content_block_start", "index": index, "content_block": block})


def text_delta(text, index=0):
    return delta({"type": "text_delta", "text": text}, index)


def delta(fields, index=0):
    return event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": fields})


def block_stop(index=0):
    return event("content_block_stop", {"type": "content_block_stop", "index": index})


def ending(output_tokens=97, stop_reason="end_turn"):
    usage = {
        "input_tokens": 412,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 3072,
        "output_tokens": output_tokens,
    }
    return event(
        "message_delta",
        {"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": None}, "usage": usage},
    ) + event("message_stop", {"type": "message_stop"})


def error(kind="overloaded_error", message="Overloaded"):
    return event("error", error_object(kind, message))


def error_object(kind="overloaded_error", message="Overloaded"):
    return {"type": "error", "error": {"type": kind, "message": message}}


def preamble():
    """What comes before the first real content."""
    return message_start() + block_start()


def short_stream(text="Hello"):
    return preamble() + text_delta(text) + block_stop() + ending()


def example_stream():
    """The shape of the protocol reference's complete example: thinking, text, a tool call, a ping in between."""
    return b"".join(
        [
            message_start(),
            block_start(0, {"type": "thinking", "thinking": "", "signature": ""}),
            ping(),
            delta({"type": "thinking_delta", "thinking": "The user wants the weather in Bern."}, 0),
            delta({"type": "signature_delta", "signature": "EqQBCkYIBxgCKkDx0aP=="}, 0),
            block_stop(0),
            block_start(1),
            text_delta("I will look that up", 1),
            text_delta(" – één moment.", 1),
            block_stop(1),
            block_start(
                2,
                {
                    "type": "tool_use",
                    "id": "toolu_01Xy",
                    "name": "get_weather",
                    "input": {},
                    "caller": {"type": "direct"},
                },
            ),
            delta({"type": "input_json_delta", "partial_json": ""}, 2),
            delta({"type": "input_json_delta", "partial_json": '{"city": "Be'}, 2),
            delta({"type": "input_json_delta", "partial_json": 'rn", "days": 1}'}, 2),
            block_stop(2),
            ending(stop_reason="tool_use"),
        ]
    )


def first_content_end(stream):
    """Offset just after the first content_block_delta event: from here on a retry would repeat content."""
    at = stream.index(b"event: content_block_delta")
    return stream.index(b"\n\n", at) + 2
