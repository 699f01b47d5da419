// Runs tests/golden/usage/*.case: each input whole, and again at every position where a network could split it. The
// format of the files is told in tests/golden/README.md.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "anthropic/usage_meter.hpp"

namespace {

using namespace anthropic;

// Longer inputs are fed byte by byte instead of split at every position.
constexpr std::size_t every_split_bytes_max = 4096;

struct golden_case {
    std::string input;
    bool is_stream = false;
    std::string expected;
};

// Replaces <LF>, <CR>, <SP>, <BOM> and <N*c>; the file's own line feeds are dropped.
std::string without_marks(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        if (text.front() == '<') {
            const auto mark = text.substr(1, std::min(text.find('>'), text.size()) - 1);
            const auto star = mark.find('*');
            const auto is_count =
                star != mark.npos && star > 0 && star + 2 == mark.size() &&
                std::ranges::all_of(mark.substr(0, star), [](char c) { return c >= '0' && c <= '9'; });
            const auto before = result.size();
            if (mark == "LF") result += '\n';
            if (mark == "CR") result += '\r';
            if (mark == "SP") result += ' ';
            if (mark == "BOM") result += "\xEF\xBB\xBF";
            if (is_count) result.append(std::stoul(std::string(mark.substr(0, star))), mark.back());
            if (result.size() != before) {
                text.remove_prefix(mark.size() + 2);
                continue;
            }
        }
        if (text.front() != '\n') result += text.front();
        text.remove_prefix(1);
    }
    return result;
}

golden_case read_case(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const auto begin = text.find("--- ");
    const auto input = text.find('\n', begin) + 1;
    const std::string_view last_heading = "--- expected\n";
    const auto expected = text.rfind(last_heading);
    if (begin == text.npos || expected == text.npos || expected < input) return {};
    const auto heading = text.substr(begin, input - begin);
    golden_case found;
    found.is_stream = heading.starts_with("--- stream");
    found.input = text.substr(input, expected - input);
    if (heading.ends_with("with marks\n")) found.input = without_marks(found.input);
    found.expected = text.substr(expected + last_heading.size());
    return found;
}

template <class T>
void write(std::string& to, std::string_view name, const T& value) {
    if (value != T{}) to += fmt::format("{}: {}\n", name, value);
}

void write_split(std::string& to, std::string_view format, const token_counts& tokens) {
    if (tokens.cache_creation_5m)
        to += fmt::format(fmt::runtime(format), "cache_creation_5m", *tokens.cache_creation_5m);
    if (tokens.cache_creation_1h)
        to += fmt::format(fmt::runtime(format), "cache_creation_1h", *tokens.cache_creation_1h);
}

std::string written(const iteration& one) {
    std::string line = fmt::format("iteration: type={}", one.type);
    if (!one.model.empty()) line += fmt::format(" model={}", one.model);
    const auto count = [&](std::string_view name, std::uint64_t value) {
        if (value != 0) line += fmt::format(" {}={}", name, value);
    };
    count("input_tokens", one.tokens.input_tokens);
    count("cache_creation_input_tokens", one.tokens.cache_creation_input_tokens);
    count("cache_read_input_tokens", one.tokens.cache_read_input_tokens);
    count("output_tokens", one.tokens.output_tokens);
    write_split(line, " {}={}", one.tokens);
    return line + '\n';
}

// All fields that differ from their default, one a line, in the order of the case files.
std::string written(const metered& result) {
    constexpr std::string_view states[] = {"none", "partial", "complete"};
    const auto& [state, counts, message_id, model, stop_reason, error_type, began_with_error, events, text_bytes,
                 content_bytes, damaged] = result;
    std::string text = fmt::format("state: {}\n", states[static_cast<std::size_t>(state)]);
    write(text, "input_tokens", counts.tokens.input_tokens);
    write(text, "cache_creation_input_tokens", counts.tokens.cache_creation_input_tokens);
    write(text, "cache_read_input_tokens", counts.tokens.cache_read_input_tokens);
    write(text, "output_tokens", counts.tokens.output_tokens);
    write_split(text, "{}: {}\n", counts.tokens);
    write(text, "thinking_tokens", counts.thinking_tokens);
    write(text, "web_search_requests", counts.web_search_requests);
    write(text, "web_fetch_requests", counts.web_fetch_requests);
    write(text, "service_tier", counts.service_tier);
    write(text, "inference_geo", counts.inference_geo);
    write(text, "speed", counts.speed);
    for (const auto& one : counts.iterations) text += written(one);
    write(text, "message_id", message_id);
    write(text, "model", model);
    write(text, "stop_reason", stop_reason);
    write(text, "error_type", error_type);
    if (began_with_error) text += "began_with_error: yes\n";
    write(text, "events", events);
    write(text, "content_bytes", content_bytes);
    if (damaged) text += "damaged: yes\n";
    return text;
}

// Each piece is copied to memory of its own, so that reading beyond it is noticed.
std::string meter(const golden_case& one, const std::vector<std::string>& pieces) {
    if (one.is_stream) {
        sse_scanner scanner;
        stream_meter meter;
        for (const auto& piece : pieces) scanner.feed(piece, meter);
        return written(meter.result());
    }
    json_meter meter;
    for (const auto& piece : pieces) meter.feed(piece);
    meter.finish();
    return written(meter.result());
}

std::vector<std::filesystem::path> case_files() {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_DIR "/usage")) {
        if (entry.path().extension() == ".case") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

class usage_golden : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(usage_golden, is_metered_as_written) {
    const auto one = read_case(GetParam());
    ASSERT_FALSE(one.expected.empty()) << "not a case file";
    EXPECT_EQ(meter(one, {one.input}), one.expected);
}

TEST_P(usage_golden, is_metered_alike_at_every_split) {
    const auto one = read_case(GetParam());
    if (one.input.size() > every_split_bytes_max) {
        std::vector<std::string> bytes;
        for (const char byte : one.input) bytes.emplace_back(1, byte);
        EXPECT_EQ(meter(one, bytes), one.expected);
        return;
    }
    for (std::size_t position = 1; position < one.input.size(); ++position) {
        ASSERT_EQ(meter(one, {one.input.substr(0, position), one.input.substr(position)}), one.expected)
            << "split after byte " << position;
    }
}

INSTANTIATE_TEST_SUITE_P(cases, usage_golden, testing::ValuesIn(case_files()),
                         [](const auto& info) { return info.param.stem().string(); });

TEST(usage_golden_files, are_found) { EXPECT_GE(case_files().size(), 46U); }

}  // namespace
