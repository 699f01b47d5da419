// Settings of JWT callers: whose signatures are believed, and which claims say who asks.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.hpp"

namespace governance {

struct jwt_options {
    std::string jwks_url;            // RS256 and ES256: https, or http to this machine
    base::secret secret;             // HS256: the shared secret, its bytes as they are; at least 32
    base::secret secret_previous{};  // accepted beside it while it is being rotated; empty: none
    std::string issuer;              // `iss` must be this
    std::string audience;            // `aud` must be or hold this
    std::string supabase_url;        // fills what is empty above and team_claim (with_supabase_defaults)

    // A name, or a path such as app_metadata.team. A claim whose whole name has the dots in it is taken first.
    std::string team_claim;  // empty: `team`
    std::string scopes_claim = "scope";
    std::string subject_claim = "sub";
    std::string default_team;  // of a token without the team claim; empty: such a token is refused

    std::string ca_file;                              // trusted for the JWKS endpoint beside the system's anchors
    std::chrono::milliseconds leeway{30'000};         // between the issuer's clock and ours
    std::chrono::milliseconds jwks_refresh{600'000};  // age at which the key set is fetched again
    std::chrono::milliseconds jwks_retry{10'000};     // after a failure, and between two fetches for unknown keys
    std::chrono::milliseconds jwks_timeout{5'000};    // one fetch, name resolution included
    std::uint64_t jwks_bytes_max = 1ull << 20;        // a larger answer is refused
    std::uint64_t token_bytes_max = 16 * 1024;        // a longer token is refused unread
    std::uint64_t tokens_cached_max = 10'000;         // verified tokens remembered, each reactor; 0: none

    bool configured() const { return !jwks_url.empty() || !secret.empty(); }
    std::string_view team_claim_name() const { return team_claim.empty() ? "team" : std::string_view(team_claim); }
};

// What Supabase Auth makes of a project's URL: the JWKS under it, the issuer, the audience of signed-in users, and the
// team in `app_metadata`, which users cannot write. What was set explicitly stays. Without supabase_url: unchanged.
jwt_options with_supabase_defaults(jwt_options options);

// Why the process should not start with these, each a sentence that names the setting and the cure; empty: they are
// sound. Call it after with_supabase_defaults. Options that configure nothing at all are sound.
std::vector<std::string> problems_of(const jwt_options& options);

}  // namespace governance
