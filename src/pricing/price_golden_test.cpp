// Runs tests/golden/prices/*.yaml against the shipped table. The format of the files is told in tests/golden/README.md.
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "pricing/pricing.hpp"

namespace {

constexpr std::string_view moment_unless_told = "2026-11-25T12:00:00.000";

struct price_case {
    std::string name;
    std::string model;
    std::string asked;
    std::string at = std::string(moment_unless_told);
    anthropic::usage usage;
    pricing::answer_facts facts;
    std::string dollars;
    bool unknown = false;
};

// "2026-10-06T23:59:59.999", UTC, in milliseconds since 1970.
std::int64_t milliseconds_of(const std::string& at) {
    if (at.size() != moment_unless_told.size()) throw std::runtime_error("not a moment: " + at);
    const auto number = [&](std::size_t begin, std::size_t size) {
        int value = -1;
        std::from_chars(at.data() + begin, at.data() + begin + size, value);
        return value;
    };
    using namespace std::chrono;
    const sys_days day = year(number(0, 4)) / number(5, 2) / number(8, 2);
    const auto time = hours(number(11, 2)) + minutes(number(14, 2)) + seconds(number(17, 2));
    return duration_cast<milliseconds>(day.time_since_epoch() + time).count() + number(20, 3);
}

bool read_count(anthropic::token_counts& counts, const std::string& key, const YAML::Node& value) {
    const auto tokens = [&] { return value.as<std::uint64_t>(); };
    if (key == "input")
        counts.input_tokens = tokens();
    else if (key == "writes")
        counts.cache_creation_input_tokens = tokens();
    else if (key == "write_5m")
        counts.cache_creation_5m = tokens();
    else if (key == "write_1h")
        counts.cache_creation_1h = tokens();
    else if (key == "read")
        counts.cache_read_input_tokens = tokens();
    else if (key == "output")
        counts.output_tokens = tokens();
    else
        return false;
    return true;
}

// Writes that only the split names are the sum of the split.
void complete(anthropic::token_counts& counts) {
    if (counts.cache_creation_input_tokens != 0) return;
    counts.cache_creation_input_tokens = counts.cache_creation_5m.value_or(0) + counts.cache_creation_1h.value_or(0);
}

anthropic::iteration read_iteration(const YAML::Node& node) {
    anthropic::iteration made;
    for (const auto& item : node) {
        const auto key = item.first.as<std::string>();
        if (key == "type")
            made.type = item.second.as<std::string>();
        else if (key == "model")
            made.model = item.second.as<std::string>();
        else if (!read_count(made.tokens, key, item.second))
            throw std::runtime_error("unknown key " + key);
    }
    complete(made.tokens);
    return made;
}

price_case read_case(const YAML::Node& node) {
    price_case made;
    for (const auto& item : node) {
        const auto key = item.first.as<std::string>();
        const auto& value = item.second;
        if (key == "name")
            made.name = value.as<std::string>();
        else if (key == "model")
            made.model = value.as<std::string>();
        else if (key == "asked")
            made.asked = value.as<std::string>();
        else if (key == "at")
            made.at = value.as<std::string>();
        else if (key == "asked_one_hour")
            made.facts.one_hour_writes = value.as<bool>();
        else if (key == "asked_us")
            made.facts.us_only = value.as<bool>();
        else if (key == "asked_batch")
            made.facts.batch = value.as<bool>();
        else if (key == "tier")
            made.usage.service_tier = value.as<std::string>();
        else if (key == "geo")
            made.usage.inference_geo = value.as<std::string>();
        else if (key == "speed")
            made.usage.speed = value.as<std::string>();
        else if (key == "searches")
            made.usage.web_search_requests = value.as<std::uint64_t>();
        else if (key == "dollars")
            made.dollars = value.as<std::string>();
        else if (key == "unknown")
            made.unknown = value.as<bool>();
        else if (key == "iterations") {
            for (const auto& one : value) made.usage.iterations.push_back(read_iteration(one));
        } else if (!read_count(made.usage.tokens, key, value)) {
            throw std::runtime_error("unknown key " + key);
        }
    }
    complete(made.usage.tokens);
    if (made.name.empty() || made.dollars.empty()) throw std::runtime_error("a case needs `name` and `dollars`");
    return made;
}

// A table has a row a model and a column a class of tokens; each cell is a case.
void read_classes(const YAML::Node& table, std::vector<price_case>& cases) {
    const auto columns = table["columns"].as<std::vector<std::string>>();
    for (const auto& row : table["rows"]) {
        if (row.size() != columns.size()) throw std::runtime_error("a row has another length than `columns`");
        for (std::size_t i = 1; i < columns.size(); ++i) {
            YAML::Node one;
            one["name"] = row[0].as<std::string>() + " " + columns[i];
            one[columns[0]] = row[0];
            one[columns[i]] = table["tokens"];
            one["dollars"] = row[i];
            for (const auto& item : table["given"]) one[item.first.as<std::string>()] = item.second;
            cases.push_back(read_case(one));
        }
    }
}

std::vector<price_case> read_cases(const std::string& path) {
    std::vector<price_case> cases;
    const auto root = YAML::LoadFile(path);
    for (const auto& table : root["classes"]) read_classes(table, cases);
    for (const auto& node : root["cases"]) cases.push_back(read_case(node));
    return cases;
}

std::vector<std::filesystem::path> case_files() {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_DIR "/prices")) {
        if (entry.path().extension() == ".yaml") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

class price_golden : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(price_golden, costs_what_is_written) {
    const auto cases = read_cases(GetParam());
    EXPECT_FALSE(cases.empty()) << "not a case file";
    for (const auto& one : cases) {
        SCOPED_TRACE(one.name);
        auto facts = one.facts;
        facts.at_ms = milliseconds_of(one.at);
        facts.model_asked = one.asked;
        const auto cost = pricing::price_table::shipped().cost_of(one.usage, one.model, facts);
        EXPECT_EQ(base::dollars_text(cost.amount), one.dollars);
        EXPECT_EQ(cost.unknown_model, one.unknown);
    }
}

INSTANTIATE_TEST_SUITE_P(cases, price_golden, testing::ValuesIn(case_files()),
                         [](const auto& info) { return info.param.stem().string(); });

TEST(price_golden_files, are_found) { EXPECT_GE(case_files().size(), 11U); }

}  // namespace
