#include "anthropic/event_log.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "anthropic/raw_json.hpp"

namespace {

using namespace anthropic;

const std::string ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";

// The log of `stream`, which arrives in pieces of `size` bytes.
std::string log_of(std::string_view stream, std::size_t size = 1 << 20) {
    event_numbering numbering;
    std::string log;
    for (; !stream.empty(); stream.remove_prefix(std::min(size, stream.size()))) {
        EXPECT_TRUE(numbering.feed(std::string(stream.substr(0, size)), log));
    }
    numbering.end_stream(log);
    return log;
}

TEST(event_log, each_event_gets_an_id_and_keeps_its_bytes) {
    const std::string stream = ping + "event: x\ndata:  {\"a\":1}   \nretry: 5\ndata: more\n\n" + ping;
    const std::string log =
        "id: 1\n" + ping + "id: 2\nevent: x\ndata:  {\"a\":1}   \nretry: 5\ndata: more\n\nid: 3\n" + ping;
    for (std::size_t size = 1; size < stream.size(); ++size) EXPECT_EQ(log_of(stream, size), log) << size;
}

TEST(event_log, line_ends_stay_what_they_are) {
    for (const std::string_view end : {"\n", "\r\n", "\r"}) {
        const auto event = fmt::format("event: x{0}data: a{0}: note{0}{0}", end);
        for (std::size_t size = 1; size < 12; ++size) {
            EXPECT_EQ(log_of(event + event, size), "id: 1\n" + event + "id: 2\n" + event) << size;
        }
    }
}

TEST(event_log, ids_of_the_upstream_blocks_without_data_and_a_byte_order_mark_are_left_out) {
    const std::string stream = "\xEF\xBB\xBF: hello\n\n\n" + std::string("id: 77\n") +
                               "event: x\nid\ndata: a\nid:9\n\n" +
                               "event: none\n\nid: 5\n\n: keep-alive\n\ndata\n\nidea: b\ndata: c\n\n";
    const std::string log = "id: 1\nevent: x\ndata: a\n\nid: 2\ndata\n\nid: 3\nidea: b\ndata: c\n\n";
    for (std::size_t size = 1; size < stream.size(); ++size) EXPECT_EQ(log_of(stream, size), log) << size;
    EXPECT_EQ(log_of("\xEF\xBB\xBF" + ping, 2), "id: 1\n" + ping);
}

TEST(event_log, an_event_appears_with_its_last_byte) {
    event_numbering numbering({.first_id = 41});
    std::string log;
    ASSERT_TRUE(numbering.feed(ping.substr(0, ping.size() - 1), log));
    EXPECT_EQ(log, "");
    ASSERT_TRUE(numbering.feed("\n", log));
    EXPECT_EQ(log, "id: 41\n" + ping);
    EXPECT_EQ(numbering.next_id(), 42U);
    EXPECT_TRUE(numbering.end_stream(log));
}

TEST(event_log, half_an_event_is_dropped_with_its_stream) {
    event_numbering numbering;
    std::string log;
    ASSERT_TRUE(numbering.feed(ping + "event: half\ndata: {", log));
    EXPECT_FALSE(numbering.end_stream(log));
    ASSERT_TRUE(numbering.feed(ping + "event: ha\r", log));
    numbering.add("event: own\ndata: {}\n\n", log);
    ASSERT_TRUE(numbering.feed("\n\xEF\xBB\xBF" + ping, log));
    EXPECT_EQ(log,
              "id: 1\n" + ping + "id: 2\n" + ping + "id: 3\nevent: own\ndata: {}\n\n" + "id: 4\n\xEF\xBB\xBF" + ping)
        << "a mark counts only at the very beginning";
}

TEST(event_log, an_event_longer_than_the_limit_fails_until_the_next_stream) {
    event_numbering numbering({.event_bytes_max = 100});
    std::string log;
    ASSERT_TRUE(numbering.feed(ping + ping + ping, log));
    log.clear();
    std::string piece = "data: 0123456789\n";
    int fed = 0;
    while (fed < 20 && numbering.feed(piece, log)) ++fed;
    EXPECT_GE(fed, 5);
    EXPECT_LE(fed, 6);
    EXPECT_FALSE(numbering.feed("\n\n" + ping, log));
    EXPECT_EQ(log, "");
    numbering.add(restart_event(2, "x"), log);
    EXPECT_TRUE(numbering.feed(ping, log));
    EXPECT_TRUE(log.ends_with("id: 5\n" + ping));
}

TEST(event_log, a_reader_goes_on_behind_the_event_it_has_seen) {
    std::vector<std::string> events;
    std::string chunk;
    for (int id = 98; id <= 112; ++id) {
        events.push_back(fmt::format("id: {}\nevent: x\ndata: {{\"text\":\"id: {}\\nid: 99\"}}{}", id, id + 1,
                                     id % 3 == 0 ? "\r\r" : "\n\n"));
        chunk += events.back();
    }
    EXPECT_EQ(last_id(chunk), 112U);
    EXPECT_EQ(skip_to_after(chunk, 98, 0), chunk);
    EXPECT_EQ(skip_to_after(chunk, 98, 97), chunk);
    std::string rest = chunk;
    for (std::uint64_t id = 98; id <= 112; ++id) {
        rest.erase(0, events[id - 98].size());
        EXPECT_EQ(skip_to_after(chunk, 98, id), rest) << id;
    }
    EXPECT_EQ(skip_to_after(chunk, 98, 113), "");
    EXPECT_EQ(skip_to_after(chunk, 98, ~std::uint64_t{0}), "");
    EXPECT_EQ(skip_to_after("", 1, 5), "");
}

TEST(event_log, a_chunk_without_events_has_no_last_id) {
    EXPECT_EQ(last_id(""), std::nullopt);
    EXPECT_EQ(last_id("id: "), std::nullopt);
    EXPECT_EQ(last_id("xid: 5\n"), std::nullopt);
    EXPECT_EQ(last_id("id: 5\ndata: id: 6\n\n"), 5U);
}

TEST(event_log, our_own_events_are_single_events_of_valid_json) {
    EXPECT_EQ(restart_event(2, "upstream_cut"),
              "event: restart\ndata: {\"type\":\"restart\",\"attempt\":2,\"reason\":\"upstream_cut\"}\n\n");
    EXPECT_EQ(job_event("succeeded"), "event: job\ndata: {\"type\":\"job\",\"status\":\"succeeded\"}\n\n");
    EXPECT_EQ(job_event("failed", "{\n\"type\":\r\n\"x\"}"),
              "event: job\ndata: {\"type\":\"job\",\"status\":\"failed\",\"error\":{ \"type\":  \"x\"}}\n\n");
    const auto event = restart_event(3, "a\"b\nc\r\xFF");
    const auto data = std::string_view(event).substr(event.find('{'));
    EXPECT_TRUE(is_json(data)) << event;
    EXPECT_EQ(log_of(event), "id: 1\n" + event);
}

}  // namespace
