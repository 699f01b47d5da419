#include "governance/jwt.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <thread>

#include "governance/jwt_signing.hpp"

namespace governance {
namespace {

using base::errc;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view shared_secret = "a shared secret of 40 bytes, as Supabase";
constexpr std::string_view rs256_head = R"({"alg":"RS256","typ":"JWT","kid":"rsa"})";
constexpr std::string_view es256_head = R"({"alg":"ES256","typ":"JWT","kid":"ec"})";
constexpr std::string_view hs256_head = R"({"alg":"HS256","typ":"JWT"})";

const signing_key& rsa() {
    static const signing_key key = signing_key::rsa();
    return key;
}
const signing_key& ec() {
    static const signing_key key = signing_key::ec();
    return key;
}
const signing_key& other_rsa() {
    static const signing_key key = signing_key::rsa();
    return key;
}
const signing_key& other_ec() {
    static const signing_key key = signing_key::ec();
    return key;
}

jwt_options by_key_set() {
    jwt_options made;
    made.jwks_url = "https://issuer.example/jwks.json";
    made.issuer = test_issuer;
    made.audience = test_audience;
    return made;
}
jwt_options by_secret() {
    jwt_options made = by_key_set();
    made.jwks_url.clear();
    made.secret = base::secret(std::string(shared_secret));
    return made;
}
jwt_options by_both() {
    jwt_options made = by_key_set();
    made.secret = base::secret(std::string(shared_secret));
    return made;
}

key_set keys_of(std::initializer_list<std::string> jwks) {
    auto made = parse_key_set(key_set_text(jwks));
    EXPECT_TRUE(made) << made.error().detail;
    return std::move(*made);
}
const key_set& issuer_keys() {
    static const key_set keys = keys_of({rsa().jwk("rsa"), ec().jwk("ec")});
    return keys;
}

base::result<verified_token> verify(std::string_view token, const jwt_options& options = by_both(),
                                    const key_set& keys = issuer_keys()) {
    auto outcome = verify_token(token, &keys, options, test_now);
    EXPECT_EQ(ERR_peek_error(), 0u) << "TLS on this thread would fail";
    return outcome;
}

// Refused for the reason, in a sentence that tells nothing of the token.
void expect_refused(std::string_view token, std::string_view because, const jwt_options& options = by_both(),
                    const key_set& keys = issuer_keys(), errc kind = errc::credential_invalid) {
    const auto outcome = verify(token, options, keys);
    ASSERT_FALSE(outcome) << "accepted as " << outcome->subject;
    EXPECT_EQ(outcome.error().kind, kind);
    EXPECT_THAT(outcome.error().detail, HasSubstr(because));
    for (std::size_t at = 0; at + 12 <= token.size(); at += 4)
        EXPECT_EQ(outcome.error().detail.find(token.substr(at, 12)), std::string::npos);
    const auto again = token_verifier(options).check(token, test_now);
    EXPECT_FALSE(again);
}

TEST(jwt, a_token_of_the_issuer_is_verified_with_each_algorithm) {
    for (const std::string& token :
         {signed_token(rsa(), rs256_head, payload_with()), signed_token(ec(), es256_head, payload_with()),
          hs256_token(shared_secret, hs256_head, payload_with())}) {
        const auto outcome = verify(token);
        ASSERT_TRUE(outcome) << outcome.error().detail;
        EXPECT_EQ(outcome->team, "blue");
        EXPECT_EQ(outcome->subject, "user-1");
        EXPECT_EQ(outcome->expires_at_ms, 1'800'000'630'000);
        EXPECT_TRUE(looks_like_jwt(token));
        EXPECT_FALSE(may_be_of_newer_key(token, &issuer_keys(), by_both()));
    }
    EXPECT_FALSE(looks_like_jwt("sk-cp-abc.def.ghi"));
    EXPECT_FALSE(looks_like_jwt("eyJhbGciOiJSUzI1NiJ9.e30"));
}

TEST(jwt, many_signatures_of_one_key_are_verified) {  // numbers of ECDSA that begin with zero bytes, too
    for (int number = 0; number < 600; ++number)
        EXPECT_TRUE(verify(signed_token(ec(), es256_head, payload_with({{"jti", std::to_string(number)}}))));
}

TEST(jwt, what_is_no_token_is_refused) {
    const std::string good = signed_token(rsa(), rs256_head, payload_with());
    expect_refused("", "three parts");
    expect_refused("eyJ", "three parts");
    expect_refused("..", "head");
    expect_refused(good.substr(0, good.rfind('.')), "three parts");
    expect_refused(good + ".", "three parts");
    expect_refused(good + ".e30.e30", "three parts");
    expect_refused(good + std::string(16 * 1024, 'A'), "longer than 16384 bytes");
    expect_refused("Bearer " + good, "head");
    expect_refused(" " + good, "head");
    expect_refused(std::string("\0", 1) + good, "head");
}

TEST(jwt, base64url_has_one_form_for_each_signature) {
    const std::string good = signed_token(ec(), es256_head, payload_with());  // 64 bytes: four spare bits at the end
    ASSERT_TRUE(verify(good));
    expect_refused(good + "==", "signature is missing, or not base64url");
    expect_refused(good + "\n", "signature is missing, or not base64url");
    expect_refused(good + "A", "signature");
    expect_refused(good + "+/", "signature is missing, or not base64url");
    std::string spare_bits = good;
    spare_bits.back() = static_cast<char>(spare_bits.back() + 1);  // A, Q, g, w: the next differs in a spare bit
    expect_refused(spare_bits, "signature is missing, or not base64url");
    std::string space = good;
    space.insert(space.rfind('.') + 5, " ");
    expect_refused(space, "signature is missing, or not base64url");
}

TEST(jwt, alg_none_is_refused_in_every_spelling) {
    for (const char* head : {R"({"alg":"none"})", R"({"alg":"None"})", R"({"alg":"nOnE","kid":"rsa"})", R"({"alg":""})",
                             R"({"typ":"JWT"})", R"({"alg":null})", R"({"alg":["RS256"]})", R"({"alg":1})",
                             R"({"alg":"RS256 "})", R"({"alg":"rs256","kid":"rsa"})"}) {
        expect_refused(unsigned_token(head, payload_with()) + ".", "`alg` is none of");
        expect_refused(signed_token(rsa(), head, payload_with()), "`alg` is none of");
        expect_refused(hs256_token("", head, payload_with()), "`alg` is none of");
    }
    const std::string good = signed_token(rsa(), rs256_head, payload_with());
    expect_refused(good.substr(0, good.rfind('.') + 1), "signature is missing");
}

TEST(jwt, algorithms_beside_the_three_are_refused_even_when_well_signed) {
    const auto rsa_signed = [](std::string_view head, const EVP_MD* method, bool pss) {
        const std::string text = unsigned_token(head, payload_with());
        return with_signature(text, rsa().sign(text, method, pss));
    };
    expect_refused(rsa_signed(R"({"alg":"RS512","kid":"rsa"})", EVP_sha512(), false), "`alg` is none of");
    expect_refused(rsa_signed(R"({"alg":"PS256","kid":"rsa"})", EVP_sha256(), true), "`alg` is none of");
    expect_refused(hs256_token(shared_secret, R"({"alg":"HS384"})", payload_with()), "`alg` is none of");
    // The name is right, the signature is of another kind.
    expect_refused(rsa_signed(rs256_head, EVP_sha256(), true), "signature is wrong");
    expect_refused(rsa_signed(rs256_head, EVP_sha512(), false), "signature is wrong");
    expect_refused(rsa_signed(rs256_head, EVP_sha1(), false), "signature is wrong");
}

TEST(jwt, a_public_key_is_no_shared_secret) {
    for (const std::string& secret : {rsa().pem(), rsa().rsa_n(), ec().pem(), std::string()}) {
        for (const char* head :
             {R"({"alg":"HS256"})", R"({"alg":"HS256","kid":"rsa"})", R"({"alg":"HS256","kid":"ec"})"}) {
            expect_refused(hs256_token(secret, head, payload_with()), "no shared secret", by_key_set());
            expect_refused(hs256_token(secret, head, payload_with()), "signature is wrong", by_both());
        }
    }
}

TEST(jwt, a_shared_secret_is_only_the_configured_one) {
    expect_refused(hs256_token("another secret that is also long enough", hs256_head, payload_with()),
                   "signature is wrong", by_secret());
    expect_refused(hs256_token(shared_secret, hs256_head, payload_with()), "no shared secret", by_key_set());
    // One that the key set publishes is none.
    const std::string published = "a secret that everybody may read, 32";
    const key_set keys =
        keys_of({R"({"kty":"oct","kid":"oct","alg":"HS256","k":")" + encode_base64url(published) + "\"}"});
    EXPECT_EQ(keys.left_out, 1u);
    expect_refused(hs256_token(published, R"({"alg":"HS256","kid":"oct"})", payload_with()), "signature is wrong",
                   by_both(), keys);
    expect_refused(hs256_token(published, R"({"alg":"HS256","kid":"oct"})", payload_with()), "no shared secret",
                   by_key_set(), keys);
    std::string cut = hs256_token(shared_secret, hs256_head, payload_with());
    cut.resize(cut.rfind('.') + 1 + 24);  // the first 18 bytes of the right digest
    expect_refused(cut, "signature is wrong", by_secret());
}

TEST(jwt, without_a_key_set_only_the_shared_secret_counts) {
    expect_refused(signed_token(rsa(), rs256_head, payload_with()), "", by_secret(), key_set{});
    const auto none = verify_token(signed_token(rsa(), rs256_head, payload_with()), nullptr, by_secret(), test_now);
    ASSERT_FALSE(none);
    EXPECT_THAT(none.error().detail, HasSubstr("no JWKS is configured"));
    EXPECT_TRUE(verify_token(hs256_token(shared_secret, hs256_head, payload_with()), nullptr, by_both(), test_now));
}

TEST(jwt, before_the_first_key_set_the_client_is_told_to_come_again) {
    const std::string good = signed_token(rsa(), rs256_head, payload_with());
    const auto outcome = verify_token(good, nullptr, by_key_set(), test_now);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().kind, errc::directory_stale);
    EXPECT_EQ(outcome.error().retry_after, std::chrono::seconds(10));
    EXPECT_TRUE(may_be_of_newer_key(good, nullptr, by_key_set()));
}

TEST(jwt, a_key_verifies_only_its_own_kind_of_algorithm) {
    expect_refused(signed_token(ec(), R"({"alg":"RS256","kid":"ec"})", payload_with()),
                   "no key with the token's `kid`");
    expect_refused(signed_token(rsa(), R"({"alg":"ES256","kid":"rsa"})", payload_with()),
                   "no key with the token's `kid`");
    expect_refused(signed_token(rsa(), R"({"alg":"ES256","kid":"ec"})", payload_with()), "signature is wrong");
    expect_refused(signed_token(ec(), R"({"alg":"RS256","kid":"rsa"})", payload_with()), "signature is wrong");
}

TEST(jwt, the_kid_selects_the_key) {
    const key_set two = keys_of({rsa().jwk("one"), other_rsa().jwk("two")});
    EXPECT_TRUE(verify(signed_token(rsa(), R"({"alg":"RS256","kid":"one"})", payload_with()), by_both(), two));
    EXPECT_TRUE(verify(signed_token(other_rsa(), R"({"alg":"RS256","kid":"two"})", payload_with()), by_both(), two));
    expect_refused(signed_token(rsa(), R"({"alg":"RS256","kid":"two"})", payload_with()), "signature is wrong",
                   by_both(), two);
    expect_refused(signed_token(rsa(), R"({"alg":"RS256"})", payload_with()), "names no key", by_both(), two);
    expect_refused(signed_token(rsa(), R"({"alg":"RS256","kid":1})", payload_with()), "`kid` is not a string",
                   by_both(), two);
    expect_refused(signed_token(rsa(), R"({"alg":"RS256","kid":null})", payload_with()), "`kid` is not a string",
                   by_both(), two);
    const std::string unknown = signed_token(rsa(), R"({"alg":"RS256","kid":"three"})", payload_with());
    expect_refused(unknown, "no key with the token's `kid`", by_both(), two);
    EXPECT_TRUE(may_be_of_newer_key(unknown, &two, by_both()));
    EXPECT_FALSE(may_be_of_newer_key(unknown, &two, by_secret()));
    EXPECT_FALSE(may_be_of_newer_key("no token", &two, by_both()));
    EXPECT_FALSE(may_be_of_newer_key(hs256_token("x", R"({"alg":"HS256","kid":"three"})", "{}"), &two, by_both()));
}

TEST(jwt, without_a_kid_the_only_key_that_fits_is_taken) {
    const std::string by_rsa = signed_token(rsa(), R"({"alg":"RS256"})", payload_with());
    EXPECT_TRUE(verify(by_rsa));
    EXPECT_TRUE(verify(signed_token(ec(), R"({"alg":"ES256"})", payload_with())));
    expect_refused(by_rsa, "no key for the token's `alg`", by_both(), keys_of({ec().jwk("ec")}));
    expect_refused(by_rsa, "no key for the token's `alg`", by_both(), key_set{});
    expect_refused(signed_token(other_rsa(), R"({"alg":"RS256"})", payload_with()), "signature is wrong");
    EXPECT_TRUE(may_be_of_newer_key(by_rsa, &issuer_keys(), by_both()));
}

TEST(jwt, what_was_changed_after_signing_is_refused) {
    const std::string good = signed_token(rsa(), rs256_head, payload_with());
    const std::string signature = good.substr(good.rfind('.'));
    expect_refused(unsigned_token(rs256_head, payload_with({{"team", R"("red")"}})) + signature, "signature is wrong");
    expect_refused(unsigned_token(R"({"alg":"RS256","kid":"rsa"})", payload_with()) + signature, "signature is wrong");
    for (std::size_t at = good.rfind('.') + 1; at < good.size() - 1; at += 31) {
        std::string changed = good;
        changed[at] = changed[at] == 'A' ? 'B' : 'A';
        expect_refused(changed, "signature is wrong");
    }
    const std::string es = signed_token(ec(), es256_head, payload_with());
    expect_refused(unsigned_token(es256_head, payload_with({{"sub", R"("root")"}})) + es.substr(es.rfind('.')),
                   "signature is wrong");
    // The signature of another token of the same issuer.
    expect_refused(
        good.substr(0, good.rfind('.')) + [](const std::string& other) { return other.substr(other.rfind('.')); }(
                                              signed_token(rsa(), rs256_head, payload_with({{"jti", "1"}}))),
        "signature is wrong");
}

TEST(jwt, keys_that_the_token_brings_along_are_not_believed) {
    const std::string stranger = other_rsa().jwk("rsa");
    for (const std::string& more :
         {",\"jwk\":" + stranger, std::string(R"(,"jku":"https://evil.example/jwks.json")"),
          std::string(R"(,"x5u":"https://evil.example/cert.pem")"), std::string(R"(,"x5c":["MIIB"])")}) {
        expect_refused(signed_token(other_rsa(), R"({"alg":"RS256","kid":"rsa")" + more + "}", payload_with()),
                       "signature is wrong");
    }
    expect_refused(signed_token(other_ec(), es256_head, payload_with()), "signature is wrong");
}

TEST(jwt, odd_ecdsa_signatures_are_refused) {
    const std::string text = unsigned_token(es256_head, payload_with());
    expect_refused(with_signature(text, ec().sign_plainly(text)), "signature is wrong");  // DER
    expect_refused(with_signature(text, std::string(64, '\0')), "signature is wrong");    // r = s = 0
    expect_refused(with_signature(text, std::string(64, '\xff')), "signature is wrong");  // above the group's order
    const std::string raw = ec().sign(text);
    expect_refused(with_signature(text, raw.substr(0, 32) + std::string(32, '\0')), "signature is wrong");
    expect_refused(with_signature(text, raw.substr(0, 63)), "signature is wrong");
    expect_refused(with_signature(text, raw + '\0'), "signature is wrong");
    expect_refused(with_signature(text, std::string(1, '\0') + raw), "signature is wrong");
    expect_refused(with_signature(text, raw.substr(32) + raw.substr(0, 32)), "signature is wrong");
}

TEST(jwt, odd_rsa_signatures_are_refused) {
    const std::string text = unsigned_token(rs256_head, payload_with());
    const std::string raw = rsa().sign(text);
    expect_refused(with_signature(text, std::string(256, '\0')), "signature is wrong");
    expect_refused(with_signature(text, std::string(255, '\0') + '\1'), "signature is wrong");
    expect_refused(with_signature(text, std::string(256, '\xff')), "signature is wrong");
    expect_refused(with_signature(text, raw.substr(0, 255)), "signature is wrong");
    expect_refused(with_signature(text, std::string(1, '\0') + raw), "signature is wrong");
    expect_refused(with_signature(text, raw + raw), "signature is wrong");
}

TEST(jwt, a_head_that_two_readers_may_read_differently_is_refused) {
    for (const char* head :
         {R"({"alg":"RS256","alg":"HS256","kid":"rsa"})", R"({"alg":"RS256","al\u0067":"none","kid":"rsa"})",
          R"({"alg":"RS256","kid":"rsa","kid":"ec"})", R"({"alg":"RS256","kid":"rsa"} x)", R"([{"alg":"RS256"}])",
          R"("RS256")", "RS256", "", "{", R"({'alg':'RS256','kid':'rsa'})", R"({"alg":"RS256","kid":"rsa",})",
          "{\"alg\":\"RS256\",\"kid\":\"\xff\"}", R"({"alg":"RS256","kid":"rsa\u0000"})",
          R"({"alg":"RS256","kid":"rsa","x":{"y":1,"y":2}})"}) {
        expect_refused(signed_token(rsa(), head, payload_with()), "head is not a JSON object");
    }
}

TEST(jwt, extensions_that_must_be_understood_are_refused) {
    for (const char* crit : {R"(["exp"])", R"(["b64"],"b64":false)", R"(["http://example.com/x"])", "[]", "null"}) {
        expect_refused(
            signed_token(rsa(), R"({"alg":"RS256","kid":"rsa","crit":)" + std::string(crit) + "}", payload_with()),
            "`crit`");
    }
}

TEST(jwt, what_the_type_says_does_not_matter) {
    for (const char* type : {R"("at+jwt")", R"("jwt")", R"("something")", "1", "null"}) {
        EXPECT_TRUE(verify(
            signed_token(rsa(), R"({"alg":"RS256","kid":"rsa","typ":)" + std::string(type) + "}", payload_with())));
    }
}

TEST(jwt, a_payload_that_two_readers_may_read_differently_is_refused_although_it_is_signed) {
    for (const char* payload : {"", "[]", "null", "\"text\"", "{}x", "{", "{\"sub\":\"\xc3\"}"})
        expect_refused(signed_token(rsa(), rs256_head, payload), "payload is not a JSON object");
    std::string twice = payload_with();
    twice.insert(1, R"("team":"red",)");
    expect_refused(signed_token(rsa(), rs256_head, twice), "payload is not a JSON object");
    twice = payload_with();
    twice.insert(1, R"("te\u0061m":"red",)");
    expect_refused(signed_token(rsa(), rs256_head, twice), "payload is not a JSON object");
    const std::string text = encode_base64url(rs256_head) + ".not*base64url";
    expect_refused(with_signature(text, rsa().sign(text)), "payload is not base64url");
    std::string deep = R"({"a":)" + std::string(4'000, '[');
    expect_refused(signed_token(rsa(), rs256_head, deep), "payload is not a JSON object");
}

TEST(jwt_verifier, a_verified_token_is_remembered_until_its_time_is_over) {
    const jwt_options options = by_both();
    token_verifier verifier(options);
    verifier.use(std::make_shared<const key_set>(keys_of({rsa().jwk("rsa")})));
    const std::string token = signed_token(rsa(), rs256_head, payload_with());
    const auto first = verifier.check(token, test_now);
    ASSERT_TRUE(first) << first.error().detail;
    EXPECT_EQ(first->get()->team, "blue");
    const auto second = verifier.check(token, test_now + 1);
    ASSERT_TRUE(second);
    EXPECT_EQ(first->get(), second->get());  // the same object: it was not verified again
    EXPECT_TRUE(verifier.check(token, 1'800'000'629'999));
    const auto over = verifier.check(token, 1'800'000'630'000);
    ASSERT_FALSE(over);
    EXPECT_EQ(over.error().kind, errc::credential_expired);
}

TEST(jwt_verifier, other_keys_make_it_forget) {
    const jwt_options options = by_both();
    token_verifier verifier(options);
    const std::string token = signed_token(rsa(), rs256_head, payload_with());
    EXPECT_EQ(verifier.check(token, test_now).error().kind, errc::directory_stale);
    verifier.use(std::make_shared<const key_set>(keys_of({rsa().jwk("rsa")})));
    EXPECT_TRUE(verifier.check(token, test_now));
    verifier.use(std::make_shared<const key_set>(keys_of({other_rsa().jwk("rsa")})));
    EXPECT_EQ(verifier.check(token, test_now).error().kind, errc::credential_invalid);
    EXPECT_FALSE(verifier.may_be_of_newer_key(token));
    verifier.use(std::make_shared<const key_set>(keys_of({other_rsa().jwk("new")})));
    EXPECT_FALSE(verifier.check(token, test_now));
    EXPECT_TRUE(verifier.may_be_of_newer_key(token));
}

TEST(jwt_verifier, another_shared_secret_ends_the_tokens_of_the_one_before_unless_that_still_counts) {
    token_verifier verifier(by_secret());
    const std::string token = hs256_token(shared_secret, hs256_head, payload_with());
    EXPECT_TRUE(verifier.check(token, test_now));
    const std::string other(shared_secret.size(), 'x');
    verifier.use_secrets(base::secret(other), base::secret(std::string(shared_secret)));
    EXPECT_TRUE(verifier.check(token, test_now));
    verifier.use_secrets(base::secret(other), {});
    EXPECT_EQ(verifier.check(token, test_now).error().kind, errc::credential_invalid);
    EXPECT_TRUE(verifier.check(hs256_token(other, hs256_head, payload_with()), test_now));
    verifier.use_secrets({}, {});
    EXPECT_FALSE(verifier.is_configured());
}

TEST(jwt_verifier, a_token_that_differs_in_one_letter_is_not_the_remembered_one) {
    const jwt_options options = by_secret();
    token_verifier verifier(options);
    std::string token = hs256_token(shared_secret, hs256_head, payload_with());
    EXPECT_TRUE(verifier.check(token, test_now));
    token[token.size() - 10] = token[token.size() - 10] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(verifier.check(token, test_now));
    EXPECT_FALSE(verifier.check(token, test_now));
    EXPECT_FALSE(verifier.check(token + std::string(16 * 1024, 'A'), test_now));
}

TEST(jwt_verifier, one_key_set_serves_many_threads) {
    const auto keys = std::make_shared<const key_set>(keys_of({rsa().jwk("rsa"), ec().jwk("ec")}));
    const jwt_options options = by_both();
    std::vector<std::thread> threads;
    std::vector<int> good(4);
    for (std::size_t number = 0; number < good.size(); ++number) {
        threads.emplace_back([&, number] {
            token_verifier verifier(options);
            verifier.use(keys);
            for (int round = 0; round < 20; ++round) {
                const std::string payload = payload_with({{"jti", std::to_string(round)}});
                good[number] += verifier.check(signed_token(rsa(), rs256_head, payload), test_now).has_value();
                good[number] += verifier.check(signed_token(ec(), es256_head, payload), test_now).has_value();
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_THAT(good, ElementsAre(40, 40, 40, 40));
}

}  // namespace
}  // namespace governance
