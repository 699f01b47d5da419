#include "config/yaml_file.hpp"

#include <gtest/gtest.h>

#include "config/temporary_file.hpp"

namespace config {
namespace {

std::string problems_of(std::string_view text) {
    const temporary_file file(text);
    const auto read = read_yaml_file(file.path());
    if (read) return {};
    std::string all;
    for (const auto& problem : read.error()) all += problem + "\n";
    return all;
}

TEST(yaml_file, is_a_mapping_of_scalars_with_their_lines) {
    const temporary_file file("# comment\nping_interval: 15s\n\nthreads: 2\nupstream_url: \"http://127.0.0.1:9\"\n");
    const auto read = read_yaml_file(file.path());
    ASSERT_TRUE(read) << read.error().front();
    ASSERT_EQ(read->size(), 3u);
    EXPECT_EQ((*read)[0].key, "ping_interval");
    EXPECT_EQ((*read)[0].value, "15s");
    EXPECT_EQ((*read)[0].line, 2);
    EXPECT_EQ((*read)[1].value, "2");
    EXPECT_EQ((*read)[1].line, 4);
    EXPECT_EQ((*read)[2].value, "http://127.0.0.1:9");
}

TEST(yaml_file, may_be_empty) {
    for (const char* text : {"", "# nothing\n", "---\n"}) {
        const temporary_file file(text);
        const auto read = read_yaml_file(file.path());
        ASSERT_TRUE(read) << text;
        EXPECT_TRUE(read->empty());
    }
}

TEST(yaml_file, with_something_behind_its_end_is_refused_and_does_not_hang) {
    for (const char* text : {",", "threads: 1\n---\nthreads: 2\n", "threads: 1\n...\n}"}) {
        EXPECT_NE(problems_of(text), "") << text;
    }
}

TEST(yaml_file, with_merge_keys_is_refused_because_they_would_be_dropped) {
    EXPECT_EQ(problems_of("threads: 1\n<<: {ping_interval: 1s}\n"),
              "line 2: merge keys (`<<`) are not supported; write the values out\n");
}

TEST(yaml_file, tells_every_problem_with_its_line) {
    const std::string told =
        problems_of("threads: [1, 2]\nlisten: {a: b}\nthreads2: 1\nthreads2: 2\nlog_level:\n? [a]\n: 1\n");
    for (const char* line : {"line 1: `threads` must be a single value", "line 2: `listen` must be a single value",
                             "line 4: `threads2` is set a second time", "line 5: `log_level` has no value",
                             "line 6: a key must be a name"}) {
        EXPECT_NE(told.find(line), std::string::npos) << line << " is not in\n" << told;
    }
}

TEST(yaml_file, that_is_no_mapping_or_no_yaml_is_refused) {
    EXPECT_NE(problems_of("- a\n- b\n").find("must be a YAML mapping"), std::string::npos);
    EXPECT_NE(problems_of("just text").find("must be a YAML mapping"), std::string::npos);
    EXPECT_NE(problems_of("a: 1\n---\nb: 2\n").find("one YAML document"), std::string::npos);
    EXPECT_NE(problems_of("a: 1\nb: [1, 2\nc: 3\n").find("is not YAML"), std::string::npos);
    EXPECT_NE(problems_of("a: *nowhere\n").find("is not YAML"), std::string::npos);
    EXPECT_NE(problems_of(std::string_view("a: \0\n", 5)).find("NUL"), std::string::npos);
    EXPECT_NE(read_yaml_file("/no/such/file").error().front().find("cannot be read"), std::string::npos);
}

}  // namespace
}  // namespace config
