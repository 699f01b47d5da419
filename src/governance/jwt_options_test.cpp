#include "governance/jwt_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace governance {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

jwt_options sound() {
    jwt_options made;
    made.jwks_url = "https://issuer.example/.well-known/jwks.json";
    made.issuer = "https://issuer.example";
    made.audience = "gateway";
    return made;
}

TEST(jwt_options, nothing_configured_is_sound) {
    EXPECT_THAT(problems_of({}), IsEmpty());
    EXPECT_FALSE(jwt_options{}.configured());
    EXPECT_EQ(jwt_options{}.team_claim_name(), "team");
}

TEST(jwt_options, what_signs_needs_an_issuer_and_an_audience) {
    EXPECT_THAT(problems_of(sound()), IsEmpty());
    jwt_options bare;
    bare.jwks_url = sound().jwks_url;
    EXPECT_THAT(problems_of(bare), ElementsAre(HasSubstr("CLAUDE_PROXY_JWT_ISSUER is missing"),
                                               HasSubstr("CLAUDE_PROXY_JWT_AUDIENCE is missing")));
    bare.jwks_url.clear();
    bare.secret = base::secret(std::string(32, 's'));
    bare.issuer = "i";
    EXPECT_THAT(problems_of(bare), ElementsAre(HasSubstr("CLAUDE_PROXY_JWT_AUDIENCE is missing")));
}

TEST(jwt_options, an_issuer_without_keys_is_a_problem) {
    jwt_options made = sound();
    made.jwks_url.clear();
    EXPECT_THAT(problems_of(made), ElementsAre(HasSubstr("nothing to check a signature with")));
}

TEST(jwt_options, keys_come_by_https_or_from_this_machine) {
    for (const char* good :
         {"https://issuer.example/jwks", "https://issuer.example:8443/a?b=c", "http://127.0.0.1:54321/jwks",
          "http://localhost/jwks", "http://[::1]:80/jwks", "http://127.8.9.10/", "https://10.0.0.1/"}) {
        jwt_options made = sound();
        made.jwks_url = good;
        EXPECT_THAT(problems_of(made), IsEmpty()) << good;
    }
    for (const char* bad :
         {"http://issuer.example/jwks", "http://10.0.0.1/", "http://127.0.0.1.evil.example/", "http://localhost.evil/",
          "http://127.0.0.1@evil.example/", "http://[::2]/", "http://0.0.0.0/", "ftp://issuer.example/",
          "file:///etc/passwd", "issuer.example/jwks", "https://", "https:// issuer.example/", "nonsense",
          "https://user:password@issuer.example/", "https://user@issuer.example/", "https://issuer.example/#x",
          "https://issuer.example:99999/", "https://issuer.example/\nx", "//issuer.example"}) {
        jwt_options made = sound();
        made.jwks_url = bad;
        EXPECT_THAT(problems_of(made), ElementsAre(HasSubstr("CLAUDE_PROXY_JWT_JWKS_URL "))) << bad;
    }
}

TEST(jwt_options, a_short_secret_is_a_problem_and_is_not_told) {
    jwt_options made = sound();
    made.secret = base::secret("short-and-guessable");
    const auto problems = problems_of(made);
    ASSERT_THAT(problems, ElementsAre(HasSubstr("CLAUDE_PROXY_JWT_SECRET is shorter than 32 bytes")));
    EXPECT_EQ(problems[0].find("guessable"), std::string::npos);
}

TEST(jwt_options, a_claim_that_users_write_cannot_say_who_they_are) {
    for (const char* claim : {"user_metadata.team", "user_metadata"}) {
        jwt_options made = sound();
        made.team_claim = claim;
        EXPECT_THAT(problems_of(made), ElementsAre(HasSubstr("CLAUDE_PROXY_JWT_TEAM_CLAIM is user_metadata")));
        made = sound();
        made.scopes_claim = made.subject_claim = claim;
        EXPECT_EQ(problems_of(made).size(), 2u);
    }
    jwt_options made = sound();
    made.scopes_claim.clear();
    made.subject_claim = std::string(257, 'x');
    EXPECT_EQ(problems_of(made).size(), 2u);
}

TEST(jwt_options, bounds_outside_of_reason_are_problems) {
    jwt_options made = sound();
    made.leeway = std::chrono::minutes(6);
    made.jwks_retry = std::chrono::milliseconds(0);
    made.jwks_refresh = std::chrono::milliseconds(-1);
    made.jwks_timeout = std::chrono::minutes(2);
    made.jwks_bytes_max = 0;
    made.token_bytes_max = 1 << 20;
    made.tokens_cached_max = 2'000'000;
    EXPECT_EQ(problems_of(made).size(), 7u);
}

TEST(jwt_options, a_supabase_project_fills_what_is_not_set) {
    for (const char* url : {"https://project.supabase.co", "https://project.supabase.co/"}) {
        jwt_options made;
        made.supabase_url = url;
        made = with_supabase_defaults(made);
        EXPECT_EQ(made.jwks_url, "https://project.supabase.co/auth/v1/.well-known/jwks.json");
        EXPECT_EQ(made.issuer, "https://project.supabase.co/auth/v1");
        EXPECT_EQ(made.audience, "authenticated");
        EXPECT_EQ(made.team_claim, "app_metadata.team");
        EXPECT_THAT(problems_of(made), IsEmpty());
    }
}

TEST(jwt_options, what_is_set_beside_a_supabase_project_stays) {
    jwt_options made;
    made.supabase_url = "https://project.supabase.co";
    made.jwks_url = "https://auth.example/jwks";
    made.issuer = "https://auth.example";
    made.audience = "mine";
    made.team_claim = "team";
    const jwt_options after = with_supabase_defaults(made);
    EXPECT_EQ(after.jwks_url, made.jwks_url);
    EXPECT_EQ(after.issuer, made.issuer);
    EXPECT_EQ(after.audience, made.audience);
    EXPECT_EQ(after.team_claim, "team");
    EXPECT_EQ(with_supabase_defaults(sound()).team_claim, "");
}

TEST(jwt_options, a_wrong_supabase_url_is_said_once_and_by_its_name) {
    for (const char* bad :
         {"http://project.supabase.co", "project.supabase.co", "https://project.supabase.co?apikey=x"}) {
        jwt_options made;
        made.supabase_url = bad;
        EXPECT_THAT(problems_of(with_supabase_defaults(made)), ElementsAre(HasSubstr("CLAUDE_PROXY_SUPABASE_URL")))
            << bad;
    }
}

}  // namespace
}  // namespace governance
