#include "governance/jwt_claims.hpp"

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "governance/jwt_parts.hpp"

namespace governance {
namespace {

using base::errc;
using base::fail;

constexpr time_ms seconds_max = 253'402'300'799;  // the year 9999: beyond it somebody counts in milliseconds
constexpr std::size_t name_bytes_max = 256;       // of a team or subject; as of an owner (tenants.hpp)
constexpr std::size_t scopes_max = 128;

std::optional<time_ms> time_of(const json_t* value) {
    if (json_is_integer(value)) {
        const json_int_t seconds = json_integer_value(value);
        if (seconds >= 0 && seconds <= seconds_max) return seconds * 1'000;
    } else if (json_is_real(value)) {
        const double seconds = json_real_value(value);
        if (seconds >= 0 && seconds <= static_cast<double>(seconds_max))
            return static_cast<time_ms>(std::floor(seconds * 1'000));
    }
    return {};
}

// When the token's time is over, by its own clock.
base::result<time_ms> check_times(const json_t* claims, time_ms leeway, time_ms now) {
    const json_t* const exp = json_object_get(claims, "exp");
    if (!exp) return fail(errc::credential_invalid, "The token has no `exp`: it would be valid for ever.");
    const auto expires_at = time_of(exp);
    if (!expires_at) return fail(errc::credential_invalid, "The token's `exp` is not a time in seconds since 1970.");
    if (now >= *expires_at + leeway) return fail(errc::credential_expired, "The token has expired.");
    if (const json_t* const nbf = json_object_get(claims, "nbf")) {
        const auto begins_at = time_of(nbf);
        if (!begins_at) return fail(errc::credential_invalid, "The token's `nbf` is not a time in seconds since 1970.");
        if (now + leeway < *begins_at) return fail(errc::credential_invalid, "The token is not valid yet (`nbf`).");
    }
    if (const json_t* const iat = json_object_get(claims, "iat")) {
        const auto issued_at = time_of(iat);
        if (!issued_at) return fail(errc::credential_invalid, "The token's `iat` is not a time in seconds since 1970.");
        if (now + leeway < *issued_at)
            return fail(errc::credential_invalid, "The token was issued in the future (`iat`): compare the clocks.");
    }
    return *expires_at;
}

std::string_view text_of(const json_t* value) { return {json_string_value(value), json_string_length(value)}; }

bool is_meant_for(const json_t* audience, std::string_view us) {
    if (json_is_string(audience)) return text_of(audience) == us;
    bool found = false;
    for (std::size_t at = 0; at < json_array_size(audience); ++at) {
        const json_t* const one = json_array_get(audience, at);
        if (!json_is_string(one)) return false;
        found = found || text_of(one) == us;
    }
    return found;
}

// A claim that names somebody.
base::result<std::string> name_in(const json_t* value, std::string_view claim) {
    if (!json_is_string(value))
        return fail(errc::credential_invalid, fmt::format("The token's claim `{}` is not a string.", claim));
    const std::string_view text = text_of(value);
    if (text.empty() || text.size() > name_bytes_max) {
        return fail(errc::credential_invalid,
                    fmt::format("The token's claim `{}` must have 1 to {} bytes.", claim, name_bytes_max));
    }
    return std::string(text);
}

base::result<std::string> team_in(const json_t* claims, const jwt_options& options) {
    const std::string_view name = options.team_claim_name();
    if (const json_t* const claim = find_claim(claims, name)) return name_in(claim, name);
    if (!options.default_team.empty()) return options.default_team;
    return fail(errc::credential_invalid, fmt::format("The token has no claim `{}`, which names the team.", name));
}

base::result<std::string> subject_in(const json_t* claims, const jwt_options& options) {
    if (const json_t* const claim = find_claim(claims, options.subject_claim))
        return name_in(claim, options.subject_claim);
    return fail(errc::credential_invalid,
                fmt::format("The token has no claim `{}`, which names its bearer.", options.subject_claim));
}

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const std::string_view word = text.substr(0, text.find(' '));
        if (!word.empty()) words.emplace_back(word);
        text.remove_prefix(std::min(word.size() + 1, text.size()));
    }
    return words;
}

base::result<std::vector<std::string>> scopes_in(const json_t* claims, const jwt_options& options) {
    const json_t* const claim = find_claim(claims, options.scopes_claim);
    if (!claim) return std::vector<std::string>(std::begin(default_scopes), std::end(default_scopes));
    std::vector<std::string> scopes;
    if (json_is_string(claim)) {
        scopes = words_of(text_of(claim));
    } else {
        if (!json_is_array(claim)) {
            return fail(errc::credential_invalid,
                        fmt::format("The token's claim `{}` is neither a string nor a list.", options.scopes_claim));
        }
        for (std::size_t at = 0; at < json_array_size(claim); ++at) {
            const json_t* const one = json_array_get(claim, at);
            if (!json_is_string(one)) {
                return fail(
                    errc::credential_invalid,
                    fmt::format("The token's claim `{}` lists something that is no string.", options.scopes_claim));
            }
            scopes.emplace_back(text_of(one));
        }
    }
    if (scopes.size() > scopes_max)
        return fail(errc::credential_invalid, fmt::format("The token has more than {} scopes.", scopes_max));
    return scopes;
}

const json_t* member(const json_t* object, std::string_view name) {
    return json_object_getn(object, name.data(), name.size());
}

const json_t* follow(const json_t* object, std::string_view name) {
    if (const json_t* const whole = member(object, name)) return whole;
    for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
        const json_t* const inner = member(object, name.substr(0, dot));
        if (!json_is_object(inner)) continue;
        if (const json_t* const found = follow(inner, name.substr(dot + 1))) return found;
    }
    return nullptr;
}

}  // namespace

const json_t* find_claim(const json_t* claims, std::string_view name) {
    const json_t* const found = follow(claims, name);
    return json_is_null(found) ? nullptr : found;
}

base::result<verified_token> read_claims(std::string_view payload, const jwt_options& options, time_ms now) {
    const json_ptr claims = parse_json_object(payload);
    if (!claims) {
        return fail(errc::credential_invalid, "The token's payload is not a JSON object whose names stand once each.");
    }
    const time_ms leeway = options.leeway.count();
    const auto expires_at = check_times(claims.get(), leeway, now);
    if (!expires_at) return std::unexpected(expires_at.error());
    // Empty settings match nothing: what the start refuses to run with lets nobody in either.
    if (options.issuer.empty() || string_in(claims.get(), "iss") != options.issuer)
        return fail(errc::credential_invalid, "The token is not of the issuer that is believed here (`iss`).");
    if (options.audience.empty() || !is_meant_for(json_object_get(claims.get(), "aud"), options.audience))
        return fail(errc::credential_invalid, "The token is not meant for this gateway (`aud`).");

    auto team = team_in(claims.get(), options);
    if (!team) return std::unexpected(team.error());
    auto subject = subject_in(claims.get(), options);
    if (!subject) return std::unexpected(subject.error());
    auto scopes = scopes_in(claims.get(), options);
    if (!scopes) return std::unexpected(scopes.error());
    return verified_token{std::move(*team), std::move(*scopes), std::move(*subject), *expires_at + leeway};
}

}  // namespace governance
