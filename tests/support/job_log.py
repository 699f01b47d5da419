"""The log of a job read anew: its events, and the message that they stand for. Nothing is shared with the gateway."""

import copy
import json

PING = b": ping\n\n"
FINAL = {"succeeded", "failed", "cancelled", "expired", "dead"}
APPENDED = {"text_delta": "text", "thinking_delta": "thinking"}


def whole_events(payload):
    """What of a stream that was cut anywhere is certain: events that came whole, without comments."""
    payload = payload.replace(PING, b"")
    return payload[: payload.rfind(b"\n\n") + 2] if b"\n\n" in payload else b""


def last_id(log):
    at = log.rfind(b"\nid: ") + 1 if not log.startswith(b"id: ") or b"\nid: " in log else 0
    return int(log[at + 4 : log.index(b"\n", at)]) if log else 0


def parse(log):
    """[(id, name, data)] of a log in which every event has the form that the gateway writes: id, event, data."""
    assert log.endswith(b"\n\n"), f"the log ends inside an event: {log[-100:]!r}"
    events = []
    for text in log[:-2].split(b"\n\n"):
        lines = text.split(b"\n")
        assert len(lines) == 3, lines
        for line, name in zip(lines, (b"id: ", b"event: ", b"data: ")):
            assert line.startswith(name), lines
        events.append((int(lines[0][4:]), lines[1][7:].decode(), json.loads(lines[2][6:])))
    return events


def check(log, status):
    """The events of a log that is whole: ids from 1 without a gap, one last event that tells the status."""
    events = parse(log)
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1)), [number for number, _, _ in events]
    ends = [data for _, name, data in events if name == "job"]
    assert len(ends) == 1 and events[-1][1] == "job", events[-1]
    assert ends[0]["status"] == status, (ends, status)
    return events


def assembled(events):
    """The message behind the last restart; None when it is not complete."""
    message = None
    inputs = {}
    complete = False
    for _, name, data in events:
        if name == "restart":
            message, inputs, complete = None, {}, False
        elif name == "message_start":
            assert message is None, "a second message without a restart"
            message = copy.deepcopy(data["message"])
        elif name == "content_block_start":
            assert data["index"] == len(message["content"]), data
            message["content"].append(copy.deepcopy(data["content_block"]))
        elif name == "content_block_delta":
            block, delta = message["content"][data["index"]], data["delta"]
            if delta["type"] in APPENDED:
                block[APPENDED[delta["type"]]] += delta[APPENDED[delta["type"]]]
            elif delta["type"] == "signature_delta":
                block["signature"] = delta["signature"]
            elif delta["type"] == "input_json_delta":
                inputs[data["index"]] = inputs.get(data["index"], "") + delta["partial_json"]
            else:
                raise AssertionError(f"a delta that this test does not know: {delta}")
        elif name == "message_delta":
            message.update(data["delta"])
            message["usage"].update({key: value for key, value in data["usage"].items() if value is not None})
        elif name == "message_stop":
            complete = True
    for index, text in inputs.items():
        message["content"][index]["input"] = json.loads(text or "{}")
    return message if complete else None
