#include "anthropic/event_text.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace {

using namespace anthropic;

std::string events_of(std::string_view text) {
    std::string seen;
    for (event_text event(text); event.next();) {
        seen += std::string(event.name()) + "=" + std::string(event.data()) + ";";
    }
    return seen;
}

TEST(event_text, events_are_read_with_every_line_end) {
    EXPECT_EQ(events_of("event: a\ndata: 1\n\nevent:b\r\ndata:2\r\n\r\nevent: c\rdata:  3\r\r"), "a=1;b=2;c= 3;");
}

TEST(event_text, several_data_lines_are_joined) {
    EXPECT_EQ(events_of("data: 1\nevent: a\ndata\ndata: 2\n\ndata: 3\n\n"), "a=1\n\n2;=3;");
}

TEST(event_text, what_is_no_event_is_passed_over) {
    EXPECT_EQ(
        events_of("\xEF\xBB\xBF: comment\n\n\n\nid: 4\nevent: a\n\ndata: 1\nretry: 5\nother\n\nevent: half\ndata: 2\n"),
        "=1;");
    EXPECT_EQ(events_of(""), "");
}

}  // namespace
