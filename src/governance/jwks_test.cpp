#include "governance/jwks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include "governance/jwt_parts.hpp"
#include "governance/jwt_signing.hpp"

namespace governance {
namespace {

using testing::HasSubstr;

key_set parsed(std::initializer_list<std::string> jwks) {
    auto made = parse_key_set(key_set_text(jwks));
    EXPECT_TRUE(made) << made.error().detail;
    EXPECT_EQ(ERR_peek_error(), 0u);
    return made ? std::move(*made) : key_set{};
}

const signing_key& rsa() {
    static const signing_key key = signing_key::rsa();
    return key;
}
const signing_key& ec() {
    static const signing_key key = signing_key::ec();
    return key;
}

TEST(jwks, keys_for_both_algorithms_are_found_by_kid) {
    const key_set keys = parsed({rsa().jwk("one"), ec().jwk("two")});
    ASSERT_EQ(keys.keys.size(), 2u);
    EXPECT_EQ(keys.left_out, 0u);
    EXPECT_TRUE(keys.find("one", jwt_algorithm::rs256));
    EXPECT_FALSE(keys.find("one", jwt_algorithm::es256));
    EXPECT_TRUE(keys.find("two", jwt_algorithm::es256));
    EXPECT_FALSE(keys.find("two", jwt_algorithm::hs256));
    EXPECT_FALSE(keys.find("", jwt_algorithm::rs256));
    EXPECT_TRUE(keys.has("two"));
    EXPECT_FALSE(keys.has("three"));
}

TEST(jwks, keys_of_two_types_may_share_a_kid) {
    const key_set keys = parsed({ec().jwk("same"), rsa().jwk("same")});
    EXPECT_EQ(keys.find("same", jwt_algorithm::rs256)->fits, jwt_algorithm::rs256);
    EXPECT_EQ(keys.find("same", jwt_algorithm::es256)->fits, jwt_algorithm::es256);
}

TEST(jwks, what_a_key_says_of_its_use_is_obeyed) {
    for (const char* fine : {R"(,"use":"sig")", R"(,"alg":"RS256")", R"(,"key_ops":["verify"])", R"(,"x5c":["MIIB"])",
                             R"(,"use":"sig","alg":"RS256","key_ops":["sign","verify"])", R"(,"unknown":1)"})
        EXPECT_EQ(parsed({rsa().jwk("k", fine)}).keys.size(), 1u) << fine;
    for (const char* other :
         {R"(,"use":"enc")", R"(,"use":null)", R"(,"use":["sig"])", R"(,"alg":"RS512")", R"(,"alg":"PS256")",
          R"(,"alg":"ES256")", R"(,"alg":"HS256")", R"(,"alg":"RSA-OAEP")", R"(,"alg":1)", R"(,"key_ops":["encrypt"])",
          R"(,"key_ops":["sign"])", R"(,"key_ops":[])", R"(,"key_ops":"verify")", R"(,"key_ops":null)"}) {
        const key_set keys = parsed({rsa().jwk("k", other)});
        EXPECT_TRUE(keys.keys.empty()) << other;
        EXPECT_EQ(keys.left_out, 1u);
    }
    EXPECT_TRUE(parsed({ec().jwk("k", R"(,"alg":"RS256")")}).keys.empty());
    EXPECT_TRUE(parsed({ec().jwk("k", R"(,"alg":"HS256")")}).keys.empty());
}

TEST(jwks, weak_or_broken_keys_are_left_out) {
    const std::string n = rsa().rsa_n();
    const auto rsa_of = [](const std::string& modulus, const std::string& exponent) {
        return R"({"kty":"RSA","kid":"k","n":")" + modulus + R"(","e":")" + exponent + "\"}";
    };
    EXPECT_EQ(parsed({rsa_of(n, "AQAB")}).keys.size(), 1u);
    EXPECT_EQ(parsed({rsa_of(n, "Aw")}).keys.size(), 1u);
    const std::string even = encode_base64url(std::string(255, '\x55') + '\2');
    for (const std::string& bad : {signing_key::rsa(1'024).jwk("k"),
                                   rsa_of(n, "AQ"),
                                   rsa_of(n, "AA"),
                                   rsa_of(n, "BA"),
                                   rsa_of(n, ""),
                                   rsa_of(n, "AQAAAAE"),
                                   rsa_of("", "AQAB"),
                                   rsa_of("AA", "AQAB"),
                                   rsa_of(even, "AQAB"),
                                   rsa_of(n + "=", "AQAB"),
                                   rsa_of("+" + n.substr(1), "AQAB"),
                                   rsa_of(encode_base64url('\1' + std::string(1'024, '\x55')), "AQAB"),
                                   rsa_of(encode_base64url(std::string(20'000, '\x55')), "AQAB"),
                                   std::string(R"({"kty":"RSA","n":"AQAB"})"),
                                   std::string(R"({"kty":"RSA","n":1,"e":2})"),
                                   std::string("{}"),
                                   std::string("[]"),
                                   std::string("null"),
                                   std::string("1"),
                                   std::string(R"({"kty":"oct","k":"c2VjcmV0"})"),
                                   std::string(R"({"kty":"OKP"})"),
                                   std::string(R"({"kty":1})"),
                                   R"({"kty":"rsa","n":")" + n + R"(","e":"AQAB"})"}) {
        const key_set keys = parsed({bad});
        EXPECT_TRUE(keys.keys.empty()) << bad;
        EXPECT_EQ(keys.left_out, 1u);
    }
    EXPECT_TRUE(parsed({R"({"kty":"RSA","kid":5,"e":"AQAB","n":")" + n + "\"}"}).keys.empty());
}

TEST(jwks, points_off_the_curve_or_of_other_curves_are_left_out) {
    const std::string zero = encode_base64url(std::string(32, '\0')),
                      one = encode_base64url(std::string(31, '\0') + '\1'),
                      high = encode_base64url(std::string(32, '\xff'));
    const auto ec_of = [](const std::string& curve, const std::string& x, const std::string& y) {
        return R"({"kty":"EC","crv":")" + curve + R"(","x":")" + x + R"(","y":")" + y + "\"}";
    };
    for (const std::string& bad : {ec_of("P-256", zero, zero), ec_of("P-256", one, one), ec_of("P-256", high, high),
                                   ec_of("P-256", "", ""), ec_of("P-256", "AQ", "AQ"), ec_of("P-384", one, one),
                                   ec_of("", one, one), std::string(R"({"kty":"EC","crv":"P-256"})")}) {
        const key_set keys = parsed({bad});
        EXPECT_TRUE(keys.keys.empty()) << bad;
        EXPECT_EQ(keys.left_out, 1u);
    }
    EXPECT_TRUE(parsed({signing_key::ec("P-384").jwk("k")}).keys.empty());  // that says P-256
    EXPECT_TRUE(parsed({signing_key::ec("secp256k1").jwk("k")}).keys.empty());
}

TEST(jwks, a_key_that_cannot_be_used_does_not_spoil_the_others) {
    const key_set keys = parsed({R"({"kty":"oct","k":"c2VjcmV0"})", "17", rsa().jwk("good"), R"({"kty":"OKP"})"});
    EXPECT_EQ(keys.left_out, 3u);
    EXPECT_TRUE(keys.find("good", jwt_algorithm::rs256));
}

TEST(jwks, a_set_without_keys_is_a_set) {
    EXPECT_TRUE(parse_key_set(R"({"keys":[]})"));
    EXPECT_TRUE(parse_key_set(R"( {"keys":[],"other":1} )"));
}

TEST(jwks, what_is_no_set_is_told_in_a_sentence) {
    for (const char* text : {"", "[]", "{", "<html>", R"({"keys":[]}x)", R"({"keys":[],"keys":[]})",
                             R"({"keys":[{"kty":"RSA","kty":"EC"}]})", "\xff"})
        EXPECT_THAT(parse_key_set(text).error().detail, HasSubstr("not a JSON object")) << text;
    for (const char* text : {"{}", R"({"keys":{}})", R"({"keys":null})", R"({"Keys":[]})"})
        EXPECT_THAT(parse_key_set(text).error().detail, HasSubstr("no list `keys`")) << text;
    std::string many = R"({"keys":[1)";
    for (std::size_t count = 1; count < jwks_keys_max; ++count) many += ",1";
    EXPECT_TRUE(parse_key_set(many + "]}"));
    EXPECT_THAT(parse_key_set(many + ",1]}").error().detail, HasSubstr("more than 100 keys"));
}

TEST(jwt_parts, base64url_is_read_in_its_one_form_only) {
    EXPECT_EQ(decode_base64url(""), "");
    EXPECT_EQ(decode_base64url("Zg"), "f");
    EXPECT_EQ(decode_base64url("Zm8"), "fo");
    EXPECT_EQ(decode_base64url("Zm9v"), "foo");
    EXPECT_EQ(decode_base64url("Zm9vYmFy"), "foobar");
    EXPECT_EQ(decode_base64url("-_-_"), "\xfb\xff\xbf");
    for (const char* bad :
         {"Z", "Zg==", "Zg=", "Zh", "Zm9", "Zm9vY", "Zm 8", "Zm8\n", "+/+/", "Zm.8", "Z\xc3\xa9v", "===="})
        EXPECT_FALSE(decode_base64url(bad)) << bad;
    std::string all;
    for (int value = 0; value < 256; ++value) {
        all.push_back(static_cast<char>(value));
        EXPECT_EQ(decode_base64url(encode_base64url(all)), all);
    }
}

}  // namespace
}  // namespace governance
