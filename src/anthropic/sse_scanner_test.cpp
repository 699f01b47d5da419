#include "anthropic/sse_scanner.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace {

using namespace anthropic;

constexpr std::string_view names[] = {"message_start",
                                      "content_block_start",
                                      "content_block_delta",
                                      "content_block_stop",
                                      "message_delta",
                                      "message_stop",
                                      "ping",
                                      "error",
                                      "other"};

// Writes one line an event.
struct log_sink final : event_sink {
    std::string text;

    void on_event(event_kind kind, std::string_view data, std::uint64_t data_bytes, bool oversized) override {
        text += fmt::format("{} [{}] {}{}\n", names[static_cast<int>(kind)], data, data_bytes,
                            oversized ? " oversized" : "");
    }
};

std::string scan(std::string_view stream, std::size_t piece_bytes, std::size_t data_bytes_max) {
    log_sink sink;
    sse_scanner scanner(data_bytes_max);
    for (std::size_t position = 0; position < stream.size(); position += piece_bytes) {
        const std::string piece(stream.substr(position, piece_bytes));  // memory of its own
        scanner.feed(piece, sink);
    }
    return sink.text;
}

// Scans whole and in pieces of every size, which must not matter.
std::string scan(std::string_view stream, std::size_t data_bytes_max = 256 * 1024) {
    const auto whole = scan(stream, stream.size() + 1, data_bytes_max);
    for (std::size_t piece_bytes = 1; piece_bytes <= stream.size(); ++piece_bytes) {
        EXPECT_EQ(scan(stream, piece_bytes, data_bytes_max), whole) << "in pieces of " << piece_bytes;
    }
    return whole;
}

// One letter for each position: whether something may be inserted there.
std::string gaps_in(std::string_view stream) {
    log_sink sink;
    sse_scanner scanner;
    std::string gaps(1, scanner.between_events() ? 'y' : 'n');
    for (const char& byte : stream) {
        scanner.feed({&byte, 1}, sink);
        gaps += scanner.between_events() ? 'y' : 'n';
    }
    return gaps;
}

TEST(sse_scanner, every_known_name_has_its_kind) {
    for (const auto name : names) {
        const bool has_text =
            name == "message_start" || name == "content_block_start" || name == "message_delta" || name == "error";
        EXPECT_EQ(scan(fmt::format("event: {}\ndata: {{}}\n\n", name)),
                  fmt::format("{} [{}] 2\n", name, has_text ? "{}" : ""));
    }
}

TEST(sse_scanner, names_that_only_resemble_known_ones_are_other) {
    for (const std::string_view name : {"pin", "pingg", "Ping", "ping ", " ping", "message_stoq", "content_block_deltb",
                                        "content_block_delta_and_something_far_too_long_for_a_name"}) {
        EXPECT_EQ(scan(fmt::format("event: {}\ndata: x\n\n", name)), "other [] 1\n") << name;
    }
}

TEST(sse_scanner, line_ends_may_be_lf_crlf_cr_or_mixed) {
    const std::string expected = "error [a] 1\nping [] 1\n";
    EXPECT_EQ(scan("event: error\ndata: a\n\nevent: ping\ndata: b\n\n"), expected);
    EXPECT_EQ(scan("event: error\r\ndata: a\r\n\r\nevent: ping\r\ndata: b\r\n\r\n"), expected);
    EXPECT_EQ(scan("event: error\rdata: a\r\revent: ping\rdata: b\r\r"), expected);
    EXPECT_EQ(scan("event: error\rdata: a\r\n\revent: ping\r\ndata: b\n\r\n"), expected);
}

TEST(sse_scanner, an_event_ended_by_cr_is_reported_at_once) {
    log_sink sink;
    sse_scanner scanner;
    scanner.feed("data: x\r\r", sink);
    EXPECT_EQ(sink.text, "other [] 1\n");
    scanner.feed("\n", sink);
    EXPECT_EQ(sink.text, "other [] 1\n");
}

TEST(sse_scanner, data_lines_are_joined_by_line_feeds) {
    EXPECT_EQ(scan("event: error\ndata: a\ndata:\ndata:  b\ndata\n\n"), "error [a\n\n b\n] 6\n");
    EXPECT_EQ(scan("event: content_block_delta\ndata: ab\ndata: c\n\n"), "content_block_delta [] 4\n");
}

TEST(sse_scanner, one_space_after_the_colon_is_optional) {
    EXPECT_EQ(scan("event:error\ndata:a\n\nevent: error\ndata:  a \n\n"), "error [a] 1\nerror [ a ] 3\n");
}

TEST(sse_scanner, the_event_line_may_come_after_the_data) {
    EXPECT_EQ(scan("data: {\"a\":1}\nevent: message_delta\n\n"), "message_delta [{\"a\":1}] 7\n");
}

TEST(sse_scanner, data_lost_before_its_kind_was_known_is_oversized) {
    const auto data = std::string(100, 'x');
    EXPECT_EQ(scan(fmt::format("data: {}\nevent: message_delta\n\n", data)), "message_delta [] 100 oversized\n");
    EXPECT_EQ(scan(fmt::format("event: ping\ndata: {0}\nevent: error\ndata: {0}\n\n", data)),
              "error [] 201 oversized\n");
}

TEST(sse_scanner, the_last_event_line_counts_and_an_empty_one_is_none) {
    EXPECT_EQ(scan("event: ping\nevent: error\ndata: a\n\n"), "error [a] 1\n");
    EXPECT_EQ(scan("event: ping\nevent\ndata: {\"type\":\"error\"}\n\n"), "error [{\"type\":\"error\"}] 16\n");
    EXPECT_EQ(scan("event: ping\nevent:\ndata: x\n\n"), "other [] 1\n");
}

TEST(sse_scanner, without_an_event_line_the_type_at_the_head_of_the_data_tells_the_kind) {
    EXPECT_EQ(scan("data: {\"type\":\"message_stop\"}\n\n"), "message_stop [] 23\n");
    EXPECT_EQ(scan("data: { \"type\" :\ndata: \"message_delta\"}\n\n"),
              "message_delta [{ \"type\" :\n\"message_delta\"}] 27\n");
    const auto text = std::string(100, 'x');
    EXPECT_EQ(scan(fmt::format("data: {{\"type\":\"content_block_delta\",\"d\":\"{}\"}}\n\n", text)),
              "content_block_delta [] 137\n");
    EXPECT_EQ(scan(fmt::format("data: {{\"type\":\"error\",\"d\":\"{}\"}}\n\n", text)),
              fmt::format("error [{{\"type\":\"error\",\"d\":\"{}\"}}] 123\n", text));
}

TEST(sse_scanner, a_type_that_is_not_the_first_member_tells_nothing) {
    EXPECT_EQ(scan("data: {\"index\":0,\"type\":\"ping\"}\n\ndata: [DONE]\n\ndata: {\"type\":\"pi\n\n"),
              "other [] 25\nother [] 6\nother [] 11\n");
}

TEST(sse_scanner, an_event_without_data_is_none_and_leaves_nothing_behind) {
    EXPECT_EQ(scan("event: message_stop\n\ndata: x\n\n"), "other [] 1\n");
    EXPECT_EQ(scan("event: message_stop\ndata\n\n"), "message_stop [] 0\n");
}

TEST(sse_scanner, comments_and_unknown_fields_are_passed_over) {
    EXPECT_EQ(scan(": data: no\n\n:\nevent: error\n:data: no\nid: 4\nretry: 5\nDATA: no\ndat: no\ndatas: no\n data: "
                   "no\ndata : no\n"
                   "data: yes\ne\neventful: ping\n\n"),
              "error [yes] 3\n");
}

TEST(sse_scanner, a_byte_order_mark_counts_only_at_the_very_start) {
    EXPECT_EQ(scan("\xEF\xBB\xBF"
                   "data: a\n\n"),
              "other [] 1\n");
    EXPECT_EQ(scan("\xEF\xBB\xBF\xEF\xBB\xBF"
                   "data: a\n\n"),
              "");
    EXPECT_EQ(scan("\n\xEF\xBB\xBF"
                   "data: a\n\n"),
              "");
    EXPECT_EQ(scan("\xEF\xBB"
                   "data: a\ndata: b\n\n"),
              "other [] 1\n");
    EXPECT_EQ(scan("\xEF\n\ndata: a\n\n"), "other [] 1\n");
}

TEST(sse_scanner, text_beyond_the_limit_is_not_kept_but_counted) {
    EXPECT_EQ(scan("event: error\ndata: 12345\n\nevent: error\ndata: 123456\n\nevent: error\ndata: 1\n\n", 5),
              "error [12345] 5\nerror [] 6 oversized\nerror [1] 1\n");
    const auto long_text = std::string(101, 'x'), fitting = std::string(100, 'y');
    EXPECT_EQ(scan(fmt::format("event: error\ndata: {}\n\nevent: error\ndata: {}\n\n", long_text, fitting), 100),
              fmt::format("error [] 101 oversized\nerror [{}] 100\n", fitting));
    EXPECT_EQ(scan(fmt::format("event: ping\ndata: {}\n\n", long_text), 100), "ping [] 101\n");
    EXPECT_EQ(scan(fmt::format("event: error\ndata: {}\ndata\n\n", fitting), 100), "error [] 101 oversized\n");
}

TEST(sse_scanner, an_unfinished_event_is_not_reported) {
    for (const std::string_view stream : {"", "data: x", "data: x\n", "event: ping\ndata: x\n"})
        EXPECT_EQ(scan(stream), "");
}

TEST(sse_scanner, it_is_between_events_only_after_a_blank_line_or_at_the_start) {
    EXPECT_EQ(gaps_in("data:x\n\n"), "ynnnnnnny");
    EXPECT_EQ(gaps_in("e\n\ne\n\n"), "ynnynny");
    EXPECT_EQ(gaps_in("\n\n"), "yyy");
    EXPECT_EQ(gaps_in(":\n\n:"), "ynnyn");
}

TEST(sse_scanner, a_cr_leaves_open_whether_its_line_end_is_over) {
    EXPECT_EQ(gaps_in("x\r\n\r\n"), "ynnnny");
    EXPECT_EQ(gaps_in("x\r\rx"), "ynnnn");
    EXPECT_EQ(gaps_in("x\n\r\n"), "ynnny");
    EXPECT_EQ(gaps_in("\r\n"), "yny");
}

TEST(sse_scanner, half_a_byte_order_mark_is_no_place_to_insert) {
    EXPECT_EQ(gaps_in("\xEF\xBB\xBF"
                      "e\n\n"),
              "ynnynny");
    EXPECT_EQ(gaps_in("\xEF\n\n"), "ynny");
}

TEST(sse_scanner, an_empty_piece_changes_nothing) {
    log_sink sink;
    sse_scanner scanner;
    for (const std::string_view piece : {"", "data: x\r", "", "\n\r\n", ""}) {
        scanner.feed(piece, sink);
    }
    EXPECT_EQ(sink.text, "other [] 1\n");
    EXPECT_TRUE(scanner.between_events());
}

}  // namespace
