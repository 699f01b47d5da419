#include "governance/key_secret.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <stdexcept>
#include <thread>

namespace governance {
namespace {

constexpr std::string_view letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

TEST(key_secret, a_secret_has_its_prefix_and_49_characters) {
    for (int i = 0; i < 1000; ++i) {
        const base::secret made = new_secret();
        const std::string_view text = made.reveal();
        ASSERT_EQ(text.size(), 6u + 43u + 6u);
        ASSERT_TRUE(text.starts_with("sk-cp-"));
        ASSERT_EQ(text.find_first_not_of(letters, 6), text.npos);
        ASSERT_TRUE(is_well_formed(text));
    }
}

TEST(key_secret, no_secret_comes_twice) {
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(seen.emplace(new_secret().reveal()).second);
}

TEST(key_secret, every_changed_character_is_noticed) {
    const base::secret made = new_secret();
    for (std::size_t i = 0; i < made.reveal().size(); ++i) {
        std::string changed(made.reveal());
        changed[i] = changed[i] == 'x' ? 'y' : 'x';
        EXPECT_FALSE(is_well_formed(changed)) << i;
    }
}

TEST(key_secret, other_shapes_are_not_well_formed) {
    const std::string good(new_secret().reveal());
    EXPECT_FALSE(is_well_formed(""));
    EXPECT_FALSE(is_well_formed("sk-cp-"));
    EXPECT_FALSE(is_well_formed(good + "0"));
    EXPECT_FALSE(is_well_formed(good.substr(0, good.size() - 1)));
    EXPECT_FALSE(is_well_formed("sk-cp-" + std::string(49, '-')));
    EXPECT_FALSE(is_well_formed("sk-ant-" + good.substr(7)));
}

// Worked out with Python's zlib.crc32: the CRC of 43 zeros is 0x7849568f.
TEST(key_secret, the_checksum_is_the_crc_32_of_the_43_characters_in_base62) {
    EXPECT_TRUE(is_well_formed("sk-cp-" + std::string(43, '0') + "2CZclj"));
}

TEST(key_secret, the_hint_is_the_end) {
    EXPECT_EQ(hint_of("sk-cp-abcdefgh"), "efgh");
    EXPECT_EQ(hint_of("abc"), "abc");
    EXPECT_EQ(hint_of(""), "");
}

TEST(key_secret, an_id_has_24_characters_and_is_recognized) {
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        const std::string id = new_id("team_");
        ASSERT_EQ(id.size(), 29u);
        ASSERT_TRUE(is_id("team_", id));
        ASSERT_FALSE(is_id("key_", id));
        ASSERT_TRUE(seen.insert(id).second);
    }
    EXPECT_FALSE(is_id("team_", "team_short"));
    EXPECT_FALSE(is_id("team_", "team_" + std::string(23, 'a') + "'"));
}

TEST(key_secret, hex_is_read_back) {
    digest what{};
    for (std::size_t i = 0; i < what.size(); ++i) what[i] = static_cast<unsigned char>(i * 9);
    EXPECT_EQ(digest_of_hex(hex_of(what)), what);
    EXPECT_FALSE(digest_of_hex(""));
    EXPECT_FALSE(digest_of_hex(std::string(63, '0')));
    EXPECT_FALSE(digest_of_hex(std::string(64, 'G')));
    EXPECT_FALSE(digest_of_hex(std::string(64, 'A')));
}

// RFC 4231, test case 2.
TEST(key_secret, the_hash_is_hmac_sha_256) {
    const key_hasher hasher{base::secret("Jefe")};
    EXPECT_EQ(hex_of(hasher.hash("what do ya want for nothing?")),
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(key_secret, hashers_with_different_peppers_do_not_mix) {
    const key_hasher one{base::secret("pepper one")};
    const key_hasher two{base::secret("pepper two")};
    const digest of_one = one.hash("x");
    const digest of_two = two.hash("x");
    EXPECT_NE(of_one, of_two);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(one.hash("x"), of_one);
        EXPECT_EQ(two.hash("x"), of_two);
    }
    std::thread([&] {
        EXPECT_EQ(two.hash("x"), of_two);
        EXPECT_EQ(one.hash("x"), of_one);
    }).join();
}

TEST(key_secret, a_hasher_at_the_address_of_an_old_one_uses_its_own_pepper) {
    std::optional<key_hasher> place;
    place.emplace(base::secret("first"));
    const digest first = place->hash("x");
    place.emplace(base::secret("second"));
    EXPECT_NE(place->hash("x"), first);
}

TEST(key_secret, the_last_secret_has_the_digest_of_the_secret_that_is_shown_now) {
    const key_hasher one{base::secret("pepper one")};
    const key_hasher two{base::secret("pepper two")};
    last_secret last;
    const std::string longest(200, 'l');
    for (const std::string_view secret :
         {"", "sk-cp-a", "sk-cp-a", "sk-cp-b", "sk-cp-", "sk-cp-b", longest.c_str(), longest.c_str() + 1, "sk-cp-b"}) {
        EXPECT_EQ(last.hash(one, secret), one.hash(secret)) << secret;
        EXPECT_EQ(last.hash(one, secret), one.hash(secret)) << secret;
    }
    EXPECT_EQ(last.hash(two, "sk-cp-b"), two.hash("sk-cp-b")) << "the same secret under another pepper";
    EXPECT_EQ(last.hash(one, "sk-cp-b"), one.hash("sk-cp-b"));
}

TEST(key_secret, an_empty_pepper_is_refused) { EXPECT_THROW(key_hasher{base::secret()}, std::invalid_argument); }

}  // namespace
}  // namespace governance
