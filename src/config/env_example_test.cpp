// `.env.example` and the table of settings say the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "config/settings.hpp"
#include "config/temporary_file.hpp"

namespace config {
namespace {

struct example {
    std::string name;
    std::string value;
    std::string comment;  // the lines above it, joined
};

std::string file_name() { return std::filesystem::path(GOLDEN_DIR) / "../../.env.example"; }

// Settings stand there as `# NAME=value`, with nothing between the hash, one space and the name.
std::vector<example> examples() {
    std::vector<example> found;
    std::ifstream file(file_name());
    EXPECT_TRUE(file) << file_name();
    std::string comment;
    for (std::string line; std::getline(file, line);) {
        const bool hash = line.starts_with("# ");
        const std::string text = hash ? line.substr(2) : std::string();
        const std::size_t equals = text.find('=');
        const bool setting =
            equals != std::string::npos && text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == equals;
        if (setting) found.push_back({text.substr(0, equals), text.substr(equals + 1), comment});
        if (setting || !hash) {
            comment.clear();
        } else {
            comment += (comment.empty() ? "" : " ") + text;
        }
        EXPECT_TRUE(line.empty() || line.starts_with('#')) << "nothing may be set in the example: " << line;
    }
    return found;
}

TEST(env_example, has_every_setting_with_its_default_and_meaning_in_the_order_of_the_table) {
    const auto found = examples();
    const auto table = all_settings();
    ASSERT_EQ(found.size(), table.size());
    for (std::size_t i = 0; i < table.size(); ++i) {
        EXPECT_EQ(found[i].name, table[i].name);
        EXPECT_EQ(found[i].value, table[i].value) << table[i].name;
        EXPECT_EQ(found[i].comment, table[i].meaning) << table[i].name;
    }
}

TEST(env_example, changes_nothing_when_everything_in_it_is_uncommented) {
    std::string text;
    for (const auto& each : examples()) text += each.name + "=" + each.value + "\n";
    const temporary_file file(text);
    auto read = read_env_file(file.path());
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(read->size(), all_settings().size());
    (*read)["ANTHROPIC_API_KEY"] = "sk-ant-test";
    const auto made = load(*read);
    ASSERT_TRUE(made) << made.error().front();
    const settings fresh;
    EXPECT_EQ(made->upstream.url, fresh.upstream.url);
    EXPECT_EQ(made->upstream.head_timeout, fresh.upstream.head_timeout);
    EXPECT_EQ(made->server.in_flight_bytes_max, fresh.server.in_flight_bytes_max);
    EXPECT_EQ(made->log.records_max, fresh.log.records_max);
}

TEST(settings_table, names_are_unique_and_told_with_a_sentence) {
    std::vector<std::string_view> names;
    for (const auto& each : all_settings()) {
        names.push_back(each.name);
        EXPECT_TRUE(each.meaning.ends_with('.')) << each.name;
    }
    std::ranges::sort(names);
    EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

}  // namespace
}  // namespace config
