#include <gtest/gtest.h>

#include "config/settings.hpp"
#include "config/temporary_file.hpp"

namespace config {
namespace {

std::expected<environment, std::string> read_text(std::string_view text) {
    const temporary_file file(text);
    return read_env_file(file.path());
}

TEST(env_file, has_names_and_values) {
    const auto read = read_text("A=1\nB_2=two words\nempty=\nEQUALS=a=b\nURL=http://h/#x\n");
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, (environment{
                         {"A", "1"}, {"B_2", "two words"}, {"empty", ""}, {"EQUALS", "a=b"}, {"URL", "http://h/#x"}}));
}

TEST(env_file, may_have_comments_blank_lines_exports_and_indents) {
    const auto read = read_text("# comment\n\n   \n  # indented\nexport A=1\n  B=2 # why\nC=3 \t \nD= 4\nE=#nothing\n");
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, (environment{{"A", "1"}, {"B", "2"}, {"C", "3"}, {"D", "4"}, {"E", ""}}));
}

TEST(env_file, may_quote_values) {
    const auto read =
        read_text("A='a # b'\nB=\"a \\\"b\\\" \\\\ $HOME \\n\"  # comment\nC='it\\'\nD=\"\"\nE='say \"x\"'\n");
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, (environment{
                         {"A", "a # b"}, {"B", "a \"b\" \\ $HOME \\n"}, {"C", "it\\"}, {"D", ""}, {"E", "say \"x\""}}))
        << "only quotes and backslashes are escaped, nothing is expanded";
}

TEST(env_file, may_come_from_windows_and_may_lack_the_last_line_end) {
    const auto read = read_text(
        "\xef\xbb\xbf"
        "A=1\r\nB='2'\r\nC=3");
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, (environment{{"A", "1"}, {"B", "2"}, {"C", "3"}}));
}

TEST(env_file, names_the_line_that_is_wrong_and_not_its_value) {
    for (const auto& [text, line] : {std::pair{"A=1\nno equals sk-secret\n", "line 2"},
                                     {"\n\n1A=sk-secret\n", "line 3"},
                                     {"A B=sk-secret\n", "line 1"},
                                     {"=sk-secret\n", "line 1"},
                                     {"A='sk-secret\n", "line 1"},
                                     {"A=\"sk-secret\\\"\n", "line 1"},
                                     {"A='sk-secret'x\n", "line 1"},
                                     {"A=1\nA=sk-secret\n", "line 2"}}) {
        const auto read = read_text(text);
        ASSERT_FALSE(read) << text;
        EXPECT_TRUE(read.error().starts_with(std::string(line) + ": ")) << read.error();
        EXPECT_EQ(read.error().find("sk-secret"), std::string::npos) << read.error();
    }
}

TEST(env_file, that_is_no_text_file_is_refused) {
    EXPECT_FALSE(read_text(std::string_view("A=1\0B=2\n", 8)));
    EXPECT_FALSE(read_text("A=" + std::string(2 << 20, 'x')));
    EXPECT_FALSE(read_env_file("/no/such/file"));
    EXPECT_FALSE(read_env_file("/proc/self")) << "a directory";
}

TEST(process_environment, is_what_the_process_was_given) {
    ASSERT_EQ(setenv("CONFIG_TEST_VARIABLE", "a=b", 1), 0);
    const environment read = process_environment();
    unsetenv("CONFIG_TEST_VARIABLE");
    ASSERT_TRUE(read.contains("CONFIG_TEST_VARIABLE"));
    EXPECT_EQ(read.find("CONFIG_TEST_VARIABLE")->second, "a=b");
}

}  // namespace
}  // namespace config
