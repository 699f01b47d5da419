#include "anthropic/nested_skip.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>

namespace {

using namespace anthropic;

// What skip_nested promises, byte by byte: where depth becomes 1, or npos.
std::size_t plainly_skipped(std::string_view text, std::uint64_t depth) {
    bool in_string = false, escaped = false;
    for (std::size_t position = 0; position < text.size(); ++position) {
        const char byte = text[position];
        if (in_string) {
            in_string = escaped || byte != '"';
            escaped = !escaped && byte == '\\';
            continue;
        }
        if (byte == '"') in_string = true;
        if (byte == '{' || byte == '[') ++depth;
        if ((byte == '}' || byte == ']') && --depth == 1) return position + 1;
    }
    return text.npos;
}

std::size_t skipped(std::string_view text, std::uint64_t depth, std::size_t piece_bytes) {
    nesting at{.depth = depth, .in_string = false, .escaping = false};
    for (std::size_t position = 0; position < text.size(); position += piece_bytes) {
        const std::string piece(text.substr(position, piece_bytes));  // memory of its own: reading beyond it is noticed
        const char* const stop = skip_nested(piece.data(), piece.data() + piece.size(), at);
        if (at.depth == 1) {
            EXPECT_FALSE(at.in_string || at.escaping);
            return position + static_cast<std::size_t>(stop - piece.data());
        }
        EXPECT_EQ(stop, piece.data() + piece.size());
    }
    return text.npos;
}

TEST(nested_skip, the_end_of_a_value_is_found) {
    EXPECT_EQ(skipped("}", 2, 1), 1U);
    EXPECT_EQ(skipped(R"("a":[{},"}"]},"next")", 2, 100), 13U);
    EXPECT_EQ(skipped(R"("no end")", 2, 100), std::string_view::npos);
}

TEST(nested_skip, brackets_and_escaped_quotes_in_strings_do_not_count) {
    const std::string_view text = R"("]]]\"]\\\"]\\", 1]x)";
    for (std::size_t piece_bytes = 1; piece_bytes < 30; ++piece_bytes) {
        EXPECT_EQ(skipped(text, 2, piece_bytes), text.size() - 1) << piece_bytes;
    }
}

TEST(nested_skip, a_run_of_backslashes_may_cross_any_border) {
    for (std::size_t backslashes = 0; backslashes < 200; ++backslashes) {
        const auto text = '"' + std::string(backslashes, '\\') + "\"]\"]";
        for (const std::size_t piece_bytes : {1U, 63U, 64U, 65U, 128U, 1000U}) {
            EXPECT_EQ(skipped(text, 2, piece_bytes), plainly_skipped(text, 2)) << backslashes << ' ' << piece_bytes;
        }
    }
}

// Texts of the bytes that matter, valid or not, long enough for many blocks; the seed is fixed.
TEST(nested_skip, random_texts_end_where_a_plain_reading_ends) {
    std::mt19937 random(20261124);
    constexpr std::string_view alphabets[] = {R"("\{}[]a )", R"("\aaaaaaaaaaaaaaaaaa{}[)", R"("""aaa{{{{}}}[)",
                                              R"("\\\\\aa[)"};
    for (int round = 0; round < 20000; ++round) {
        const auto alphabet = alphabets[round % std::size(alphabets)];
        std::string text(random() % 400, ' ');
        for (char& byte : text) byte = alphabet[random() % alphabet.size()];
        const auto depth = 2 + random() % 6;
        const auto piece_bytes = 1 + random() % 200;
        ASSERT_EQ(skipped(text, depth, piece_bytes), plainly_skipped(text, depth)) << text << " depth " << depth;
    }
}

}  // namespace
