#include "worker/webhook_signature.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "governance/webhook_secret.hpp"

namespace worker {
namespace {

// The vector of the specification's own test suites.
const base::secret known("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
constexpr std::string_view id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
constexpr std::string_view body = R"({"test": 2432232314})";
constexpr std::int64_t at = 1614265330;

std::string sign(std::vector<base::secret> secrets) { return webhook_signature(secrets, id, at, body); }

TEST(webhook_signature, is_that_of_the_specification) {
    EXPECT_EQ(sign({known}), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(webhook_signature, is_made_with_each_secret_in_force) {
    const base::secret other("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    EXPECT_EQ(sign({other, known}), sign({other}) + " " + sign({known}));
    EXPECT_EQ(sign({known, base::secret()}), sign({known}));
    EXPECT_EQ(sign({}), "");
}

// Two characters of padding, one and none: the key has the bytes that were encoded, and no zeros behind them. The
// expected texts are from `openssl dgst -sha256 -mac HMAC`.
TEST(webhook_signature, takes_keys_of_every_length) {
    EXPECT_EQ(sign({base::secret("whsec_YQ==")}), "v1,4ATY6QeOpFQ0Z2owamlwKn7NWXQfDKpPt/9/IazpuUw=");
    EXPECT_EQ(sign({base::secret("whsec_YWI=")}), "v1,vHojwjV0xppqxeWQOw3i9VrH5wjGxYf3RB6uU8E8Xuw=");
    EXPECT_EQ(sign({base::secret("whsec_YWJj")}), "v1,URhE6zQ2ln3B+4DmDiCe3mLkxY4/y+crhR43sKHipss=");
}

TEST(webhook_signature, takes_no_other_secret) {
    EXPECT_THROW(sign({base::secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}), std::invalid_argument);
    EXPECT_THROW(sign({base::secret("whsec_")}), std::invalid_argument);
    EXPECT_THROW(sign({base::secret("whsec_not*base64")}), std::invalid_argument);
}

TEST(webhook_secret, is_of_one_installation_one_team_and_one_number) {
    const governance::key_hasher hasher(base::secret("pepper")), other(base::secret("another pepper"));
    const auto text = [](const base::secret& what) { return std::string(what.reveal()); };
    const std::string first = text(governance::webhook_secret(hasher, "team_a", 1));
    EXPECT_EQ(first, text(governance::webhook_secret(hasher, "team_a", 1)));
    EXPECT_NE(first, text(governance::webhook_secret(hasher, "team_a", 2)));
    EXPECT_NE(first, text(governance::webhook_secret(hasher, "team_b", 1)));
    EXPECT_NE(first, text(governance::webhook_secret(other, "team_a", 1)));
    EXPECT_TRUE(first.starts_with("whsec_"));
    EXPECT_EQ(first.size(), 6 + 44u);
    EXPECT_FALSE(sign({base::secret(first)}).empty());
}

}  // namespace
}  // namespace worker
