#include "governance/jwt_cache.hpp"

#include <gtest/gtest.h>

#include <random>

namespace governance {
namespace {

digest digest_number(std::uint64_t number) {  // spread as SHA-256 spreads
    std::mt19937_64 random(number);
    digest made{};
    for (auto& byte : made) byte = static_cast<unsigned char>(random());
    return made;
}
// All of one set, whatever the number of sets is.
digest in_one_set(unsigned char number) {
    digest made{};
    made[31] = number;
    return made;
}

std::shared_ptr<const verified_token> until(time_ms expires_at) {
    return std::make_shared<const verified_token>(verified_token{"team", {}, "subject", expires_at});
}

TEST(jwt_cache, finds_what_was_put_until_its_time_is_over) {
    token_cache cache(100);
    EXPECT_FALSE(cache.find(digest_number(1), 0));
    const auto one = until(1'000);
    cache.put(digest_number(1), one);
    EXPECT_EQ(cache.find(digest_number(1), 999), one);
    EXPECT_FALSE(cache.find(digest_number(2), 999));
    EXPECT_FALSE(cache.find(digest_number(1), 1'000));
    EXPECT_EQ(one.use_count(), 1);  // and given back
    EXPECT_FALSE(cache.find(digest_number(1), 999));
}

TEST(jwt_cache, every_byte_of_the_digest_counts) {
    token_cache cache(100);
    digest key = digest_number(1);
    cache.put(key, until(1'000));
    for (auto& byte : key) {
        byte ^= 1;
        EXPECT_FALSE(cache.find(key, 0));
        byte ^= 1;
    }
    EXPECT_TRUE(cache.find(key, 0));
}

TEST(jwt_cache, what_was_unused_for_longest_gives_way) {
    token_cache cache(8);  // one set
    for (unsigned char number = 0; number < 8; ++number) cache.put(in_one_set(number), until(1'000));
    EXPECT_TRUE(cache.find(in_one_set(0), 0));  // now 1 is the oldest
    cache.put(in_one_set(8), until(1'000));
    EXPECT_TRUE(cache.find(in_one_set(0), 0));
    EXPECT_FALSE(cache.find(in_one_set(1), 0));
    for (unsigned char number = 2; number <= 8; ++number) EXPECT_TRUE(cache.find(in_one_set(number), 0));
}

TEST(jwt_cache, an_entry_whose_time_was_over_gives_way_first) {
    token_cache cache(8);
    for (unsigned char number = 0; number < 8; ++number) cache.put(in_one_set(number), until(number == 7 ? 10 : 1'000));
    EXPECT_FALSE(cache.find(in_one_set(7), 10));
    cache.put(in_one_set(8), until(1'000));
    for (unsigned char number = 0; number < 7; ++number) EXPECT_TRUE(cache.find(in_one_set(number), 10));
}

TEST(jwt_cache, a_token_that_is_put_again_has_one_entry) {
    token_cache cache(8);
    for (int round = 0; round < 20; ++round) cache.put(in_one_set(1), until(1'000));
    for (unsigned char number = 2; number <= 8; ++number) cache.put(in_one_set(number), until(1'000));
    EXPECT_TRUE(cache.find(in_one_set(1), 0));
    const auto newer = until(2'000);
    cache.put(in_one_set(1), newer);
    EXPECT_EQ(cache.find(in_one_set(1), 0), newer);
}

TEST(jwt_cache, holds_no_more_than_it_may) {
    for (const std::size_t most : {0u, 1u, 3u, 7u, 8u, 9u, 100u, 10'000u}) {
        token_cache cache(most);
        EXPECT_LE(cache.capacity(), most);
        EXPECT_GE(cache.capacity() + 8, most);
        const auto shared = until(1'000);
        for (std::uint64_t number = 0; number < 3 * most + 10; ++number) cache.put(digest_number(number), shared);
        EXPECT_LE(static_cast<std::size_t>(shared.use_count()), most + 1);
        EXPECT_GE(static_cast<std::size_t>(shared.use_count()), most / 2 + 1);
    }
}

TEST(jwt_cache, nine_tenths_of_its_places_hold_tokens_at_once) {
    token_cache cache(10'000);
    for (std::uint64_t number = 0; number < 9'000; ++number) cache.put(digest_number(number), until(1'000));
    int found = 0;
    for (std::uint64_t number = 0; number < 9'000; ++number) found += cache.find(digest_number(number), 0) != nullptr;
    EXPECT_GE(found, 8'900);
}

TEST(jwt_cache, forgets_all_when_it_is_told) {
    token_cache cache(100);
    cache.put(digest_number(1), until(1'000));
    cache.clear();
    EXPECT_FALSE(cache.find(digest_number(1), 0));
    cache.put(digest_number(1), until(1'000));
    EXPECT_TRUE(cache.find(digest_number(1), 0));
}

}  // namespace
}  // namespace governance
