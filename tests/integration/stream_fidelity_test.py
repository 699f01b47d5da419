"""Event streams pass byte for byte, however odd they are, in however many pieces they come."""

import pytest

from support import sse
from support.client import request
from support.upstream import MESSAGE, always, stream_head

ASK = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"stream":true,"messages":[]}')
ASK_JSON = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]}')

START_STOP = sse.preamble() + sse.text_delta("a"), sse.block_stop() + sse.ending()
STREAMS = {
    "example": sse.example_stream(),
    "crlf": sse.example_stream().replace(b"\n", b"\r\n"),
    "cr": sse.example_stream().replace(b"\n", b"\r"),
    "comments": b": hi\n\n" + START_STOP[0] + b":\n: keep-alive\n\n" + START_STOP[1],
    "byte_order_mark": b"\xef\xbb\xbf" + sse.short_stream(),
    "no_event_lines": b"".join(b"data: " + data + b"\n\n" for _, data in sse.parse(sse.example_stream())),
    "no_space_after_colon": sse.example_stream().replace(b"event: ", b"event:").replace(b"data: ", b"data:"),
    "data_before_event": b"".join(
        b"data: " + data + b"\nevent: " + name.encode() + b"\n\n" for name, data in sse.parse(sse.example_stream())
    ),
    "id_and_retry_fields": sse.example_stream().replace(b"data: ", b"id: 7\nretry: 10\nx\nx: y\ndata: "),
    "data_on_several_lines": START_STOP[0]
    + b'event: content_block_delta\ndata: {"type":"content_block_delta",\ndata: "index":0,\n'
    b'data:"delta":{"type":"text_delta","text":"a"}}\n\n' + START_STOP[1],
    "unknown_events": START_STOP[0]
    + b'event: future\ndata: {"type":"future"}\n\nevent: x\ndata: not json\n\n'
    + START_STOP[1],
    "unknown_event_first": b'event: future\ndata: {"type":"future"}\n\n' + sse.short_stream(),
    "trailing_spaces_in_data": sse.example_stream().replace(b"}\n\n", b"}    \n\n"),
    "extra_blank_lines": sse.example_stream().replace(b"\n\n", b"\n\n\n\n"),
    "ping_first": sse.ping() + sse.example_stream(),
    "event_of_one_mb": START_STOP[0] + sse.text_delta("é" * 500_000) + START_STOP[1],
    "message_start_of_300_kb": sse.message_start(padding="p" * 300_000)
    + sse.block_start()
    + sse.text_delta("a")
    + START_STOP[1],
    "thousand_deltas": START_STOP[0] + b"".join(sse.text_delta(f"{n} ") for n in range(1000)) + START_STOP[1],
    "error_in_the_middle": START_STOP[0] + sse.error(),
    "tool_json_with_split_escapes": sse.preamble()
    + sse.delta({"type": "input_json_delta", "partial_json": '{"a":"\\ud83d'})
    + sse.delta({"type": "input_json_delta", "partial_json": '\\ude00"}'})
    + START_STOP[1],
    "no_content": sse.message_start() + sse.ending(),
    "complete_block_at_start": sse.message_start()
    + sse.block_start(0, {"type": "web_search_tool_result", "content": []})
    + sse.block_stop()
    + sse.ending(),
    "invalid_json_in_data": START_STOP[0] + b"event: content_block_delta\ndata: {oops\n\n" + START_STOP[1],
    "invalid_utf_8": START_STOP[0] + b'event: content_block_delta\ndata: {"text":"\xff\xfe"}\n\n' + START_STOP[1],
}


@pytest.mark.parametrize("pieces", ["at_once", "odd_pieces", "one_byte_chunks"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_passes_byte_for_byte(gateway, upstream, name, pieces):
    stream = STREAMS[name]
    if pieces == "one_byte_chunks" and len(stream) > 20_000:
        stream = stream[:200] + stream[-2000:] if name == "thousand_deltas" else sse.short_stream()
    size = {"at_once": len(stream), "odd_pieces": 997, "one_byte_chunks": 1}[pieces]
    parts = [stream[at : at + size] for at in range(0, len(stream), size)]
    wire = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    upstream.handler = always(stream_head(), *(wire[at : at + 4001] for at in range(0, len(wire), 4001)))
    with gateway.client() as client:
        response = client.ask(ASK)
        assert response.status == 200
        assert response.body == stream
        assert response.trailers == []
        upstream.handler = upstream.default
        assert client.ask(ASK_JSON).body == MESSAGE, "the next answer of this connection is off"


def test_a_stream_without_framing_ends_with_its_connection(gateway, upstream):
    stream = sse.example_stream()
    upstream.handler = lambda call, peer: (peer.send(stream_head(chunked=False), stream), peer.cut())
    assert gateway.ask(ASK).body == stream


def test_event_streams_of_other_routes_pass(gateway, upstream):
    stream = b'event: session.status\ndata: {"a":1.0}\n\nevent: agent.message\ndata: x\n\n: done\n\n'
    upstream.handler = lambda call, peer: peer.stream(stream).end()
    response = gateway.ask(request("GET", "/v1/sessions/s_1/events/stream?beta=true"))
    assert response.body == stream
