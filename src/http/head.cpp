#include "http/head.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/wide_vectors.hpp"

namespace http {
namespace {

using base::errc;
using base::fail;

constexpr std::array<bool, 256> make_token_characters() {
    std::array<bool, 256> table{};
    for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789"
                                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
        table[static_cast<unsigned char>(c)] = true;
    }
    return table;
}
constexpr auto token_characters = make_token_characters();

bool is_token(std::string_view text) {
    bool good = !text.empty();
    for (const char c : text) good &= token_characters[static_cast<unsigned char>(c)];
    return good;
}

// Field values: visible characters, space, tab and the obsolete high bytes; no other control character (RFC 9110 5.5).
bool is_value(std::string_view text) {
    return std::ranges::none_of(text, [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return (byte < 0x20 && byte != '\t') || byte == 0x7f;
    });
}

// A whole head: of control characters only tabs and line ends, and these in pairs of carriage return and line feed.
for_wide_vectors bool has_only_head_characters(const char* from, const char* end) {
    bool good = true;
    bool after_return = false;
#if has_wide_vectors
    std::uint64_t wrong = 0;
    std::uint64_t return_before = 0;  // a bit: the block begins behind a carriage return
    for (; end - from >= base::block_bytes; from += base::block_bytes) {
        base::block bytes;
        std::memcpy(&bytes, from, sizeof bytes);
        const std::uint64_t returns = base::where(bytes, '\r');
        const std::uint64_t feeds = base::where(bytes, '\n');
        const std::uint64_t control = base::where_below(bytes, ' ') & ~base::where(bytes, '\t');
        wrong |= (control & ~(returns | feeds)) | base::where(bytes, '\x7f');
        wrong |= feeds ^ (returns << 1 | return_before);
        return_before = returns >> 63;
    }
    good = wrong == 0;
    after_return = return_before != 0;
#endif
    for (; from != end; ++from) {
        const auto byte = static_cast<unsigned char>(*from);
        const bool is_good = byte >= 0x20 ? byte != 0x7f : byte == '\t' || byte == '\r' || byte == '\n';
        good = good && is_good && (byte == '\n') == after_return;
        after_return = byte == '\r';
    }
    return good && !after_return;
}

// What may stand in a request target (RFC 3986): visible ASCII without the characters that URIs exclude, where readers
// differ, and without a fragment.
constexpr std::array<bool, 256> make_target_characters() {
    std::array<bool, 256> table{};
    for (std::size_t c = 0x21; c < 0x7f; ++c) table[c] = true;
    for (const char c : std::string_view("\"<>\\^`{|}#")) table[static_cast<unsigned char>(c)] = false;
    return table;
}
constexpr auto target_characters = make_target_characters();

// What may stand in a host's name.
constexpr auto host_characters = [] {
    auto table = target_characters;
    for (const char c : std::string_view("/?@,:[]")) table[static_cast<unsigned char>(c)] = false;
    return table;
}();

bool is_target(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return target_characters[static_cast<unsigned char>(c)]; });
}

// name, name:port, [address] or [address]:port
bool is_host(std::string_view text) {
    if (text.size() > 255) return false;
    const std::size_t colon = text.rfind(':');
    const bool bracketed = text.starts_with('[');
    if (colon != std::string_view::npos && (!bracketed || text.rfind(']') < colon)) {
        const std::string_view port = text.substr(colon + 1);
        if (!std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; })) return false;
        text = text.substr(0, colon);
    }
    if (bracketed) {
        if (text.size() < 2 || !text.ends_with(']')) return false;
        text = text.substr(1, text.size() - 2);
        return std::ranges::all_of(text,
                                   [](char c) { return token_characters[static_cast<unsigned char>(c)] || c == ':'; });
    }
    return std::ranges::all_of(text, [](char c) { return host_characters[static_cast<unsigned char>(c)]; });
}

struct known_field {
    std::string_view name;
    field id;
};
constexpr known_field known_fields[] = {
    {"accept-encoding", field::accept_encoding},
    {"alt-svc", field::alt_svc},
    {"authorization", field::authorization},
    {"cache-control", field::cache_control},
    {"connection", field::connection},
    {"content-length", field::content_length},
    {"content-type", field::content_type},
    {"expect", field::expect},
    {"host", field::host},
    {"keep-alive", field::keep_alive},
    {"proxy-authenticate", field::proxy_authenticate},
    {"proxy-authorization", field::proxy_authorization},
    {"proxy-connection", field::proxy_connection},
    {"request-id", field::request_id},
    {"set-cookie", field::set_cookie},
    {"strict-transport-security", field::strict_transport_security},
    {"te", field::te},
    {"trailer", field::trailer},
    {"transfer-encoding", field::transfer_encoding},
    {"upgrade", field::upgrade},
    {"user-agent", field::user_agent},
    {"via", field::via},
    {"x-api-key", field::x_api_key},
    {"x-forwarded-proto", field::x_forwarded_proto},
};

// One step finds the only candidate: no two names in the table agree in length, first and last letter.
constexpr std::size_t field_slots = 256;
constexpr std::size_t field_slot(std::string_view name) {
    const auto first = static_cast<std::size_t>(name.front() | 0x20);
    const auto last = static_cast<std::size_t>(name.back() | 0x20);
    return (name.size() * 37 + first * 7 + last * 3) % field_slots;
}
constexpr auto fields_by_slot = [] {
    std::array<std::uint8_t, field_slots> rows{};
    std::uint8_t row = 0;
    for (const auto& entry : known_fields) {
        std::uint8_t& place = rows[field_slot(entry.name)];
        if (place != 0) throw "two known fields share a slot: change field_slot";  // at compile time
        place = ++row;
    }
    return rows;
}();

field identify(std::string_view name) {
    const std::uint8_t row = fields_by_slot[field_slot(name)];
    if (row == 0) return field::other;
    const known_field& candidate = known_fields[row - 1];
    return equals_lower(name, candidate.name) ? candidate.id : field::other;
}

bool parse_length(std::string_view text, std::uint64_t& value) {
    if (text.empty() || text.size() > 18) return false;
    value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return false;
        value = value * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return true;
}

// The next line of a head whose characters are known to be good.
std::string_view take_line(std::string_view& rest) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end - (end < rest.size() ? 1 : 0));
    rest.remove_prefix(std::min(rest.size(), end + 1));
    return line;
}

// Where the plain name that the line begins with ends: letters, digits and dashes only, looked at eight at a time,
// which is what nearly every field name is made of. It may end earlier than it must where the line ends soon.
std::size_t plain_name_size(std::string_view line) {
    constexpr std::uint64_t every = 0x0101010101010101;
    std::size_t at = 0;
    for (; at + 8 <= line.size(); at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, line.data() + at, 8);
        const std::uint64_t bytes = word & every * 0x7f;  // so that no sum below carries into the next byte
        const std::uint64_t lower = bytes | every * 0x20;
        const std::uint64_t letters = (lower + every * (0x80 - 'a')) & ~(lower + every * (0x7f - 'z'));
        const std::uint64_t digits = (bytes + every * (0x80 - '0')) & ~(bytes + every * (0x7f - '9'));
        const std::uint64_t dashes = ~((bytes ^ every * '-') + every * 0x7f);
        const std::uint64_t other = (word | ~(letters | digits | dashes)) & every * 0x80;
        if (other != 0) return at + static_cast<std::size_t>(std::countr_zero(other)) / 8;
    }
    return at;
}

// Name, colon, value; the value's characters are not looked at.
bool split_header_line(std::string_view line, header& parsed) {
    std::size_t colon = plain_name_size(line);
    if (colon == 0 || colon == line.size() || line[colon] != ':') {
        colon = line.find(':');
        if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return false;
    }
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    parsed.name = line.substr(0, colon);
    parsed.value = value;
    parsed.line = line;
    parsed.id = identify(parsed.name);
    return true;
}

// The header section shared by requests and responses. What is wrong, or empty.
std::string_view parse_headers(std::string_view rest, const head_limits& limits, message_head& head) {
    head.headers.clear();
    head.names_connection_fields = false;
    for (;;) {
        const std::string_view line = take_line(rest);
        if (line.empty()) return {};
        if (head.headers.size() == limits.headers_max) return "more header lines than headers_max";
        if (!split_header_line(line, head.headers.emplace_back())) return "malformed header line";
    }
}

struct framing_facts {
    int lengths = 0;
    int codings = 0;
    bool chunked = false;
    bool bad = false;
    bool close = false;
    bool keep = false;
};

framing_facts read_framing(message_head& head) {
    framing_facts facts;
    for (const auto& entry : head.headers) {
        if (entry.id == field::content_length) {
            std::uint64_t value = 0;
            if (!parse_length(entry.value, value)) facts.bad = true;
            if (facts.lengths > 0 && value != head.content_length) facts.bad = true;
            head.content_length = value;
            ++facts.lengths;
        } else if (entry.id == field::transfer_encoding) {
            facts.chunked = equals_lower(entry.value, "chunked");
            if (!facts.chunked) facts.bad = true;
            ++facts.codings;
        } else if (entry.id == field::connection) {
            for_each_token(entry.value, [&](std::string_view token) {
                if (equals_lower(token, "close")) {
                    facts.close = true;
                } else if (equals_lower(token, "keep-alive")) {
                    facts.keep = true;
                } else {
                    head.names_connection_fields = true;
                }
            });
        }
    }
    head.keep_alive = !facts.close && (head.version_minor == 1 || facts.keep);
    return facts;
}

}  // namespace

// Eight bytes at a time: where they differ it may only be by the bit that makes a capital of a lower-case letter.
bool equals_lower(std::string_view text, std::string_view lower) {
    if (text.size() != lower.size()) return false;
    constexpr std::uint64_t every = 0x0101010101010101;
    const auto same = [](std::uint64_t given, std::uint64_t wanted) {
        const std::uint64_t low = wanted & every * 0x7f;
        const std::uint64_t is_letter = (low + every * (0x80 - 'a')) & ~(low + every * (0x7f - 'z')) & ~wanted;
        return ((given ^ wanted) & ~((is_letter & every * 0x80) >> 2)) == 0;
    };
    const auto word = [](const char* at) {
        std::uint64_t bytes = 0;
        std::memcpy(&bytes, at, 8);
        return bytes;
    };
    if (text.size() >= 8) {
        for (std::size_t at = 0; at + 8 <= text.size(); at += 8) {
            if (!same(word(text.data() + at), word(lower.data() + at))) return false;
        }
        return same(word(text.data() + text.size() - 8), word(lower.data() + text.size() - 8));  // some of them again
    }
    std::uint64_t given = 0;
    std::uint64_t wanted = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        given = given << 8 | static_cast<unsigned char>(text[at]);
        wanted = wanted << 8 | static_cast<unsigned char>(lower[at]);
    }
    return same(given, wanted);
}

bool parse_header_line(std::string_view line, header& parsed) {
    return split_header_line(line, parsed) && is_value(parsed.value);
}

std::string_view message_head::find(field id) const {
    for (const auto& entry : headers) {
        if (entry.id == id) return entry.value;
    }
    return {};
}

bool message_head::hop_by_hop(const header& candidate) const {
    switch (candidate.id) {
        case field::connection:
        case field::keep_alive:
        case field::proxy_authenticate:
        case field::proxy_authorization:
        case field::proxy_connection:
        case field::te:
        case field::trailer:
        case field::transfer_encoding:
        case field::upgrade:
            return true;
        default:
            break;
    }
    if (!names_connection_fields) return false;
    for (const auto& entry : headers) {
        if (entry.id != field::connection) continue;
        bool named = false;
        for_each_token(entry.value, [&](std::string_view token) {
            named = named || std::ranges::equal(token, candidate.name,
                                                [](char a, char b) { return (a | 0x20) == (b | 0x20) || a == b; });
        });
        if (named) return true;
    }
    return false;
}

base::result<bool> head_end(std::string_view bytes, const head_limits& limits, head_search& search) {
    constexpr std::size_t leading_empty_lines_max = 2;
    for (;;) {
        const void* const found = std::memchr(bytes.data() + search.checked, '\n', bytes.size() - search.checked);
        if (!found) break;
        const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
        if (at == 0 || bytes[at - 1] != '\r') {
            return fail(errc::bad_framing, "A line of the head ends in a bare line feed; lines end in CR LF.");
        }
        const bool empty_line = at - 1 == search.line_begin;
        const bool leading = empty_line && search.line_begin % 2 == 0 &&
                             search.line_begin / 2 < leading_empty_lines_max &&
                             bytes.substr(0, search.line_begin).find_first_not_of("\r\n") == std::string_view::npos;
        search.checked = search.line_begin = at + 1;
        if (empty_line && !leading) {
            if (search.line_begin > limits.bytes_max) break;
            return true;
        }
    }
    search.checked = bytes.size();
    if (bytes.size() > limits.bytes_max) {
        return fail(errc::head_too_large, "The request line and headers exceed " + std::to_string(limits.bytes_max) +
                                              " bytes (CLAUDE_PROXY_HEAD_BYTES_MAX).");
    }
    return false;
}

base::result<void> parse_request(std::string_view bytes, const head_limits& limits, request_head& head) {
    head.size = bytes.size();
    head.content_length = 0;
    head.expect_continue = false;
    head.host = {};
    if (!has_only_head_characters(bytes.data(), bytes.data() + bytes.size())) {
        return fail(errc::bad_framing, "The head has a control character, or a carriage return that ends no line.");
    }
    std::string_view rest = bytes;
    while (rest.starts_with("\r\n")) rest.remove_prefix(2);

    const std::string_view line = take_line(rest);
    const std::size_t first_space = line.find(' ');
    const std::size_t last_space = line.rfind(' ');
    if (first_space == std::string_view::npos || first_space == last_space) {
        return fail(errc::bad_framing, "The request line is not `METHOD TARGET HTTP/1.1`.");
    }
    head.method = line.substr(0, first_space);
    head.target = line.substr(first_space + 1, last_space - first_space - 1);
    const std::string_view version = line.substr(last_space + 1);
    if (!is_token(head.method) || head.method.size() > 32) return fail(errc::bad_framing, "The method is not a token.");
    if (version.size() != 8 || !version.starts_with("HTTP/")) {
        return fail(errc::bad_framing, "The request line does not end in an HTTP version.");
    }
    if (version == "HTTP/1.1") {
        head.version_minor = 1;
    } else if (version == "HTTP/1.0") {
        head.version_minor = 0;
    } else {
        return fail(errc::http_version_unsupported, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
    }
    if (!head.target.starts_with('/') || !is_target(head.target)) {
        return fail(errc::bad_framing, "The request target is not a path (origin-form) of visible ASCII characters.");
    }
    head.path = head.target.substr(0, head.target.find('?'));

    if (const auto wrong = parse_headers(rest, limits, head); !wrong.empty()) {
        const bool too_many = wrong.starts_with("more");
        return fail(too_many ? errc::head_too_large : errc::bad_framing,
                    too_many ? "The request has more than " + std::to_string(limits.headers_max) +
                                   " header lines (CLAUDE_PROXY_HEADERS_MAX)."
                             : "A header line is malformed: `name: value` without folding or control characters.");
    }
    const framing_facts facts = read_framing(head);
    if (facts.bad || facts.lengths > 1 || facts.codings > 1 || (facts.lengths > 0 && facts.codings > 0)) {
        return fail(
            errc::bad_framing,
            "The body's length is ambiguous: send one content-length of digits, or transfer-encoding: chunked.");
    }
    if (facts.codings > 0 && head.version_minor == 0) {
        return fail(errc::bad_framing, "HTTP/1.0 has no transfer-encoding.");
    }
    head.framing = facts.chunked       ? body_framing::chunked
                   : facts.lengths > 0 ? body_framing::length
                                       : body_framing::none;

    int hosts = 0;
    for (const auto& entry : head.headers) {
        if (entry.id == field::host) {
            head.host = entry.value;
            ++hosts;
        } else if (entry.id == field::expect) {
            if (!equals_lower(entry.value, "100-continue")) {
                return fail(errc::bad_framing, "The only expectation known here is 100-continue.");
            }
            head.expect_continue = head.version_minor == 1 && head.framing != body_framing::none;
        }
    }
    if (hosts > 1 || (hosts == 0 && head.version_minor == 1) || !is_host(head.host)) {
        return fail(errc::bad_framing, "A request needs exactly one valid host header.");
    }
    return {};
}

base::result<void> parse_response(std::string_view bytes, const head_limits& limits, bool head_only,
                                  response_head& head) {
    const auto broken = [](std::string_view what) {
        return fail(errc::upstream_protocol_error,
                    "The upstream's response head is broken: " + std::string(what) + ".");
    };
    head.size = bytes.size();
    head.content_length = 0;
    if (!has_only_head_characters(bytes.data(), bytes.data() + bytes.size())) return broken("a control character");
    std::string_view rest = bytes;
    const std::string_view line = take_line(rest);
    if (line.size() < 12 || !line.starts_with("HTTP/1.") || (line[7] != '0' && line[7] != '1') || line[8] != ' ') {
        return broken("no status line");
    }
    head.version_minor = line[7] - '0';
    std::uint64_t status = 0;
    if (!parse_length(line.substr(9, 3), status) || status < 100 || (line.size() > 12 && line[12] != ' ')) {
        return broken("no status");
    }
    head.status = static_cast<int>(status);
    head.reason = line.size() > 13 ? line.substr(13) : std::string_view();
    if (!is_value(head.reason)) return broken("control characters in the reason");
    if (const auto wrong = parse_headers(rest, limits, head); !wrong.empty()) return broken(wrong);
    const framing_facts facts = read_framing(head);
    if (facts.bad || facts.codings > 1 || (facts.lengths > 0 && facts.codings > 0) ||
        (facts.codings > 0 && head.version_minor == 0)) {
        return broken("ambiguous length of the body");
    }
    if (head_only || head.status < 200 || head.status == 204 || head.status == 304) {
        head.framing = body_framing::none;
    } else if (facts.chunked) {
        head.framing = body_framing::chunked;
    } else if (facts.lengths > 0) {
        head.framing = body_framing::length;
    } else {
        head.framing = body_framing::until_close;
        head.keep_alive = false;
    }
    return {};
}

}  // namespace http
