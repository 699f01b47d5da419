// The streams of the cases. Each is written as text, so that the spelling of numbers and escapes is that of the case.
const event = (name, data) => `event: ${name}\ndata: ${data}\n\n`;

const usage = '{"input_tokens":412,"cache_creation_input_tokens":0,"cache_read_input_tokens":3072,'
  + '"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":2,'
  + '"service_tier":"standard","inference_geo":"global"}';

export const start = (more = '', counts = usage) =>
  event('message_start', '{"type":"message_start","message":{"id":"msg_01Ab","type":"message","role":"assistant",'
    + `"model":"claude-opus-4-8","content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null${more},`
    + `"usage":${counts}}}`);
export const begin = (index, block) =>
  event('content_block_start', `{"type":"content_block_start","index":${index},"content_block":${block}}`);
export const delta = (index, what) =>
  event('content_block_delta', `{"type":"content_block_delta","index":${index},"delta":${what}}`);
export const stop = (index) => event('content_block_stop', `{"type":"content_block_stop","index":${index}}`);
const text = (index, string) => delta(index, `{"type":"text_delta","text":${string}}`);
const input = (index, json) => delta(index, `{"type":"input_json_delta","partial_json":${JSON.stringify(json)}}`);
const citation = (index, what) => delta(index, `{"type":"citations_delta","citation":${what}}`);
const ping = event('ping', '{"type": "ping"}');
export const end = (reason = 'end_turn', more = '', counts = '{"output_tokens":97}', own = '') =>
  event('message_delta', `{"type":"message_delta","delta":{"stop_reason":"${reason}","stop_sequence":null,`
    + `"stop_details":null${more}},"usage":${counts}${own}}`)
  + event('message_stop', '{"type":"message_stop"}');

const whole_text = (index, string) => begin(index, '{"type":"text","text":""}') + text(index, string) + stop(index);
const tool = (index, ...pieces) =>
  begin(index, `{"type":"tool_use","id":"toolu_0${index}","name":"get_weather","input":{},"caller":{"type":"direct"}}`)
  + pieces.map((piece) => input(index, piece)).join('') + stop(index);

// `sdks`: who gives this message: all four helpers (unless told), `beta` ones, or those of the `newest` SDK (0.x repairs
// what is no JSON). `fails`: no message comes of it.
export const streams = {
  text: { stream: start() + begin(0, '{"type":"text","text":""}') + ping + text(0, '"Hello"') + text(0, '", wörld"')
    + text(0, '""') + text(0, '"!\\n\\t\\"\\\\\\/"') + stop(0) + end() },

  composed: { stream: start(',"container":null')
    + begin(0, '{"type":"thinking","thinking":"","signature":""}') + ping
    + delta(0, '{"type":"thinking_delta","thinking":"The user wants the weather ","estimated_tokens":9}')
    + delta(0, '{"type":"thinking_delta","thinking":"in Bern."}')
    + delta(0, '{"type":"signature_delta","signature":"EqQBCkYIBxgCKkDx0aP=="}') + stop(0)
    + begin(1, '{"type":"text","text":""}') + text(1, '"I will look that up"') + text(1, '" – één moment."') + stop(1)
    + tool(2, '', '{"city": "Be', 'rn", "days": 1}')
    + end('tool_use', ',"container":null', '{"input_tokens":412,"cache_creation_input_tokens":0,'
      + '"cache_read_input_tokens":3072,"output_tokens":97,"output_tokens_details":{"thinking_tokens":31}}') },

  characters: { stream: start() + begin(0, '{"type":"text","text":""}')
    + text(0, '"\\ud83d"') + text(0, '"\\ude42 \\u00e9 \\u0000 ✓ "') + text(0, '"🙂 \\u2028\\u007f"') + stop(0)
    + begin(1, '{"type":"thinking","thinking":"\\ud83d","signature":""}')
    + delta(1, '{"type":"thinking_delta","thinking":"\\ude00 grin"}')
    + delta(1, '{"type":"signature_delta","signature":"first"}')
    + delta(1, '{"type":"signature_delta","signature":"sec\\u006fnd=="}') + stop(1) + end() },

  citations: { stream: start()
    + begin(0, '{"type":"text","text":"","citations":[]}') + text(0, '"the grass is green"')
    + citation(0, '{"type":"char_location","cited_text":"The grass is green.","document_index":0,'
      + '"document_title":"Example","start_char_index":0,"end_char_index":20}') + stop(0)
    + begin(1, '{"type":"text","text":"","citations":null}')
    + citation(1, '{"type":"page_location","cited_text":"Water","document_index":1,"start_page_number":5,'
      + '"end_page_number":6}') + text(1, '"water"')
    + citation(1, '{"type":"content_block_location","cited_text":"a]}\\"","start_block_index":0}') + stop(1)
    + begin(2, '{"type":"text","text":"","citations":[ {"type":"first"} ]}') + text(2, '"three"')
    + citation(2, '{"type":"second"}') + citation(2, '{"type":"third"}') + stop(2)
    + begin(3, '{"type":"text","text":"kept "}') + citation(3, '{"type":"only"}') + text(3, '"whole"') + stop(3)
    + end() },

  tool_inputs: { stream: start()
    + tool(0, '')
    + tool(1)
    + tool(2, '{"q": "\\ud83d', '\\ude00", "esc": "a\\', '"b\\\\", "u": "\\u00', 'e9é"', '}')
    + tool(3, '{"numbers": [1.0, 1e5, -0.0, 12345678901234567890, 1E-2', ', 3], "deep": {"a": {"b": [[], {}, null]}}}')
    + begin(4, '{"type":"tool_use","id":"toolu_9","name":"f","input":{"at":"once"}}') + stop(4)
    + begin(5, '{"type":"tool_use","id":"toolu_8","name":"f","input":{"old":1}}') + input(5, '{"new": 2}') + stop(5)
    + tool(6, '  {\n  "pretty": true\n}\n')
    + begin(7, '{"type":"tool_use","id":"toolu_7","input":{},"name":"f"}')
    + delta(7, '{"type":"input_json_delta","partial_json":"{\\"pair\\":\\"\\ud83d"}')
    + delta(7, '{"type":"input_json_delta","partial_json":"\\ude00\\"}"}') + stop(7)
    + tool(8, '[1, 2]') + end('tool_use') },

  inputs_cut_at_max_tokens: { stream: start()
    + ['{', '{"a', '{"a"', '{"a":', '{"a": 1', '{"a": 1,', '{"a": 1, "b', '{"a": 1, "b": "x', '{"a": "x"',
      '{"a": "x", "b": tru', '{"a": [1, 2', '{"a": [1, 2, ', '{"a": [true, "x", "y', '{"a": {"b": {"c": null, "d": 1.5e',
      '{"a": {"b": 1}', '{"a": {"b": 1}, ', '{"a": "\\', '{"a": ["\\u00', '{"a": [{"b": [-', '{"a": [1.'
    ].map((json, index) => tool(index, json)).join('') + end('max_tokens') },

  server_tools: { stream: start()
    + whole_text(0, '"Searching."')
    + begin(1, '{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}')
    + input(1, '') + input(1, '{"query": "claude ') + input(1, 'shannon"}') + stop(1)
    + begin(2, '{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result",'
      + '"title":"Claude Shannon","url":"https://example.com/","encrypted_content":"EqgfCioIARgBIiQ3",'
      + '"page_age":"April 30, 2025"}]}') + stop(2)
    + begin(3, '{"type":"text","text":"","citations":[]}') + text(3, '"Born 1916."')
    + citation(3, '{"type":"web_search_result_location","cited_text":"1916","url":"https://example.com/","title":"C",'
      + '"encrypted_index":"Eo8B"}') + stop(3)
    + begin(4, '{"type":"redacted_thinking","data":"EmwKAhgB"}') + stop(4)
    + end('end_turn', ',"container":{"id":"container_1","expires_at":"2026-01-01T00:00:00Z"}',
      '{"input_tokens":10682,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":510,'
      + '"server_tool_use":{"web_search_requests":1}}') },

  usage_is_overwritten: { stream: start('', usage.replace('"output_tokens":2', '"output_tokens":2,"server_tool_use":null'))
    + whole_text(0, '"x"')
    + end('end_turn', ',"container":null', '{"input_tokens":0,"cache_creation_input_tokens":null,'
      + '"cache_read_input_tokens":7,"output_tokens":1.0,"server_tool_use":null,"output_tokens_details":null}') },

  several_message_deltas: { stream: start() + whole_text(0, '"x"')
    + event('message_delta', '{"type":"message_delta","delta":{"stop_reason":"pause_turn","stop_sequence":null,'
      + '"stop_details":null,"container":{"id":"c1"}},"usage":{"input_tokens":500,"output_tokens":50}}')
    + ping + end('end_turn', ',"container":null', '{"output_tokens":60}') },

  refusal: { stream: start() + whole_text(0, '"I"')
    + event('message_delta', '{"type":"message_delta","delta":{"stop_reason":"refusal","stop_sequence":null,'
      + '"stop_details":{"type":"refusal","category":"cyber","explanation":null}},"usage":{"output_tokens":1}}')
    + event('message_stop', '{"type":"message_stop"}') },

  stop_sequence: { stream: start() + whole_text(0, '"1, 2, "')
    + event('message_delta', '{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"3\\u002c",'
      + '"stop_details":null},"usage":{"output_tokens":8}}')
    + event('message_stop', '{"type":"message_stop"}') },

  no_content: { stream: start() + end() },

  unknown_things: { stream: start(',"future_member":{"a":[1,2]},"diagnostics":null') + event('future_event', '{"type":"future_event","index":99}')
    + begin(0, '{"type":"text","text":"","future":{"b":1},"more":[]}') + text(0, '"a"')
    + delta(0, '{"type":"future_delta","future":[null,true]}')
    + delta(0, '{"type":"thinking_delta","thinking":"not here"}') + text(0, '"b"') + stop(0)
    + begin(1, '{"type":"future_block","text":"as it is","parts":[{"c":2.50}]}') + text(1, '"ignored"') + stop(1)
    + begin(2, '{"type":"thinking","thinking":"","signature":"","future":true}')
    + delta(2, '{"type":"signature_delta","signature":"only=="}') + text(2, '"ignored"') + stop(2) + end() },

  framing: { stream: '\uFEFF: comment\r\n\r\n' + (start() + whole_text(0, '"x"')).replaceAll('\n', '\r\n')
    + ': keep-alive\n\n' + 'data: {"type":"nameless"}\n\n' + 'event: content_block_start\ndata: {"type":"content_block_start",\n'
    + 'data: "index":1,\ndata:"content_block":{"type":"text","text":"multi"}}  \nretry: 5\n\n'
    + text(1, '" line"').replaceAll('\n', '\r') + stop(1) + end() },

  mcp: { sdks: 'beta', stream: start()
    + begin(0, '{"type":"mcp_tool_use","id":"mcptoolu_1","name":"echo","server_name":"s","input":{}}')
    + input(0, '{"say": ') + input(0, '"hi"}') + stop(0)
    + begin(1, '{"type":"mcp_tool_result","tool_use_id":"mcptoolu_1","is_error":false,'
      + '"content":[{"type":"text","text":"hi"}]}') + stop(1) + end() },

  compaction: { sdks: 'beta', stream: start()
    + begin(0, '{"type":"compaction","content":null}')
    + delta(0, '{"type":"compaction_delta","content":"Summary so far.","encrypted_content":"Eabc=="}') + stop(0)
    + begin(1, '{"type":"compaction","content":"old","encrypted_content":null}')
    + delta(1, '{"type":"compaction_delta","content":null}') + stop(1)
    + whole_text(2, '"go on"')
    + end('compaction', '', '{"output_tokens":12,"iterations":[{"type":"compaction","input_tokens":1000,'
      + '"output_tokens":30},{"type":"message","model":"claude-opus-4-8","input_tokens":50,"output_tokens":12}]}',
      ',"context_management":{"applied_edits":[{"type":"clear_tool_uses_20250919","cleared_tool_uses":3,'
      + '"cleared_input_tokens":1.0e3}]}') },

  fallback: { sdks: 'beta', stream: start()
    + begin(0, '{"type":"fallback","from":{"model":"claude-opus-4-8"},"to":{"model":"claude-haiku-4-5"},'
      + '"trigger":{"type":"refusal"}}') + stop(0)
    + whole_text(1, '"From another."')
    + end('end_turn', '', '{"output_tokens":5,"iterations":null,"fallback_credit":{"status":{"type":"redeemed"}}}',
      ',"context_management":null,"input_transformations":[{"type":"t"}]') },

  error_event: { fails: true, stream: start() + begin(0, '{"type":"text","text":""}') + text(0, '"Hel"')
    + event('error', '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}') },
  cut: { fails: true, stream: start() + begin(0, '{"type":"text","text":""}') + text(0, '"Hel"') },
  empty: { fails: true, stream: ping },
  second_start: { fails: true, stream: start() + whole_text(0, '"x"') + start() + end() },
  broken_json: { fails: true, stream: start() + begin(0, '{"type":"text","text":""}')
    + event('content_block_delta', '{"type":"content_block_delta","index":0,"delta":{"type":"text_del') + end() },
  broken_tool_input: { sdks: 'newest', fails: true, stream: start() + tool(0, '{"a": 1}}') + end('tool_use') },
  tool_input_of_words: { sdks: 'newest', fails: true, stream: start() + tool(0, '{"a": nope, ') + end('tool_use') },
};
