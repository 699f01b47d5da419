#include "gateway/model_list_cache.hpp"

#include <gtest/gtest.h>

namespace gateway {
namespace {

TEST(model_list_cache, the_oldest_answer_makes_room_for_a_new_one) {
    model_list_cache cache;
    const auto target = [](std::size_t n) { return "/v1/models?limit=" + std::to_string(n); };
    for (std::size_t n = 0; n < model_list_cache::entries_max; ++n) cache.store(target(n), std::to_string(n));
    cache.store(target(0), "0 again");
    cache.store("/v1/models", "all");
    ASSERT_TRUE(cache.find("/v1/models"));
    EXPECT_EQ(*cache.find("/v1/models"), "all");
    EXPECT_EQ(*cache.find(target(0)), "0 again");
    EXPECT_FALSE(cache.find(target(1)));
    EXPECT_TRUE(cache.find(target(2)));
}

TEST(model_list_cache, what_is_too_long_is_not_kept) {
    model_list_cache cache;
    cache.store("/v1/models", std::string(model_list_cache::body_bytes_max + 1, 'x'));
    EXPECT_FALSE(cache.find("/v1/models"));
}

}  // namespace
}  // namespace gateway
