#include "http/head.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace http;
constexpr head_limits limits{64 * 1024, 100};

base::result<request_head> parse(const std::string& text, std::string& kept) {
    kept = text;
    head_search search;
    const auto ended = head_end(kept, limits, search);
    if (!ended) return std::unexpected(ended.error());
    if (!*ended) return base::fail(base::errc::internal, "incomplete");
    request_head head;
    const auto parsed = parse_request(std::string_view(kept).substr(0, search.line_begin), limits, head);
    if (!parsed) return std::unexpected(parsed.error());
    return head;
}

void expect_refused(const std::string& text, base::errc kind = base::errc::bad_framing) {
    std::string kept;
    const auto head = parse(text, kept);
    ASSERT_FALSE(head.has_value()) << text;
    EXPECT_EQ(head.error().kind, kind) << text << "\n" << head.error().detail;
}

const std::string host = "host: gateway\r\n";

TEST(head, names_are_compared_without_case_and_nothing_else) {
    for (std::size_t size = 0; size < 40; ++size) {
        const std::string lower = std::string("transfer-encoding-of-every-length-1234567").substr(0, size);
        std::string upper = lower;
        for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
        EXPECT_TRUE(equals_lower(lower, lower));
        EXPECT_TRUE(equals_lower(upper, lower));
        for (std::size_t i = 0; i < size; ++i) {
            for (int other = 0; other < 256; ++other) {
                std::string changed = lower;
                changed[i] = static_cast<char>(other);
                EXPECT_EQ(equals_lower(changed, lower), changed[i] == lower[i] || changed[i] == upper[i])
                    << size << " " << i << " " << other;
            }
        }
    }
    EXPECT_FALSE(equals_lower("a", "ab"));
}

TEST(head, a_plain_request_is_read) {
    std::string kept;
    const auto head =
        parse("POST /v1/messages?beta=true HTTP/1.1\r\nHost: a:1\r\nContent-Length: 12\r\nX: y \t\r\n\r\nbody", kept);
    ASSERT_TRUE(head.has_value());
    EXPECT_EQ(head->method, "POST");
    EXPECT_EQ(head->target, "/v1/messages?beta=true");
    EXPECT_EQ(head->path, "/v1/messages");
    EXPECT_EQ(head->host, "a:1");
    EXPECT_EQ(head->framing, body_framing::length);
    EXPECT_EQ(head->content_length, 12u);
    ASSERT_EQ(head->headers.size(), 3u);
    EXPECT_EQ(head->headers[2].value, "y");
    EXPECT_EQ(head->headers[2].line, "X: y \t");
    EXPECT_TRUE(head->keep_alive);
    EXPECT_EQ(head->size, kept.size() - 4);
}

TEST(head, the_end_is_found_at_every_split) {
    const std::string text = "\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n";
    for (std::size_t split = 0; split <= text.size(); ++split) {
        head_search search;
        const auto first = head_end(std::string_view(text).substr(0, split), limits, search);
        ASSERT_TRUE(first.has_value());
        EXPECT_EQ(*first, split == text.size());
        if (*first) continue;
        const auto second = head_end(text, limits, search);
        ASSERT_TRUE(second.has_value() && *second);
        EXPECT_EQ(search.line_begin, text.size());
    }
}

TEST(head, a_field_name_is_made_of_token_characters_wherever_they_stand) {
    const std::string_view others = "!#$%&'*+-.^_`|~";
    for (std::size_t length = 1; length <= 19; ++length) {
        for (std::size_t place = 0; place < length; ++place) {
            for (int byte = 0; byte < 256; ++byte) {
                const char c = static_cast<char>(byte);
                if (c == ':') continue;
                std::string line(length, 'x');
                line[place] = c;
                const bool is_name = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                     others.find(c) != std::string_view::npos;
                header parsed;
                EXPECT_EQ(parse_header_line(line + ": v", parsed), is_name) << length << " " << place << " " << byte;
            }
        }
    }
}

TEST(head, a_control_character_is_refused_wherever_it_stands) {
    const std::string begin = "GET / HTTP/1.1\r\n" + host + "a: ";
    for (std::size_t place = 0; place < 150; ++place) {
        for (int byte = 0; byte < 256; ++byte) {
            std::string value(150, 'v');
            value[place] = static_cast<char>(byte);
            const std::string text = begin + value + "\r\n\r\n";
            request_head head;
            const bool is_good = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
            ASSERT_EQ(parse_request(text, limits, head).has_value(), is_good) << byte << " at " << place;
        }
    }
}

TEST(head, line_ends_are_pairs_wherever_they_stand) {
    for (std::size_t length = 0; length < 150; ++length) {
        const std::string begin = "GET / HTTP/1.1\r\n" + host + "a: " + std::string(length, 'v');
        request_head head;
        ASSERT_TRUE(parse_request(begin + "\r\nb: c\r\n\r\n", limits, head)) << length;
        for (const std::string end : {"\n", "\r", "\n\r", "\r\r\n", "\r\n\n"}) {
            ASSERT_FALSE(parse_request(begin + end + "b: c\r\n\r\n", limits, head)) << length;
        }
    }
}

TEST(head, ambiguous_lengths_are_refused) {
    for (const std::string fields :
         {"content-length: 5\r\ntransfer-encoding: chunked\r\n", "content-length: 5\r\ncontent-length: 5\r\n",
          "content-length: 5, 5\r\n", "content-length: +5\r\n", "content-length: -5\r\n", "content-length: 0x5\r\n",
          "content-length: \r\n", "content-length: 5 5\r\n", "content-length: 99999999999999999999\r\n",
          "transfer-encoding: identity\r\n", "transfer-encoding: chunked, identity\r\n",
          "transfer-encoding: gzip, chunked\r\n", "transfer-encoding: xchunked\r\n",
          "transfer-encoding: chunked;q=1\r\n", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
          "transfer-encoding:\r\n", "transfer-encoding: \"chunked\"\r\n"}) {
        expect_refused("POST / HTTP/1.1\r\n" + host + fields + "\r\n");
    }
    expect_refused("POST / HTTP/1.0\r\n" + host + "transfer-encoding: chunked\r\n\r\n");
}

TEST(head, malformed_lines_are_refused) {
    for (const std::string line :
         {"a : b", " folded: x", "\tfolded: x", ": empty", "no colon", "a\x01: b", "a: b\x01", "a: b\rc", "a(b: c"}) {
        expect_refused("GET / HTTP/1.1\r\n" + host + line + "\r\n\r\n");
    }
    expect_refused("GET / HTTP/1.1\r\n" + host + "a: b\r\n folded\r\n\r\n");
    expect_refused(std::string("GET / HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n", 36));
    expect_refused("GET / HTTP/1.1\nhost: x\r\n\r\n");
    expect_refused("GET / HTTP/1.1\r\nhost: x\n\r\n");
}

TEST(head, request_lines_that_readers_could_split_differently_are_refused) {
    for (const std::string line :
         {"GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET /", "GET / http/1.1", "GET / HTTP/1.1x",
          "GET http://x/ HTTP/1.1", "GET x HTTP/1.1", "OPTIONS * HTTP/1.1", "CONNECT x:1 HTTP/1.1", "GET /a b HTTP/1.1",
          "GET /#f HTTP/1.1", "GET /\\ HTTP/1.1", "GET /\xc3\xa9 HTTP/1.1", "G@T / HTTP/1.1", "GET\t/\tHTTP/1.1"}) {
        expect_refused(line + "\r\n" + host + "\r\n");
    }
    expect_refused("GET / HTTP/2.0\r\n" + host + "\r\n", base::errc::http_version_unsupported);
    expect_refused("GET / HTTP/1.2\r\n" + host + "\r\n", base::errc::http_version_unsupported);
}

TEST(head, exactly_one_valid_host_is_needed) {
    expect_refused("GET / HTTP/1.1\r\n\r\n");
    expect_refused("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n");
    expect_refused("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n");
    expect_refused("GET / HTTP/1.1\r\nhost: a, b\r\n\r\n");
    std::string kept;
    EXPECT_TRUE(parse("GET / HTTP/1.0\r\n\r\n", kept).has_value());
}

TEST(head, limits_have_their_own_error) {
    expect_refused("GET / HTTP/1.1\r\n" + host + "a: " + std::string(70'000, 'x') + "\r\n\r\n",
                   base::errc::head_too_large);
    std::string many = "GET / HTTP/1.1\r\n" + host;
    for (int i = 0; i < 120; ++i) many += "a: b\r\n";
    expect_refused(many + "\r\n", base::errc::head_too_large);
}

TEST(head, fields_named_by_connection_are_hop_by_hop) {
    std::string kept;
    const auto head = parse(
        "GET / HTTP/1.1\r\nhost: x\r\nConnection: close, X-Mine\r\nx-mine: 1\r\nx-yours: 2\r\nTE: trailers\r\n\r\n",
        kept);
    ASSERT_TRUE(head.has_value());
    EXPECT_FALSE(head->keep_alive);
    EXPECT_TRUE(head->hop_by_hop(head->headers[2]));
    EXPECT_FALSE(head->hop_by_hop(head->headers[3]));
    EXPECT_TRUE(head->hop_by_hop(head->headers[4]));
}

TEST(head, a_response_is_read_and_ambiguous_ones_are_refused) {
    response_head head;
    EXPECT_TRUE(parse_response("HTTP/1.1 529 \r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n", limits, false, head));
    EXPECT_EQ(head.status, 529);
    EXPECT_EQ(head.content_length, 3u);
    EXPECT_TRUE(parse_response("HTTP/1.1 200 OK\r\n\r\n", limits, false, head));
    EXPECT_EQ(head.framing, body_framing::until_close);
    EXPECT_TRUE(parse_response("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", limits, true, head));
    EXPECT_EQ(head.framing, body_framing::none);
    for (const std::string broken :
         {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/2 200 OK\r\n\r\n", "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
          "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
          "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
          "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n"}) {
        const auto parsed = parse_response(broken, limits, false, head);
        ASSERT_FALSE(parsed.has_value()) << broken;
        EXPECT_EQ(parsed.error().kind, base::errc::upstream_protocol_error);
    }
}

}  // namespace
