// What the payload of a token says, once its signature is known to be good. Plain functions; any thread.
#pragma once

#include <jansson.h>

#include <string_view>

#include "base/error.hpp"
#include "governance/jwt_cache.hpp"
#include "governance/jwt_options.hpp"

namespace governance {

// The claim of that name; when there is none and the name has dots, the one that the name leads to through objects:
// `app_metadata.team` is the member `team` of the claim `app_metadata`. Null: there is none, or it is JSON's null.
const json_t* find_claim(const json_t* claims, std::string_view name);

// `payload`: decoded. Checks exp, nbf, iat, iss and aud, then reads who it is. Fails as verify_token does.
base::result<verified_token> read_claims(std::string_view payload, const jwt_options& options, time_ms now);

}  // namespace governance
