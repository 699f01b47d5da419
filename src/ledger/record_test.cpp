#include "ledger/record.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "ledger/checksum.hpp"
#include "ledger/details.hpp"
#include "ledger/plain_text.hpp"

namespace ledger {
namespace {

std::vector<std::byte> bytes_of(const attempt& done, std::span<const account_id> accounts = {}) {
    const attempt_plan as = plan(done, accounts.size());
    std::vector<std::byte> bytes(as.bytes);
    write_record(bytes.data(), as, done, done.started_ms, done.number, accounts);
    return bytes;
}

attempt sample() {
    attempt made;
    made.request_id = "req_cp_1";
    made.number = 2;
    made.started_ms = 1'700'000'000'123;
    made.finished_ms = 1'700'000'001'456;
    made.team_id = "team_a";
    made.key_id = "key_b";
    made.tags = R"(["blue","red"])";
    made.model_asked = "claude-opus-4-6";
    made.model = "claude-opus-4-6-20260101";
    made.route = "messages";
    made.status = 200;
    made.result = outcome::complete;
    made.stream = true;
    made.usage.tokens.input_tokens = 10;
    made.usage.tokens.output_tokens = 20;
    made.cost = 123;
    made.cost_low = 100;
    made.cost_high = 200;
    made.hold = 999;
    made.price_table = "0123456789abcdef";
    made.bytes_in = 5;
    return made;
}

anthropic::iteration iteration_of(const std::string& type, const std::string& model, std::uint64_t in,
                                  std::uint64_t out) {
    anthropic::iteration made;
    made.type = type;
    made.model = model;
    made.tokens.input_tokens = in;
    made.tokens.output_tokens = out;
    return made;
}

TEST(checksum, the_instruction_and_the_table_agree_with_the_published_value) {
    const std::string digits = "123456789";
    const auto* data = reinterpret_cast<const std::byte*>(digits.data());
    EXPECT_EQ(crc32c(data, digits.size()), 0xe3069283u);
    EXPECT_EQ(crc32c_by_table(data, digits.size()), 0xe3069283u);
    std::string longer;
    for (int i = 0; i < 1000; ++i) {
        longer += static_cast<char>(i * 7);
        const auto* bytes = reinterpret_cast<const std::byte*>(longer.data());
        ASSERT_EQ(crc32c(bytes, longer.size()), crc32c_by_table(bytes, longer.size())) << longer.size();
    }
}

TEST(record, an_attempt_comes_back_as_it_was_written) {
    const std::vector<account_id> accounts = {7, 9};
    const auto bytes = bytes_of(sample(), accounts);
    ASSERT_EQ(whole_record(bytes), bytes.size());
    EXPECT_EQ(kind_of(bytes.data()), record_kind::attempt);
    EXPECT_EQ(time_of(bytes.data()), 1'700'000'001'456);
    const attempt_view read = read_attempt(bytes.data());
    EXPECT_EQ(read[text::request_id], "req_cp_1");
    EXPECT_EQ(read[text::team_id], "team_a");
    EXPECT_EQ(read[text::key_id], "key_b");
    EXPECT_EQ(read[text::tags], R"(["blue","red"])");
    EXPECT_EQ(read[text::model], "claude-opus-4-6-20260101");
    EXPECT_EQ(read[text::price_table], "0123456789abcdef");
    EXPECT_EQ(read.summed_by, R"(team_akey_bclaude-opus-4-6-20260101["blue","red"])");
    EXPECT_EQ(read.numbers.number, 2u);
    EXPECT_EQ(read.numbers.started_ms, 1'700'000'000'123);
    EXPECT_EQ(read.numbers.status, 200);
    EXPECT_EQ(read.numbers.result, outcome::complete);
    EXPECT_EQ(read.numbers.tokens.input, 10u);
    EXPECT_EQ(read.numbers.tokens.output, 20u);
    EXPECT_EQ(read.numbers.cost, 123);
    ASSERT_EQ(read.numbers.accounts, 2);
    account_id second = 0;
    std::memcpy(&second, read.accounts + sizeof second, sizeof second);
    EXPECT_EQ(second, 9u);
    std::string details;
    append_details(details, read);
    EXPECT_EQ(details,
              R"({"route":"messages","model_asked":"claude-opus-4-6","stream":true,"hold_pico":999,"bytes_in":5})");
}

TEST(record, any_changed_byte_makes_a_record_torn) {
    const auto whole = bytes_of(sample());
    for (std::size_t i = 0; i < whole.size(); ++i) {
        auto torn = whole;
        torn[i] ^= std::byte{0x40};
        EXPECT_EQ(whole_record(torn), 0u) << i;
    }
    for (std::size_t length = 0; length < whole.size(); ++length)
        EXPECT_EQ(whole_record(std::span(whole).first(length)), 0u) << length;
    EXPECT_EQ(whole_record(std::vector<std::byte>(4096)), 0u) << "nothing written";
}

TEST(record, texts_that_are_too_long_are_cut_and_the_record_keeps_its_size) {
    const std::string endless(100'000, 'x');
    std::string umlauts;
    for (int i = 0; i < 1000; ++i) umlauts += "\xc3\xbc";
    std::string tags = "[";
    for (int i = 0; i < 1000; ++i) tags += (i > 0 ? ",\"tag" : "\"tag") + std::to_string(i) + "\"";
    tags += "]";
    attempt huge = sample();
    huge.request_id = huge.team_id = huge.key_id = huge.model = huge.model_asked = huge.route = huge.reason = endless;
    huge.price_table = huge.upstream_request_id = huge.message_id = huge.stop_reason = huge.user_agent = endless;
    huge.subject = umlauts;
    huge.tags = tags;
    huge.usage.service_tier = huge.usage.inference_geo = huge.usage.speed = endless;
    huge.usage.iterations.assign(100'000, iteration_of(std::string(80, 'x'), std::string(80, 'y'), 1, 0));
    const std::vector<account_id> accounts(1000, 1);
    const auto bytes = bytes_of(huge, accounts);
    ASSERT_LE(bytes.size(), record_bytes_max);
    ASSERT_EQ(whole_record(bytes), bytes.size());
    const attempt_view read = read_attempt(bytes.data());
    EXPECT_EQ(read.numbers.accounts, accounts_max);
    EXPECT_EQ(read[text::team_id], std::string(128, 'x'));
    EXPECT_EQ(read[text::subject], umlauts.substr(0, 128)) << "not within a character";
    EXPECT_LE(read[text::tags].size(), 512u);
    EXPECT_TRUE(read[text::tags].ends_with("\"]")) << read[text::tags];
    EXPECT_TRUE(tags.starts_with(read[text::tags].substr(0, read[text::tags].size() - 1)));
    EXPECT_EQ(read.numbers.tokens.input, 100'000u) << "sums are whole";
    EXPECT_GT(read.numbers.iterations, 5);
    EXPECT_EQ(read.numbers.iterations_cut, 0xffff);
}

TEST(record, texts_are_valid_whatever_they_were) {
    attempt foreign = sample();
    const std::string bad("a\0b\xff\xc3(\xed\xa0\x80\xf0\x9f\x98\x80", 13);
    foreign.subject = bad;
    foreign.user_agent = "\xf0\x9f\x98";  // half a character
    const auto bytes = bytes_of(foreign);
    const attempt_view read = read_attempt(bytes.data());
    EXPECT_EQ(read[text::subject],
              "a?b"
              "?"
              "?("
              "?"
              "?"
              "?\xf0\x9f\x98\x80");
    EXPECT_EQ(read[text::user_agent], "???");
    std::string json;
    append_json(json, "a\"b\\c\n\x01");
    EXPECT_EQ(json, R"("a\"b\\c\u000a\u0001")");
}

TEST(record, what_json_escapes_is_found_wherever_it_stands) {
    for (std::size_t length = 1; length <= 19; ++length) {
        for (std::size_t place = 0; place < length; ++place) {
            for (const auto& [byte, escaped] :
                 {std::pair{'"', "\\\""}, {'\\', "\\\\"}, {'\x1f', "\\u001f"}, {'\x7f', "\x7f"}, {'\xc3', "\xc3"}}) {
                std::string text(length, 'x');
                text[place] = byte;
                std::string json;
                append_json(json, text);
                EXPECT_EQ(json, "\"" + std::string(place, 'x') + escaped + std::string(length - place - 1, 'x') + "\"");
            }
        }
    }
}

TEST(record, what_was_billed_is_the_sum_over_the_iterations_when_there_are_any) {
    anthropic::usage usage;
    usage.tokens = {.input_tokens = 5,
                    .cache_creation_input_tokens = 100,
                    .cache_read_input_tokens = 7,
                    .output_tokens = 9,
                    .cache_creation_5m = 60,
                    .cache_creation_1h = 30};
    counts top = billed(usage);
    EXPECT_EQ(top.write_5m, 70u) << "the ten without a time to live are among them";
    EXPECT_EQ(top.write_1h, 30u);
    usage.iterations = {iteration_of("message", "m", 1, 2), iteration_of("compaction", {}, 10, 20)};
    const counts sum = billed(usage);
    EXPECT_EQ(sum.input, 11u);
    EXPECT_EQ(sum.output, 22u);
    EXPECT_EQ(sum.write_5m, 0u);
    attempt done = sample();
    done.usage = usage;
    const auto bytes = bytes_of(done);
    std::string details;
    append_details(details, read_attempt(bytes.data()));
    EXPECT_NE(details.find(R"("iterations":[{"type":"message","model":"m","input_tokens":1,"output_tokens":2},)"
                           R"({"type":"compaction","input_tokens":10,"output_tokens":20}])"),
              std::string::npos)
        << details;
}

TEST(record, an_open_attempt_keeps_its_ids_whole_and_cuts_the_rest) {
    attempt about = sample();
    const std::string id(128, 'i');
    const std::string model(96, 'm');
    const std::string request(64, 'r');
    const std::string table(32, 'p');
    std::string tags = "[\"" + std::string(300, 't') + "\"]";
    about.team_id = about.key_id = id;
    about.model = model;
    about.request_id = request;
    about.price_table = table;
    about.tags = tags;
    alignas(8) std::array<std::byte, slot_bytes> slot{};
    open_slot(slot.data(), about);
    ASSERT_TRUE(slot_is_open(slot.data()));
    ASSERT_TRUE(slot_is_whole(slot.data()));
    const attempt_view read = read_slot(slot.data());
    EXPECT_EQ(read[text::team_id], id);
    EXPECT_EQ(read[text::key_id], id);
    EXPECT_EQ(read[text::model], model);
    EXPECT_EQ(read[text::request_id], request);
    EXPECT_EQ(read[text::price_table], table);
    EXPECT_EQ(read[text::tags], "[]");
    EXPECT_EQ(read.summed_by, id + id + model + "[]");
    EXPECT_EQ(read.numbers.result, outcome::lost);
    EXPECT_EQ(read.numbers.cost, 0);
    EXPECT_EQ(read.numbers.cost_high, 999);
    slot[slot_bytes / 2] ^= std::byte{1};
    EXPECT_FALSE(slot_is_whole(slot.data()));
    free_slot(slot.data());
    EXPECT_FALSE(slot_is_open(slot.data()));
}

TEST(record, a_usual_open_attempt_keeps_everything) {
    attempt about = sample();
    about.subject = "user-1";
    about.user_agent = "sdk/1.0";
    about.model = {};
    alignas(8) std::array<std::byte, slot_bytes> slot{};
    open_slot(slot.data(), about);
    const attempt_view read = read_slot(slot.data());
    EXPECT_EQ(read[text::model], "claude-opus-4-6") << "the answer's model is not known yet";
    EXPECT_EQ(read[text::tags], R"(["blue","red"])");
    EXPECT_EQ(read[text::route], "messages");
    EXPECT_EQ(read[text::subject], "user-1");
    EXPECT_EQ(read[text::user_agent], "sdk/1.0");
}

TEST(record, a_refusal_comes_back_as_it_was_written) {
    const std::string endless(100'000, 'd');
    const refusal what{.request_id = "req_cp_2",
                       .at_ms = 77,
                       .team_id = "team_a",
                       .key_id = "key_b",
                       .model = "m",
                       .status = 429,
                       .reason = "budget_exhausted",
                       .detail = endless};
    std::vector<std::byte> bytes(record_bytes(what));
    ASSERT_LE(bytes.size(), record_bytes_max);
    write_record(bytes.data(), what);
    ASSERT_EQ(whole_record(bytes), bytes.size());
    EXPECT_EQ(kind_of(bytes.data()), record_kind::refusal);
    EXPECT_EQ(time_of(bytes.data()), 77);
    const refusal_view read = read_refusal(bytes.data());
    EXPECT_EQ(read.request_id, "req_cp_2");
    EXPECT_EQ(read.status, 429);
    EXPECT_EQ(read.reason, "budget_exhausted");
    EXPECT_EQ(read.detail, endless.substr(0, 512));
}

}  // namespace
}  // namespace ledger
