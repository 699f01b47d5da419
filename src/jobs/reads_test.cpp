#include "jobs/reads.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace jobs::reads {
namespace {

TEST(reads, every_end_of_a_look_is_an_answer) {
    using maybe = std::optional<int>;
    std::string why;
    const auto refused = [&](const std::string& told) { why = told; };
    const auto answer = [&](const auto& look) { return answer_of<int>(look, refused); };
    const auto fails = [&](database::failure_kind kind) {
        return answer([kind]() -> maybe { throw database::failure(kind, "the reason"); });
    };
    EXPECT_EQ(answer([]() -> maybe { return 3; }), std::pair(outcome::done, 3));
    EXPECT_EQ(answer([]() -> maybe { return {}; }), std::pair(outcome::not_found, 0));
    EXPECT_EQ(fails(database::failure_kind::busy), std::pair(outcome::unavailable, 0));
    EXPECT_EQ(fails(database::failure_kind::unavailable), std::pair(outcome::unavailable, 0));
    EXPECT_EQ(why, "") << "only what does not pass by itself is told";
    EXPECT_EQ(fails(database::failure_kind::invalid), std::pair(outcome::refused, 0));
    EXPECT_EQ(why, "the reason");
    EXPECT_EQ(answer([]() -> maybe { throw std::out_of_range("not the database's"); }), std::pair(outcome::refused, 0));
    EXPECT_EQ(why, "not the database's");
}

}  // namespace
}  // namespace jobs::reads
