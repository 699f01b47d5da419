// Runs tests/golden/assembly/: each stream must give the message that the official SDKs make of it, as JSON values; and
// so must the job's log of the same stream, which went through event_numbering in pieces of any size.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "anthropic/event_log.hpp"
#include "anthropic/message_assembly.hpp"

namespace {

using namespace anthropic;
using simdjson::dom::element;

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::filesystem::path> case_files() {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_DIR "/assembly")) {
        if (entry.path().extension() == ".sse") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

// Numbers as JavaScript has them, members in the order of their keys.
std::string canonical(element value) {
    std::string text;
    if (value.is_object()) {
        std::map<std::string, std::string> members;
        for (const auto member : simdjson::dom::object(value)) {
            members[std::string(member.key)] = canonical(member.value);
        }
        for (const auto& [key, written] : members) text += key + ": {\n" + written + "}\n";
        return "{" + text + "}";
    }
    if (value.is_array()) {
        for (const auto one : simdjson::dom::array(value)) text += canonical(one) + ",\n";
        return "[" + text + "]";
    }
    if (value.is_number()) return fmt::format("{}", double(value) + 0.0);  // -0 is 0 there
    if (value.is_string()) return std::string(value);
    return simdjson::minify(value);
}

std::string canonical(const std::string& json) {
    simdjson::dom::parser parser;
    element document;
    const auto error = parser.parse(json).get(document);
    return error ? std::string("not JSON: ") + simdjson::error_message(error) : canonical(document);
}

class assembly_golden : public testing::TestWithParam<std::filesystem::path> {
protected:
    const std::string stream = read_file(GetParam());
    const std::string expected = read_file(std::filesystem::path(GetParam()).replace_extension(".json"));

    void expect_message(message_assembler& assembler) {
        const auto message = assembler.take();
        if (expected == "null\n") {
            EXPECT_FALSE(message) << *message;
            return;
        }
        ASSERT_TRUE(message) << message.error().detail;
        EXPECT_EQ(canonical(*message), canonical(expected)) << *message;
    }
};

TEST_P(assembly_golden, is_assembled_as_the_official_sdks_do_it) {
    ASSERT_FALSE(expected.empty());
    message_assembler assembler;
    assembler.events(stream);
    expect_message(assembler);
}

TEST_P(assembly_golden, is_assembled_alike_from_the_log_of_a_job) {
    for (const std::size_t piece : {1U, 7U, 1000U}) {
        event_numbering numbering;
        std::string log;
        for (std::size_t at = 0; at < stream.size(); at += piece) {
            ASSERT_TRUE(numbering.feed(std::string(stream.substr(at, piece)), log));
        }
        EXPECT_TRUE(numbering.end_stream(log));
        EXPECT_EQ(last_id(log).value_or(0) + 1, numbering.next_id());
        message_assembler assembler;
        assembler.events(log);
        expect_message(assembler);
    }
}

INSTANTIATE_TEST_SUITE_P(cases, assembly_golden, testing::ValuesIn(case_files()),
                         [](const auto& info) { return info.param.stem().string(); });

TEST(assembly_golden_files, are_found) { EXPECT_GE(case_files().size(), 30U); }

}  // namespace
