#include "governance/jwt_claims.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "governance/jwt_parts.hpp"
#include "governance/jwt_signing.hpp"

namespace governance {
namespace {

using base::errc;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

jwt_options sound_options() {
    jwt_options made;
    made.issuer = test_issuer;
    made.audience = test_audience;
    return made;
}

base::result<verified_token> read(const claim_texts& changes, const jwt_options& options = sound_options(),
                                  time_ms now = test_now) {
    return read_claims(payload_with(changes), options, now);
}

void expect_refused(const claim_texts& changes, std::string_view because, const jwt_options& options = sound_options(),
                    errc kind = errc::credential_invalid) {
    const auto outcome = read(changes, options);
    ASSERT_FALSE(outcome) << payload_with(changes);
    EXPECT_EQ(outcome.error().kind, kind) << payload_with(changes);
    EXPECT_THAT(outcome.error().detail, HasSubstr(because)) << payload_with(changes);
}

TEST(jwt_claims, sound_claims_name_team_subject_and_scopes) {
    const auto outcome = read({{"scope", R"("messages models")"}});
    ASSERT_TRUE(outcome) << outcome.error().detail;
    EXPECT_EQ(outcome->team, "blue");
    EXPECT_EQ(outcome->subject, "user-1");
    EXPECT_THAT(outcome->scopes, ElementsAre("messages", "models"));
    EXPECT_EQ(outcome->expires_at_ms, 1'800'000'630'000);
}

TEST(jwt_claims, a_token_ends_at_its_exp_and_the_leeway) {
    EXPECT_TRUE(read({{"exp", "1800000000"}}));
    EXPECT_TRUE(read({{"exp", "1799999971"}}));
    expect_refused({{"exp", "1799999970"}}, "has expired", sound_options(), errc::credential_expired);
    expect_refused({{"exp", "0"}}, "has expired", sound_options(), errc::credential_expired);
    jwt_options exact = sound_options();
    exact.leeway = std::chrono::milliseconds(0);
    EXPECT_TRUE(read({{"exp", "1800000001"}, {"iat", ""}}, exact));
    expect_refused({{"exp", "1800000000"}}, "has expired", exact, errc::credential_expired);
    // Fractions of seconds are allowed (RFC 7519, NumericDate).
    EXPECT_EQ(read({{"exp", "1800000000.25"}}, exact)->expires_at_ms, 1'800'000'000'250);
    EXPECT_EQ(read({{"exp", "1.8e9"}})->expires_at_ms, 1'800'000'030'000);
}

TEST(jwt_claims, a_token_without_an_end_is_refused) {
    expect_refused({{"exp", ""}}, "no `exp`");
    for (const char* odd : {"null", "true", R"("1800000600")", "[1800000600]", "{}", "-1", "-1.5", "1e30",
                            "1800000600000", "253402300800", "9223372036854775807"})
        expect_refused({{"exp", odd}}, "`exp` is not a time");
    expect_refused({{"exp", "9223372036854775808"}}, "not a JSON object");  // does not fit
    expect_refused({{"exp", "NaN"}}, "not a JSON object");
}

TEST(jwt_claims, a_token_that_is_not_valid_yet_is_refused) {
    EXPECT_TRUE(read({{"nbf", "1800000030"}}));
    expect_refused({{"nbf", "1800000031"}}, "not valid yet");
    for (const char* odd : {"null", R"("0")", "false", "-1", "1800000000000"})
        expect_refused({{"nbf", odd}}, "`nbf` is not a time");
}

TEST(jwt_claims, a_token_of_the_future_is_refused) {
    EXPECT_TRUE(read({{"iat", ""}}));
    EXPECT_TRUE(read({{"iat", "1800000030"}}));
    expect_refused({{"iat", "1800000031"}}, "issued in the future");
    for (const char* odd : {"null", R"("0")", "true", "-5", "1799999990000"})
        expect_refused({{"iat", odd}}, "`iat` is not a time");
}

TEST(jwt_claims, the_issuer_must_be_the_configured_one) {
    for (const char* other : {"", R"("https://issuer.example/")", R"("HTTPS://issuer.example")",
                              R"("https://issuer.example.evil")", R"("")", "null", R"(["https://issuer.example"])"})
        expect_refused({{"iss", other}}, "`iss`");
    jwt_options none = sound_options();
    none.issuer.clear();
    expect_refused({}, "`iss`", none);
    expect_refused({{"iss", R"("")"}}, "`iss`", none);
    expect_refused({{"iss", ""}}, "`iss`", none);
}

TEST(jwt_claims, the_audience_must_be_or_hold_the_configured_one) {
    EXPECT_TRUE(read({{"aud", R"(["gateway"])"}}));
    EXPECT_TRUE(read({{"aud", R"(["other","gateway"])"}}));
    for (const char* other : {"", R"("Gateway")", R"("gateway ")", R"("other gateway")", "[]", R"(["other"])", "null",
                              "1", R"({"gateway":true})", R"([["gateway"]])", R"(["gateway",1])"})
        expect_refused({{"aud", other}}, "`aud`");
    jwt_options none = sound_options();
    none.audience.clear();
    expect_refused({}, "`aud`", none);
    expect_refused({{"aud", ""}}, "`aud`", none);
    expect_refused({{"aud", R"("")"}}, "`aud`", none);
}

TEST(jwt_claims, a_token_without_team_belongs_to_the_default_team_or_to_none) {
    expect_refused({{"team", ""}}, "no claim `team`");
    expect_refused({{"team", "null"}}, "no claim `team`");
    jwt_options defaulted = sound_options();
    defaulted.default_team = "guests";
    EXPECT_EQ(read({{"team", ""}}, defaulted)->team, "guests");
    EXPECT_EQ(read({{"team", "null"}}, defaulted)->team, "guests");
    EXPECT_EQ(read({}, defaulted)->team, "blue");
    // What is there and wrong is no reason to let somebody in as a guest.
    for (const char* odd : {"1", "true", "[]", R"(["blue"])", "{}"})
        expect_refused({{"team", odd}}, "`team` is not a string", defaulted);
    expect_refused({{"team", R"("")"}}, "`team` must have 1 to 256 bytes", defaulted);
    expect_refused({{"team", '"' + std::string(257, 'x') + '"'}}, "`team` must have 1 to 256 bytes", defaulted);
}

TEST(jwt_claims, a_token_without_subject_is_refused) {
    expect_refused({{"sub", ""}}, "no claim `sub`");
    expect_refused({{"sub", "null"}}, "no claim `sub`");
    expect_refused({{"sub", "42"}}, "`sub` is not a string");
    expect_refused({{"sub", R"("")"}}, "`sub` must have 1 to 256 bytes");
    expect_refused({{"sub", '"' + std::string(257, 'x') + '"'}}, "`sub` must have 1 to 256 bytes");
    jwt_options by_mail = sound_options();
    by_mail.subject_claim = "email";
    EXPECT_EQ(read({{"email", R"("a@b.example")"}, {"sub", ""}}, by_mail)->subject, "a@b.example");
}

TEST(jwt_claims, scopes_are_words_or_a_list_and_by_default_what_a_key_may_do) {
    EXPECT_THAT(read({})->scopes, ElementsAreArray(default_scopes));
    EXPECT_THAT(read({{"scope", "null"}})->scopes, ElementsAreArray(default_scopes));
    EXPECT_THAT(read({{"scope", R"("")"}})->scopes, ElementsAre());
    EXPECT_THAT(read({{"scope", "[]"}})->scopes, ElementsAre());
    EXPECT_THAT(read({{"scope", R"("  messages   batches ")"}})->scopes, ElementsAre("messages", "batches"));
    EXPECT_THAT(read({{"scope", R"(["messages","files"])"}})->scopes, ElementsAre("messages", "files"));
    EXPECT_THAT(read({{"scope", R"("*")"}})->scopes, ElementsAre("*"));
    for (const char* odd : {"1", "true", "{}"}) expect_refused({{"scope", odd}}, "neither a string nor a list");
    expect_refused({{"scope", R"(["messages",1])"}}, "lists something that is no string");
    std::string many = "\"";
    for (int number = 0; number < 129; ++number) many += "s ";
    expect_refused({{"scope", many + '"'}}, "more than 128 scopes");
    jwt_options nested = sound_options();
    nested.scopes_claim = "app_metadata.scopes";
    EXPECT_THAT(read({{"app_metadata", R"({"scopes":["models"]})"}}, nested)->scopes, ElementsAre("models"));
}

std::string claim(std::string_view json, std::string_view name) {
    const json_ptr parsed = parse_json_object(json);
    const json_t* const found = find_claim(parsed.get(), name);
    return found ? json_string_value(found) : "none";
}

TEST(jwt_claims, a_name_with_dots_is_a_claim_or_a_path_to_one) {
    EXPECT_EQ(claim(R"({"a":{"b":"deep"}})", "a.b"), "deep");
    EXPECT_EQ(claim(R"({"a":{"b":{"c":"deeper"}}})", "a.b.c"), "deeper");
    EXPECT_EQ(claim(R"({"a":{"b":"deep"},"a.b":"whole"})", "a.b"), "whole");
    EXPECT_EQ(claim(R"({"https://x.example/team":"url"})", "https://x.example/team"), "url");
    EXPECT_EQ(claim(R"({"https://x.example/claims":{"team":"in url"}})", "https://x.example/claims.team"), "in url");
    EXPECT_EQ(claim(R"({"a":{"b.c":"whole inside"}})", "a.b.c"), "whole inside");
    EXPECT_EQ(claim(R"({"a":{"x":"no"},"a.b":{"c":"second way"}})", "a.b.c"), "second way");
    for (const char* json : {"{}", R"({"a":"text"})", R"({"a":["b"]})", R"({"a":{"c":"x"}})", R"({"b":"x"})",
                             R"({"a":{"b":null}})", R"({"a.b":null,"a":{"b":"x"}})", R"({"a":null})"})
        EXPECT_EQ(claim(json, "a.b"), "none") << json;
    EXPECT_EQ(claim(R"({"a":{"":"x"}})", "a."), "x");
    EXPECT_EQ(claim(R"({"a":"x"})", "."), "none");
}

// What Supabase Auth signs for a user who is signed in.
constexpr std::string_view supabase_payload = R"({
    "iss": "https://project.supabase.co/auth/v1", "sub": "9e6bd9c8-2f4a-4c53-8f53-e2f1bb1f9f0a",
    "aud": "authenticated", "exp": 1800003600, "iat": 1799999990, "email": "ada@example.com", "phone": "",
    "app_metadata": {"provider": "email", "providers": ["email"], "team": "blue"},
    "user_metadata": {"email_verified": true, "team": "red"},
    "role": "authenticated", "aal": "aal1", "amr": [{"method": "password", "timestamp": 1799999990}],
    "session_id": "5fa1f3a0-98b0-4d2c-a0a0-2f3c1b8f8d10", "is_anonymous": false})";

TEST(jwt_claims, a_token_of_supabase_names_the_team_that_users_cannot_write) {
    jwt_options options;
    options.supabase_url = "https://project.supabase.co";
    const auto outcome = read_claims(supabase_payload, with_supabase_defaults(options), test_now);
    ASSERT_TRUE(outcome) << outcome.error().detail;
    EXPECT_EQ(outcome->team, "blue");
    EXPECT_EQ(outcome->subject, "9e6bd9c8-2f4a-4c53-8f53-e2f1bb1f9f0a");
    EXPECT_THAT(outcome->scopes, ElementsAreArray(default_scopes));
}

TEST(jwt_claims, the_public_api_keys_of_supabase_are_no_callers) {
    jwt_options options;
    options.supabase_url = "https://project.supabase.co";
    options = with_supabase_defaults(options);
    for (const char* role : {"anon", "service_role"}) {
        const std::string key = R"({"iss":"supabase","ref":"project","role":")" + std::string(role) +
                                R"(","iat":1799999990,"exp":2100000000})";
        EXPECT_EQ(read_claims(key, options, test_now).error().kind, errc::credential_invalid);
    }
    std::string of_other_project(supabase_payload);
    of_other_project.replace(of_other_project.find("project"), 7, "another");
    EXPECT_THAT(read_claims(of_other_project, options, test_now).error().detail, HasSubstr("`iss`"));
    std::string without_team(supabase_payload);
    without_team.replace(without_team.find(R"("team": "blue")"), 14, R"("plan": "free")");
    EXPECT_THAT(read_claims(without_team, options, test_now).error().detail, HasSubstr("`app_metadata.team`"));
}

}  // namespace
}  // namespace governance
