#include "jobs/reads.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace jobs::reads {
namespace {

TEST(reads, every_end_of_a_look_is_an_answer) {
    using maybe = std::optional<int>;
    EXPECT_EQ(answer_of<int>([]() -> maybe { return 3; }), std::pair(outcome::done, 3));
    EXPECT_EQ(answer_of<int>([]() -> maybe { return {}; }), std::pair(outcome::not_found, 0));
    EXPECT_EQ(answer_of<int>([]() -> maybe { throw database::failure(database::failure_kind::busy, "x"); }),
              std::pair(outcome::unavailable, 0));
    EXPECT_EQ(answer_of<int>([]() -> maybe { throw std::out_of_range("not the database's"); }),
              std::pair(outcome::unavailable, 0));
}

}  // namespace
}  // namespace jobs::reads
