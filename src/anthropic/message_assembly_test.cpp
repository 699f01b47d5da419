#include "anthropic/message_assembly.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "anthropic/event_log.hpp"
#include "anthropic/json_text.hpp"
#include "anthropic/raw_json.hpp"

namespace {

using namespace anthropic;
using base::errc;

std::string event(std::string_view name, std::string_view data) {
    return fmt::format("event: {}\ndata: {}\n\n", name, data);
}

std::string start(std::string_view message = R"({"id":"m","content":[],"stop_reason":null,"usage":{"a":1}})") {
    return event("message_start", fmt::format(R"({{"type":"message_start","message":{}}})", message));
}

std::string begin(std::size_t index, std::string_view block) {
    return event("content_block_start",
                 fmt::format(R"({{"type":"content_block_start","index":{},"content_block":{}}})", index, block));
}

std::string delta(std::size_t index, std::string_view what) {
    return event("content_block_delta",
                 fmt::format(R"({{"type":"content_block_delta","index":{},"delta":{}}})", index, what));
}

std::string text(std::size_t index, std::string_view raw) {
    return delta(index, fmt::format(R"({{"type":"text_delta","text":"{}"}})", raw));
}

std::string input(std::size_t index, std::string_view json) {
    std::string raw;
    append_escaped(raw, json);
    return delta(index, fmt::format(R"({{"type":"input_json_delta","partial_json":"{}"}})", raw));
}

std::string message_delta(std::string_view members) {
    return event("message_delta", fmt::format(R"({{"type":"message_delta",{}}})", members));
}

const std::string stop = event("message_stop", R"({"type":"message_stop"})");

std::string assembled(std::string_view stream) {
    message_assembler assembler;
    assembler.events(stream);
    const auto message = assembler.take();
    return message ? *message : "failed: " + message.error().detail;
}

TEST(message_assembly, values_and_keys_keep_their_spelling_and_order) {
    EXPECT_EQ(assembled(start(R"({"z":1.0,"id":"\u0041\/","big":123456789012345678901234567890,"content":[ ],)"
                              R"("far":1e400,"a":{"y" : -0.0 , "x":[1E5]},"usage":{"b":1.50,"a":2}})") +
                        begin(0, R"({"text":"", "type":"text" ,"n":1.0})") + text(0, R"(\u00e9\n)") +
                        text(0, "\xC3\xA9\\/") + begin(1, R"({"input":{},"type":"tool_use","m":[1.0]})") +
                        input(1, R"({"k": 1.0, "j":1e400,)") + input(1, R"("k":"\u0041"})") +
                        message_delta(R"("delta":{"stop_reason":"end\u005fturn"},"usage":{"a":3.00,"c":4e1})") + stop),
              R"({"z":1.0,"id":"\u0041\/","big":123456789012345678901234567890,"content":[)"
              R"({"text":"\u00e9\n)"
              "\xC3\xA9"
              R"(\/","type":"text","n":1.0},)"
              R"({"input":{"k": 1.0, "j":1e400,"k":"\u0041"},"type":"tool_use","m":[1.0]}],)"
              R"("far":1e400,"a":{"y" : -0.0 , "x":[1E5]},"usage":{"b":1.50,"a":3.00,"c":4e1},)"
              R"("stop_reason":"end\u005fturn"})");
}

TEST(message_assembly, halves_of_a_surrogate_pair_meet_again) {
    EXPECT_EQ(assembled(start() + begin(0, R"({"type":"text","text":"\ud83d"})") + text(0, R"(\ude00\ud83d)") +
                        text(0, R"(\ude00)") + stop),
              R"({"id":"m","content":[{"type":"text","text":"\ud83d\ude00\ud83d\ude00"}],"stop_reason":null,)"
              R"("usage":{"a":1}})");
    const auto half = [](std::string_view raw) {
        return delta(0, fmt::format(R"({{"type":"input_json_delta","partial_json":"{}"}})", raw));
    };
    EXPECT_EQ(assembled(start(R"({"content":[]})") + begin(0, R"({"type":"tool_use","input":{}})") +
                        half(R"([\"\ud83d)") + half(R"(\ude00\"])") + stop),
              "{\"content\":[{\"type\":\"tool_use\",\"input\":[\"\xF0\x9F\x98\x80\"]}]}");
}

TEST(message_assembly, members_that_no_sdk_knows_are_kept) {
    EXPECT_EQ(assembled(start(R"({"content":[],"usage":{"output_tokens":1,"kept":{}}})") +
                        message_delta(R"("delta":{"stop_reason":null,"new":[1]},"usage":{"output_tokens":9,"more":2,)"
                                      R"("kept":null},"also_new":{"b":1},"none":null)") +
                        stop),
              R"({"content":[],"usage":{"output_tokens":9,"kept":{},"more":2},"stop_reason":null,"new":[1],)"
              R"("also_new":{"b":1}})");
}

TEST(message_assembly, identity_and_content_are_never_replaced) {
    const auto message = R"({"id":"m","type":"message","role":"assistant","model":"x","content":[{"type":"y"}]})";
    EXPECT_EQ(assembled(start(message) +
                        message_delta(R"("delta":{"id":1,"type":2,"role":3,"model":4,"content":5,"usage":6},)"
                                      R"("id":7,"role":8,"model":9,"content":10)") +
                        stop),
              message);
}

TEST(message_assembly, a_repeated_key_means_its_last_value) {
    EXPECT_EQ(assembled(start(R"({"content":1,"id":"a","content":[],"\u0069d":"b"})") +
                        begin(0, R"({"type":"x","text":"1","type":"text","text":"2"})") + text(0, "3") + stop),
              R"({"content":[{"type":"x","text":"23","type":"text","text":"23"}],"id":"b"})");
}

TEST(message_assembly, content_and_usage_are_added_when_the_message_began_without) {
    EXPECT_EQ(assembled(start(R"({})") + begin(0, R"({"type":"x"})") + message_delta(R"("usage":{"o":1})") + stop),
              R"({"content":[{"type":"x"}],"usage":{"o":1}})");
    EXPECT_EQ(assembled(start(R"({"usage":null})") + stop), R"({"usage":null,"content":[]})");
    EXPECT_EQ(assembled(start(R"({"usage":null,"content":null})") + message_delta(R"("usage":{"o":1})") + stop),
              R"({"usage":{"o":1},"content":[]})");
}

TEST(message_assembly, an_input_that_is_no_json_names_its_block) {
    message_assembler assembler;
    assembler.events(start() + begin(0, R"({"type":"text","text":""})") +
                     begin(1, R"({"type":"tool_use","input":{}})") + input(1, R"({"a":1}})") + stop);
    EXPECT_TRUE(assembler.complete());
    const auto message = assembler.take();
    ASSERT_FALSE(message);
    EXPECT_EQ(message.error().kind, errc::upstream_protocol_error);
    EXPECT_NE(message.error().detail.find("content block 1"), std::string::npos) << message.error().detail;
}

TEST(message_assembly, what_does_not_belong_is_ignored_and_counted) {
    message_assembler assembler;
    assembler.events(text(0, "before") + start() + begin(0, R"({"type":"text","text":""})") + text(0, "a") +
                     delta(0, R"({"type":"future_delta","text":"b"})") +
                     delta(0, R"({"type":"signature_delta","signature":"c"})") + delta(0, "17") +
                     event("future", "no JSON") + event("ping", "") + text(0, "d") + stop + text(0, "after") +
                     event("error", "{}") + start());
    EXPECT_EQ(assembler.ignored_deltas(), 3U);
    EXPECT_FALSE(assembler.failure());
    EXPECT_NE(assembler.take().value_or("").find(R"("text":"ad")"), std::string::npos);
}

TEST(message_assembly, an_error_event_ends_it_and_is_kept) {
    message_assembler assembler;
    assembler.events(start() + event("error", R"({"type":"error","error":{"type":"overloaded_error"}})") + stop);
    EXPECT_FALSE(assembler.complete());
    ASSERT_TRUE(assembler.failure());
    EXPECT_EQ(assembler.failure()->kind, errc::upstream_error_event);
    EXPECT_EQ(assembler.upstream_error(), R"({"type":"error","error":{"type":"overloaded_error"}})");
    EXPECT_EQ(assembler.take().error().kind, errc::upstream_error_event);
    assembler.reset();
    assembler.event("error", "<html>");
    EXPECT_EQ(assembler.upstream_error(), "");
    EXPECT_TRUE(assembler.failure());
}

TEST(message_assembly, a_stream_that_breaks_off_gives_no_message) {
    message_assembler assembler;
    EXPECT_EQ(assembler.take().error().kind, errc::upstream_cut);
    assembler.events(start() + begin(0, R"({"type":"text","text":""})") + text(0, "a"));
    EXPECT_EQ(assembler.take().error().kind, errc::upstream_cut);
    assembler.events(text(0, "b") + stop);
    EXPECT_TRUE(assembler.take());
    EXPECT_FALSE(assembler.complete()) << "taken: as new";
}

TEST(message_assembly, events_that_break_the_protocol_fail_it) {
    const auto block = begin(0, R"({"type":"text","text":""})");
    for (const auto& stream : {
             event("message_start", R"({"type":"message_start"})"),
             event("message_start", "[]"),
             event("message_start", "{\"message\":{\"a\":\"\xFF\"}}"),
             start("17"),
             start() + start(),
             start() + begin(0, "17"),
             start() + event("content_block_start", R"({"index":0})"),
             start() + block + text(1, "a"),
             start() + block + event("content_block_delta", R"({"delta":{"type":"text_delta","text":"a"}})"),
             start() + block + delta(0, R"({"type":"text_delta"})"),
             start() + block + delta(0, R"({"type":"text_delta","text":null})"),
             start() + block + delta(0, R"({"type":"citations_delta"})"),
             start() + block + event("content_block_delta", R"({"index":0,"delta":{"type":"text_del)"),
         }) {
        message_assembler assembler;
        assembler.events(stream + stop);
        ASSERT_TRUE(assembler.failure()) << stream;
        EXPECT_EQ(assembler.failure()->kind, errc::upstream_protocol_error) << stream;
        EXPECT_FALSE(assembler.take());
    }
}

TEST(message_assembly, an_answer_longer_than_the_limit_fails) {
    message_assembler assembler({.answer_bytes_max = 2000});
    assembler.events(start() + begin(0, R"({"type":"text","text":""})"));
    for (int count = 0; count < 100 && !assembler.failure(); ++count) {
        assembler.events(text(0, "0123456789012345678901234567890123456789"));
    }
    ASSERT_TRUE(assembler.failure());
    EXPECT_NE(assembler.failure()->detail.find("2000 bytes"), std::string::npos);

    message_assembler blocks({.answer_bytes_max = 2000});
    blocks.events(start());
    for (std::size_t index = 0; index < 100 && !blocks.failure(); ++index) blocks.events(begin(index, "{}"));
    EXPECT_TRUE(blocks.failure()) << "empty blocks take memory too";
}

TEST(message_assembly, more_members_than_any_message_has_fail) {
    std::string members = R"({"content":[])";
    for (int count = 0; count < 600; ++count) members += fmt::format(",\"m{}\":0", count);
    message_assembler assembler;
    assembler.events(start(members + "}"));
    EXPECT_TRUE(assembler.failure());
}

TEST(message_assembly, a_restart_in_the_log_begins_anew) {
    event_numbering numbering;
    std::string log;
    const auto block = begin(0, R"({"type":"text","text":""})");
    ASSERT_TRUE(numbering.feed(start(R"({"id":"first"})") + block + text(0, "lost") + "event: half", log));
    numbering.add(restart_event(2, "upstream_cut"), log);
    ASSERT_TRUE(numbering.feed(start(R"({"id":"second"})") + block + text(0, "kept") + stop, log));
    numbering.add(job_event("succeeded"), log);
    EXPECT_EQ(assembled(log), R"({"id":"second","content":[{"type":"text","text":"kept"}]})");
}

// Random messages, told by streams that split them anywhere.
class random_message {
public:
    explicit random_message(std::uint32_t seed) : random_(seed) {}

    std::string stream, message;

    void make() {
        const std::string head = fmt::format(R"("id":"msg_{}","type":"message","n":{})", below(100), number());
        stream = start(fmt::format(R"({{{},"content":[],"stop_reason":null,"usage":{{"i":{},"o":0}}}})", head, 5));
        message = fmt::format(R"({{{},"content":[)", head);
        const auto blocks = below(5);
        for (std::size_t index = 0; index < blocks; ++index) {
            if (index > 0) message += ',';
            add_block(index);
        }
        const auto tokens = number();
        message += fmt::format(R"(],"stop_reason":"end_turn","usage":{{"i":5,"o":{}}}}})", tokens);
        stream +=
            message_delta(fmt::format(R"("delta":{{"stop_reason":"end_turn"}},"usage":{{"o":{}}})", tokens)) + stop;
    }

private:
    std::size_t below(std::size_t bound) { return random_() % bound; }

    std::string_view number() {
        constexpr std::string_view numbers[] = {"0", "1.0", "-2", "1e5", "1E+400", "98765432109876543210", "0.10"};
        return numbers[below(std::size(numbers))];
    }

    // Of the contents of a string, none of which may be split.
    std::vector<std::string_view> pieces() {
        constexpr std::string_view units[] = {
            "a", " ", "\\n", "\\\"", "\\\\", "\\u00e9", "\xC3\xA9", "\\ud83d", "\\ude00", "\\u0000", "\xF0\x9F\x98\x80",
            "{", "]", ",",   ":"};
        std::vector<std::string_view> chosen;
        for (auto count = below(40); count > 0; --count) chosen.push_back(units[below(std::size(units))]);
        return chosen;
    }

    // Sends `units` in deltas of random size; returns them joined.
    template <class Send>
    std::string split(const std::vector<std::string_view>& units, Send send) {
        std::string all, next;
        for (const auto unit : units) {
            next += unit;
            all += unit;
            if (below(4) == 0) {
                send(next);
                next.clear();
            }
        }
        if (!next.empty()) send(next);
        return all;
    }

    std::string value(int depth) {
        switch (below(depth > 3 ? 3 : 5)) {
            case 0:
                return std::string(number());
            case 1: {
                std::string string = "\"";
                for (const auto unit : pieces()) string += unit;
                return string + "\"";
            }
            case 2:
                return below(2) == 0 ? "null" : "true";
            case 3: {
                std::string array = "[";
                for (auto count = below(4); count > 0; --count) array += value(depth + 1) + (count > 1 ? " ,\n" : "");
                return array + "]";
            }
            default: {
                std::string object = "{";
                for (auto count = below(4); count > 0; --count) {
                    object += fmt::format("\"k{}\" :{}{}", below(3), value(depth + 1), count > 1 ? "," : "");
                }
                return object + "}";
            }
        }
    }

    void add_block(std::size_t index) {
        if (below(3) == 0) return add_tool(index);
        stream += begin(index, R"({"type":"text","x":1.0,"text":""})");
        const auto raw = split(pieces(), [&](std::string_view piece) { stream += text(index, piece); });
        message += fmt::format(R"({{"type":"text","x":1.0,"text":"{}"}})", raw);
    }

    void add_tool(std::size_t index) {
        stream += begin(index, R"({"type":"tool_use","input":{},"y":[]})");
        std::string json = "{}";
        if (below(4) > 0) json = value(0);
        std::vector<std::string_view> characters;
        for (std::string_view rest = json; !rest.empty();) {
            const auto next = utf8_prefix(rest, 4).size() < 4 ? utf8_prefix(rest, 4) : rest.substr(0, 4);
            characters.push_back(next);
            rest.remove_prefix(next.size());
        }
        split(characters, [&](std::string_view piece) { stream += input(index, piece); });
        message += fmt::format(R"({{"type":"tool_use","input":{},"y":[]}})", json);
    }

    std::mt19937 random_;
};

TEST(message_assembly, random_messages_come_out_as_they_went_in) {
    for (std::uint32_t seed = 0; seed < 3000; ++seed) {
        random_message one(seed);
        one.make();
        ASSERT_TRUE(is_json(one.message)) << one.message;
        ASSERT_EQ(assembled(one.stream), one.message) << "seed " << seed;
    }
}

}  // namespace
