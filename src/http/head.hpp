// Request and response heads of HTTP/1.1, parsed strictly (RFC 9110, RFC 9112). Whatever two parsers could read
// differently is refused, never repaired: that is what request smuggling lives on.
//
// Parsing is two steps: `head_end` looks for the end of the head in bytes that arrive in pieces and refuses bare line
// feeds early; `parse_request` then reads the whole head once. Views point into the bytes given. No I/O, no state.
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace http {

// The names that the gateway treats specially, in either direction.
enum class field : std::uint8_t {
    other,
    accept_encoding,
    alt_svc,
    authorization,
    cache_control,
    connection,
    content_length,
    content_type,
    expect,
    host,
    keep_alive,
    proxy_authenticate,
    proxy_authorization,
    proxy_connection,
    request_id,
    set_cookie,
    strict_transport_security,
    te,
    trailer,
    transfer_encoding,
    upgrade,
    user_agent,
    via,
    x_api_key,
    x_forwarded_proto,
};

struct header {
    std::string_view name;
    std::string_view value;  // without white space around it
    std::string_view line;   // as it came, without CRLF: what is forwarded
    field id = field::other;
};

enum class body_framing : std::uint8_t { none, length, chunked, until_close };

struct message_head {
    std::vector<header> headers;
    std::size_t size = 0;  // bytes of the head, blank line included
    int version_minor = 1;
    body_framing framing = body_framing::none;
    std::uint64_t content_length = 0;
    bool keep_alive = true;
    bool names_connection_fields = false;  // `connection` names more than close and keep-alive

    // The first header of that kind, or an empty view.
    std::string_view find(field id) const;
    // Hop-by-hop by definition (RFC 9110 7.6.1) or because `connection` names it.
    bool hop_by_hop(const header& candidate) const;
};

struct request_head : message_head {
    std::string_view method;
    std::string_view target;  // origin-form, as it came
    std::string_view path;    // target without the query
    std::string_view host;
    bool expect_continue = false;
};

struct response_head : message_head {
    int status = 0;
    std::string_view reason;
};

struct head_limits {
    std::size_t bytes_max;
    std::size_t headers_max;
};

// How far the search for the end of a head has come; keep it between calls.
struct head_search {
    std::size_t line_begin = 0;  // first byte of the line under way
    std::size_t checked = 0;     // bytes before this were looked at
};

// True when the head is complete: then `search.line_begin` is its size. Leading empty lines (at most two) are part of
// it. Errors: bad_framing (a line feed without carriage return), head_too_large.
base::result<bool> head_end(std::string_view bytes, const head_limits& limits, head_search& search);

// `bytes` is exactly one head. Errors: bad_framing, head_too_large (too many headers), http_version_unsupported.
base::result<void> parse_request(std::string_view bytes, const head_limits& limits, request_head& head);
// Errors: upstream_protocol_error. `head_only`: the request was HEAD, so that there is no body whatever is announced.
base::result<void> parse_response(std::string_view bytes, const head_limits& limits, bool head_only,
                                  response_head& head);

// The standard reason phrase of a status, or an empty text.
std::string_view reason_of(int status);

// ASCII case-insensitive equality; `lower` is written in lower case.
bool equals_lower(std::string_view text, std::string_view lower);
// Calls `visit(token)` for each element of a comma-separated list.
template <class Visit>
void for_each_token(std::string_view list, Visit visit) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        std::string_view token = list.substr(0, comma);
        while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) token.remove_prefix(1);
        while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
        if (!token.empty()) visit(token);
        if (comma == std::string_view::npos) return;
        list.remove_prefix(comma + 1);
    }
}

// One line of a header section (without CRLF) into name and value; false when it is not one. Also used for trailers.
bool parse_header_line(std::string_view line, header& parsed);

}  // namespace http
