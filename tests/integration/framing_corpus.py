"""Requests whose framing or syntax can be read in two ways, and odd ones that cannot.

REFUSED: name -> (bytes, statuses allowed). Sent with a valid key, so that nothing but the framing can be the reason.
ACCEPTED: name -> (pieces to send, [(method, target, body)] that must arrive upstream in this order).
"""

BODY = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]}'
assert len(BODY) == 0x39, "the chunk sizes below are written out"
LENGTH = str(len(BODY)).encode()
KEY = b"x-api-key: sk-cp-one\r\n"
HOST = b"Host: gateway.test\r\n"
LINE = b"POST /v1/messages HTTP/1.1\r\n"
GET = b"GET /v1/models HTTP/1.1\r\n"
CL = b"Content-Length: " + LENGTH + b"\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
CHUNK = b"%x\r\n%s\r\n" % (len(BODY), BODY)
LAST = b"0\r\n\r\n"

REFUSED = {}
ACCEPTED = {}


def refuse(name, data, *statuses):
    assert name not in REFUSED, name
    REFUSED[name] = (data, statuses or (400,))


def accept(name, pieces, *forwarded):
    assert name not in ACCEPTED, name
    ACCEPTED[name] = (
        [pieces] if isinstance(pieces, bytes) else pieces,
        list(forwarded) or [(b"POST", b"/v1/messages", BODY)],
    )


def post(fields, body=BODY, line=LINE):
    return line + HOST + KEY + fields + b"\r\n" + body


def get(fields=b"", line=GET):
    return line + HOST + KEY + fields + b"\r\n"


# Which length counts?
refuse("content_length_and_chunked", post(CL + TE, CHUNK + LAST))
refuse("chunked_and_content_length", post(TE + CL, CHUNK + LAST))
refuse("content_length_zero_and_chunked", post(b"Content-Length: 0\r\n" + TE, CHUNK + LAST))
refuse(
    "chunked_and_content_length_in_other_case",
    post(b"TRANSFER-encoding: chunked\r\ncontent-LENGTH: 4\r\n", CHUNK + LAST),
)
refuse("two_different_content_lengths", post(CL + b"Content-Length: 5\r\n"))
refuse("two_different_content_lengths_small_one_first", post(b"Content-Length: 5\r\n" + CL))
refuse("two_equal_content_lengths", post(CL + CL))
for title, value in {
    "list_of_equal": LENGTH + b", " + LENGTH,
    "list_of_different": LENGTH + b", 5",
    "trailing_comma": LENGTH + b",",
    "plus": b"+" + LENGTH,
    "minus": b"-" + LENGTH,
    "minus_zero": b"-0",
    "inner_space": b"5 7",
    "hexadecimal": b"0x39",
    "hex_digits": b"3a",
    "empty": b"",
    "only_spaces": b"   ",
    "exponent": b"1e2",
    "fraction": LENGTH + b".0",
    "overflow_of_64_bits": b"18446744073709551673",
    "twenty_five_digits": b"1" * 25,
    "quoted": b'"' + LENGTH + b'"',
    "vertical_tab_after": LENGTH + b"\x0b",
    "vertical_tab_before": b"\x0b" + LENGTH,
    "full_width_digits": "５７".encode(),
    "nul_after": LENGTH + b"\0",
    "non_breaking_space": b"\xa0" + LENGTH,
}.items():
    refuse("content_length_" + title, post(b"Content-Length: " + value + b"\r\n"))
for title, value in {
    "identity": b"identity",
    "chunked_identity": b"chunked, identity",
    "identity_chunked": b"identity, chunked",
    "gzip": b"gzip",
    "gzip_chunked": b"gzip, chunked",
    "xchunked": b"xchunked",
    "chunkedx": b"chunkedx",
    "chunked_with_parameter": b"chunked;q=1",
    "chunked_twice_in_list": b"chunked, chunked",
    "empty": b"",
    "only_a_comma": b",",
    "leading_comma": b",chunked",
    "trailing_comma": b"chunked,",
    "quoted": b'"chunked"',
    "vertical_tab_before": b"\x0bchunked",
    "vertical_tab_after": b"chunked\x0b",
    "form_feed_before": b"\x0cchunked",
    "nul_after": b"chunked\0",
    "carriage_return_inside": b"chun\rked",
    "two_words": b"chunked chunked",
    "high_byte_after": b"chunked\x85",
}.items():
    refuse("transfer_encoding_" + title, post(b"Transfer-Encoding: " + value + b"\r\n", CHUNK + LAST))
refuse("transfer_encoding_chunked_in_two_headers", post(TE + TE, CHUNK + LAST))
refuse(
    "transfer_encoding_chunked_and_identity_in_two_headers", post(TE + b"Transfer-Encoding: identity\r\n", CHUNK + LAST)
)
refuse("transfer_encoding_identity_and_content_length", post(b"Transfer-Encoding: identity\r\n" + CL))
refuse("transfer_encoding_with_space_before_colon", post(b"Transfer-Encoding : chunked\r\n", CHUNK + LAST))
refuse("transfer_encoding_with_tab_before_colon", post(b"Transfer-Encoding\t: chunked\r\n", CHUNK + LAST))
refuse("content_length_with_space_before_colon", post(b"Content-Length : " + LENGTH + b"\r\n"))
refuse("transfer_encoding_value_folded", post(b"Transfer-Encoding:\r\n chunked\r\n", CHUNK + LAST))
refuse("transfer_encoding_in_http_1_0", post(TE, CHUNK + LAST, b"POST /v1/messages HTTP/1.0\r\n"))

# Where does a line end?
refuse("bare_cr_in_request_line", get(line=b"GET /v1/models\r HTTP/1.1\r\n"))
refuse("bare_cr_in_header_value", get(b"X-A: b\rc\r\n"))
refuse("bare_cr_hides_a_header", post(b"X-A: b\rTransfer-Encoding: chunked\r\n" + CL))
refuse("bare_cr_after_header_value", get(b"X-A: b\r\r\n"))
refuse("bare_lf_ends_request_line", b"GET /v1/models HTTP/1.1\n" + HOST + KEY + b"\r\n")
refuse("bare_lf_ends_header", get(b"X-A: b\n"))
refuse("bare_lf_hides_a_header", post(b"X-A: b\nTransfer-Encoding: chunked\r\n" + CL))
refuse("bare_lf_ends_head", GET + HOST + KEY + b"\n")
refuse("bare_lf_ends_every_line", get().replace(b"\r\n", b"\n"))
refuse("bare_cr_ends_every_line", get().replace(b"\r\n", b"\r"))
refuse("obs_fold_with_space", get(b"X-A: b\r\n c\r\n"))
refuse("obs_fold_with_tab", get(b"X-A: b\r\n\tc\r\n"))
refuse("obs_fold_of_only_white_space", get(b"X-A: b\r\n \r\n"))
refuse("first_header_line_starts_with_space", GET + b" " + HOST + KEY + b"\r\n")
refuse("space_before_request_line", b" " + get())
refuse("bare_lf_before_request_line", b"\n" + get())
refuse("bare_cr_before_request_line", b"\r" + get())

# Characters that must not be there.
refuse("nul_in_header_value", get(b"X-A: b\0c\r\n"))
refuse("nul_in_header_name", get(b"X-\0A: b\r\n"))
refuse("nul_in_target", get(line=b"GET /v1/mod\0els HTTP/1.1\r\n"))
refuse("nul_in_method", get(line=b"GE\0T /v1/models HTTP/1.1\r\n"))
refuse("control_character_in_header_value", get(b"X-A: b\x01c\r\n"))
refuse("escape_character_in_header_value", get(b"X-A: \x1b[31m\r\n"))
refuse("delete_character_in_header_value", get(b"X-A: b\x7fc\r\n"))
refuse("control_character_in_header_name", get(b"X\x01A: b\r\n"))
refuse("control_character_in_target", get(line=b"GET /v1/models\x01 HTTP/1.1\r\n"))
refuse("delete_character_in_target", get(line=b"GET /v1/models\x7f HTTP/1.1\r\n"))
refuse("space_in_header_name", get(b"X A: b\r\n"))
refuse("space_after_header_name", get(b"X-A : b\r\n"))
refuse("tab_in_header_name", get(b"X\tA: b\r\n"))
refuse("high_byte_in_header_name", get(b"X-\xe9: b\r\n"))
refuse("parenthesis_in_header_name", get(b"X(A): b\r\n"))
refuse("empty_header_name", get(b": b\r\n"))
refuse("missing_colon", get(b"X-A b\r\n"))

# Host.
refuse("no_host", GET + KEY + b"\r\n")
refuse("two_hosts", get(b"Host: other.test\r\n"))
refuse("two_equal_hosts", get(HOST))
for title, value in {
    "space": b"a b",
    "slash": b"a/b",
    "user": b"a@b",
    "backslash": b"a\\b",
    "comma": b"a,b",
    "hash": b"a#b",
    "question_mark": b"a?b",
    "letters_as_port": b"a:port",
    "high_byte": b"a\xe9",
    "quote": b'a"b',
}.items():
    refuse("host_with_" + title, GET + b"Host: " + value + b"\r\n" + KEY + b"\r\n")

# Request line.
refuse("http_0_9", b"GET /v1/models\r\n", 400, 505)
refuse("http_2_preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505)
refuse("http_2_0", get(line=b"GET /v1/models HTTP/2.0\r\n"), 505)
refuse("http_3_0", get(line=b"GET /v1/models HTTP/3.0\r\n"), 505)
refuse("http_1_2", get(line=b"GET /v1/models HTTP/1.2\r\n"), 400, 505)
for title, version in {
    "in_lower_case": b"http/1.1",
    "with_leading_zero": b"HTTP/01.1",
    "with_two_digit_minor": b"HTTP/1.10",
    "without_minor": b"HTTP/1",
    "of_letters": b"HTTP/a.b",
    "with_trailing_space": b"HTTP/1.1 ",
    "of_another_protocol": b"ICY/1.1",
    "with_comma": b"HTTP/1,1",
}.items():
    refuse("version_" + title, get(line=b"GET /v1/models " + version + b"\r\n"), 400, 505)
refuse("two_spaces_before_target", get(line=b"GET  /v1/models HTTP/1.1\r\n"))
refuse("two_spaces_before_version", get(line=b"GET /v1/models  HTTP/1.1\r\n"))
refuse("tab_before_target", get(line=b"GET\t/v1/models HTTP/1.1\r\n"))
refuse("tab_before_version", get(line=b"GET /v1/models\tHTTP/1.1\r\n"))
refuse("extra_word_in_request_line", get(line=b"GET /v1/models x HTTP/1.1\r\n"))
refuse("no_target", get(line=b"GET HTTP/1.1\r\n"))
refuse("no_method", get(line=b"/v1/models HTTP/1.1\r\n"))
refuse("parenthesis_in_method", get(line=b"GE(T /v1/models HTTP/1.1\r\n"))
refuse("colon_in_method", get(line=b"GET: /v1/models HTTP/1.1\r\n"))
refuse("huge_method", get(line=b"A" * 9000 + b" /v1/models HTTP/1.1\r\n"), 400, 431)
refuse("absolute_form", get(line=b"GET http://gateway.test/v1/models HTTP/1.1\r\n"))
refuse("absolute_form_of_another_host", get(line=b"GET http://evil.test/v1/models HTTP/1.1\r\n"))
refuse("absolute_form_of_another_scheme", get(line=b"GET file:///v1/models HTTP/1.1\r\n"))
refuse("authority_form", get(line=b"GET gateway.test:80 HTTP/1.1\r\n"))
refuse("asterisk_form_of_get", get(line=b"GET * HTTP/1.1\r\n"))
refuse("target_without_slash", get(line=b"GET v1/models HTTP/1.1\r\n"))
refuse("target_with_fragment", get(line=b"GET /v1/models#part HTTP/1.1\r\n"))
refuse("target_with_high_bytes", get(line="GET /v1/modèles HTTP/1.1\r\n".encode()))
refuse("target_with_backslash", get(line=b"GET /v1\\models HTTP/1.1\r\n"))
refuse("target_with_angle_bracket", get(line=b"GET /v1/<models> HTTP/1.1\r\n"))
refuse("target_with_quote", get(line=b'GET /v1/"models" HTTP/1.1\r\n'))
refuse("connect_method", get(line=b"CONNECT gateway.test:443 HTTP/1.1\r\n"), 400, 405)

# Chunks. The request is forwarded only when its body is whole, so that a bad chunk must leave no trace upstream.
for title, data in {
    "empty_size": b"\r\n" + BODY + b"\r\n" + LAST,
    "size_with_0x": b"0x39\r\n" + BODY + b"\r\n" + LAST,
    "negative_size": b"-39\r\n" + BODY + b"\r\n" + LAST,
    "size_with_plus": b"+39\r\n" + BODY + b"\r\n" + LAST,
    "size_of_17_digits": b"10000000000000039\r\n" + BODY + b"\r\n" + LAST,
    "size_that_is_not_hex": b"zz\r\n" + BODY + b"\r\n" + LAST,
    "space_before_size": b" 39\r\n" + BODY + b"\r\n" + LAST,
    "space_after_size": b"39 \r\n" + BODY + b"\r\n" + LAST,
    "tab_after_size": b"39\t\r\n" + BODY + b"\r\n" + LAST,
    "space_inside_size": b"3 9\r\n" + BODY + b"\r\n" + LAST,
    "underscore_in_size": b"3_9\r\n" + BODY + b"\r\n" + LAST,
    "lf_only_after_size": b"39\n" + BODY + b"\r\n" + LAST,
    "cr_only_after_size": b"39\r" + BODY + b"\r\n" + LAST,
    "lf_in_extension": b"39;a=b\n" + BODY + b"\r\n" + LAST,
    "cr_in_extension": b"39;a\rb\r\n" + BODY + b"\r\n" + LAST,
    "nul_in_extension": b"39;a\0b\r\n" + BODY + b"\r\n" + LAST,
    "no_crlf_after_data": b"39\r\n" + BODY + LAST,
    "lf_only_after_data": b"39\r\n" + BODY + b"\n" + LAST,
    "more_data_than_size": b"38\r\n" + BODY + b"\r\n" + LAST,
    "lf_only_after_last_size": CHUNK + b"0\n\r\n",
    "lf_only_at_the_end": CHUNK + b"0\r\n\n",
    "garbage_after_last_size": CHUNK + b"0\r\nX",
    "trailer_without_colon": CHUNK + b"0\r\nX-A\r\n\r\n",
    "trailer_with_bare_lf": CHUNK + b"0\r\nX-A: b\n\r\n",
    "trailer_with_obs_fold": CHUNK + b"0\r\nX-A: b\r\n c\r\n\r\n",
    "trailer_with_nul": CHUNK + b"0\r\nX-A: b\0\r\n\r\n",
    "trailer_content_length": CHUNK + b"0\r\nContent-Length: 5\r\n\r\n",
    "trailer_transfer_encoding": CHUNK + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer_host": CHUNK + b"0\r\nHost: evil.test\r\n\r\n",
}.items():
    refuse("chunk_" + title, post(TE, data))
refuse("chunk_size_of_16_digits", post(TE, b"ffffffffffffffff\r\n" + BODY + b"\r\n" + LAST), 400, 413)
refuse("chunk_extension_too_long", post(TE, b"39;" + b"a" * 100_000 + b"\r\n" + BODY + b"\r\n" + LAST), 400, 431)
refuse(
    "chunk_too_many_trailers",
    post(TE, CHUNK + b"0\r\n" + b"".join(b"X-%d: b\r\n" % n for n in range(5000)) + b"\r\n"),
    400,
    431,
)

# Limits of the head, and expectations nobody has.
refuse("header_of_70_kb", get(b"X-A: " + b"b" * 70_000 + b"\r\n"), 431)
refuse("many_headers_of_70_kb_together", get(b"".join(b"X-%d: %s\r\n" % (n, b"b" * 1000) for n in range(70))), 431)
refuse("201_headers", get(b"".join(b"X-%d: b\r\n" % n for n in range(199))), 431)
refuse("target_of_70_kb", get(line=b"GET /v1/models?a=" + b"b" * 70_000 + b" HTTP/1.1\r\n"), 431)
refuse("header_name_of_70_kb", get(b"X" * 70_000 + b": b\r\n"), 431)
refuse("unknown_expectation", post(b"Expect: 200-ok\r\n" + CL), 400, 417)

MODELS = (b"GET", b"/v1/models", b"")
MESSAGES = (b"POST", b"/v1/messages", BODY)
PLAIN = post(CL)
CHUNKED = post(TE, CHUNK + LAST)

accept("plain", PLAIN)
accept(
    "header_names_in_upper_case", LINE + (HOST + KEY + CL).upper().replace(b"SK-CP-ONE", b"sk-cp-one") + b"\r\n" + BODY
)
accept(
    "header_names_in_mixed_case",
    LINE + b"hOsT: gateway.test\r\nX-aPI-kEy: sk-cp-one\r\ncOnTeNt-lEnGtH: " + LENGTH + b"\r\n\r\n" + BODY,
)
accept(
    "no_space_after_colon",
    LINE + b"Host:gateway.test\r\nx-api-key:sk-cp-one\r\nContent-Length:" + LENGTH + b"\r\n\r\n" + BODY,
)
accept(
    "spaces_and_tabs_around_values",
    LINE
    + b"Host: \t gateway.test \t\r\nx-api-key:\tsk-cp-one\t\r\nContent-Length: \t"
    + LENGTH
    + b" \t\r\n\r\n"
    + BODY,
)
accept("content_length_with_leading_zeros", post(b"Content-Length: 000" + LENGTH + b"\r\n"))
accept("empty_header_value", post(b"X-A:\r\n" + CL))
accept("high_bytes_in_header_value", post(b"X-A: caf\xc3\xa9 \xff\r\n" + CL))
accept("tab_inside_header_value", post(b"X-A: b\tc\r\n" + CL))
accept("odd_but_legal_header_name", post(b"!#$%&'*+-.^_`|~0: b\r\n" + CL))
accept("two_hundred_headers", post(b"".join(b"X-%d: b\r\n" % n for n in range(197)) + CL))
accept("head_of_60_kb", post(b"".join(b"X-%d: %s\r\n" % (n, b"b" * 15_000) for n in range(4)) + CL))
accept("host_with_port", LINE + b"Host: gateway.test:8080\r\n" + KEY + CL + b"\r\n" + BODY)
accept("host_is_an_ipv6_address", LINE + b"Host: [::1]:8080\r\n" + KEY + CL + b"\r\n" + BODY)
accept("one_crlf_before_the_request_line", b"\r\n" + PLAIN)
accept("two_crlf_before_the_request_line", b"\r\n\r\n" + PLAIN)
accept("http_1_0_with_content_length", post(CL, line=b"POST /v1/messages HTTP/1.0\r\n"))
accept("chunked", CHUNKED)
accept("chunked_in_upper_case", post(b"Transfer-Encoding: CHUNKED\r\n", CHUNK + LAST))
accept("chunks_of_one_byte", post(TE, b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + LAST))
accept("chunk_size_with_leading_zeros", post(TE, b"0000" + CHUNK + b"000\r\n\r\n"))
accept("chunk_size_in_upper_case", post(TE, b"%X\r\n%s\r\n" % (len(BODY), BODY) + LAST))
accept("chunk_extensions", post(TE, b"39;a=b\r\n" + BODY + b"\r\n0;last\r\n\r\n"))
accept("chunk_extension_with_quoted_value", post(TE, b'39;a="b;c d"\r\n' + BODY + b"\r\n" + LAST))
accept("trailers", post(TE + b"Trailer: X-Sum\r\n", CHUNK + b"0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"))
accept("two_pipelined_posts", PLAIN + CHUNKED, MESSAGES, MESSAGES)
accept("pipelined_get_and_post", get() + PLAIN + get(), MODELS, MESSAGES, MODELS)
accept("crlf_between_pipelined_requests", PLAIN + b"\r\n" + PLAIN, MESSAGES, MESSAGES)
accept("get_with_content_length_zero", get(b"Content-Length: 0\r\n"), MODELS)
accept("expect_continue_with_the_body_at_once", post(CL + b"Expect: 100-continue\r\n"))
accept("expect_continue_in_upper_case", post(CL + b"Expect: 100-CONTINUE\r\n"))
accept(
    "upgrade_to_h2c_is_ignored",
    post(CL + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
)
accept("upgrade_to_websocket_is_ignored", get(b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), MODELS)
accept("both_credential_headers", post(b"Authorization: Bearer sk-cp-one\r\n" + CL))
accept(
    "query_string",
    post(CL, line=b"POST /v1/messages?beta=true HTTP/1.1\r\n"),
    (b"POST", b"/v1/messages?beta=true", BODY),
)
accept(
    "odd_query_string",
    get(line=b"GET /v1/models?after_id=a%20b&x=[1]&&y=;/?:@$,'!*() HTTP/1.1\r\n".replace(b"[1]", b"%5B1%5D")),
    (b"GET", b"/v1/models?after_id=a%20b&x=%5B1%5D&&y=;/?:@$,'!*()", b""),
)
accept("empty_query_string", get(line=b"GET /v1/models? HTTP/1.1\r\n"), (b"GET", b"/v1/models?", b""))
accept(
    "percent_encoded_path",
    get(line=b"GET /v1/models/claude%2Dopus%2D4 HTTP/1.1\r\n"),
    (b"GET", b"/v1/models/claude%2Dopus%2D4", b""),
)
accept(
    "target_of_40_kb",
    get(line=b"GET /v1/models?a=" + b"b" * 40_000 + b" HTTP/1.1\r\n"),
    (b"GET", b"/v1/models?a=" + b"b" * 40_000, b""),
)
accept("base_url_with_v1", post(CL, line=b"POST /v1/v1/messages HTTP/1.1\r\n"), MESSAGES)
