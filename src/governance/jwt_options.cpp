#include "governance/jwt_options.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>

#include <memory>

namespace governance {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t secret_bytes_min = 32;  // RFC 7518 3.2: as long as the digest, or it can be guessed offline
constexpr std::size_t claim_name_bytes_max = 256;

// One part of a URL, as curl, which will fetch it, understands it.
std::string url_part(CURLU* url, CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(url, which, &text, 0) != CURLUE_OK) return {};
    std::string part(text);
    curl_free(text);
    return part;
}

bool is_this_machine(const std::string& host) {
    if (host == "localhost" || host == "[::1]") return true;
    in_addr address{};
    return inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

// The end of a sentence whose subject is the setting; empty: a URL to fetch keys from.
std::string what_is_wrong_with(const std::string& text) {
    const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), curl_url_cleanup);
    if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
        return "is not a URL. Write https://host/path.";
    }
    const std::string scheme = url_part(url.get(), CURLUPART_SCHEME);
    if (scheme != "https" && !(scheme == "http" && is_this_machine(url_part(url.get(), CURLUPART_HOST)))) {
        return "must begin with https://; http:// is only for this machine (127.0.0.1, [::1], localhost), because "
               "whoever can change the answer on its way can sign tokens.";
    }
    if (!url_part(url.get(), CURLUPART_USER).empty() || !url_part(url.get(), CURLUPART_PASSWORD).empty()) {
        return "must not carry a user or a password. A key set is public.";
    }
    if (!url_part(url.get(), CURLUPART_FRAGMENT).empty()) return "must not have a part after `#`.";
    return {};
}

// False: there is a problem.
bool check_url(std::vector<std::string>& problems, std::string_view name, const std::string& url) {
    const std::string wrong = url.empty() ? std::string() : what_is_wrong_with(url);
    if (!wrong.empty()) problems.push_back(fmt::format("{} {}", name, wrong));
    return wrong.empty();
}

void check_claim(std::vector<std::string>& problems, std::string_view name, std::string_view claim) {
    if (claim.empty() || claim.size() > claim_name_bytes_max) {
        problems.push_back(
            fmt::format("{} must be the name of a claim, of 1 to {} bytes.", name, claim_name_bytes_max));
    } else if (claim == "user_metadata" || claim.starts_with("user_metadata.")) {
        problems.push_back(
            fmt::format("{} is {}, which users may write themselves. Use a claim that only the issuer writes, such as "
                        "app_metadata.team.",
                        name, claim));
    }
}

void check_time(std::vector<std::string>& problems, std::string_view what, milliseconds value, milliseconds least,
                milliseconds most) {
    if (value < least || value > most) {
        problems.push_back(
            fmt::format("{} of JWT callers must be from {} ms to {} ms.", what, least.count(), most.count()));
    }
}

void check_count(std::vector<std::string>& problems, std::string_view what, std::uint64_t value, std::uint64_t least,
                 std::uint64_t most) {
    if (value < least || value > most)
        problems.push_back(fmt::format("{} of JWT callers must be from {} to {}.", what, least, most));
}

std::string without_last_slashes(std::string url) {
    while (url.ends_with('/')) url.pop_back();
    return url;
}

}  // namespace

jwt_options with_supabase_defaults(jwt_options options) {
    if (options.supabase_url.empty()) return options;
    const std::string auth = without_last_slashes(options.supabase_url) + "/auth/v1";
    if (options.jwks_url.empty()) options.jwks_url = auth + "/.well-known/jwks.json";
    if (options.issuer.empty()) options.issuer = auth;
    if (options.audience.empty()) options.audience = "authenticated";
    if (options.team_claim.empty()) options.team_claim = "app_metadata.team";
    return options;
}

std::vector<std::string> problems_of(const jwt_options& options) {
    std::vector<std::string> problems;
    // The JWKS URL is mostly made of the project's: what is wrong with that one is said once.
    if (check_url(problems, "CLAUDE_PROXY_SUPABASE_URL", options.supabase_url))
        check_url(problems, "CLAUDE_PROXY_JWT_JWKS_URL", options.jwks_url);
    if (options.supabase_url.find('?') != std::string::npos) {
        problems.emplace_back(
            "CLAUDE_PROXY_SUPABASE_URL must not have a query. Write the project's URL: https://<project>.supabase.co.");
    }
    if (!options.secret.empty() && options.secret.reveal().size() < secret_bytes_min) {
        problems.push_back(fmt::format(
            "CLAUDE_PROXY_JWT_SECRET is shorter than {} bytes and can be guessed from any token. Use the issuer's "
            "secret, or make one: openssl rand -hex 32.",
            secret_bytes_min));
    }
    if (!options.secret_previous.empty() && options.secret_previous.reveal().size() < secret_bytes_min) {
        problems.push_back(fmt::format(
            "CLAUDE_PROXY_JWT_SECRET_PREVIOUS is shorter than {} bytes and can be guessed from any token. Leave it "
            "out.",
            secret_bytes_min));
    }
    if (options.configured()) {
        if (options.issuer.empty()) {
            problems.emplace_back(
                "CLAUDE_PROXY_JWT_ISSUER is missing: without it tokens of anybody who shares the keys would do. Set it "
                "to the `iss` of your tokens.");
        }
        if (options.audience.empty()) {
            problems.emplace_back(
                "CLAUDE_PROXY_JWT_AUDIENCE is missing: without it tokens made for other services would do. Set it to "
                "the `aud` of your tokens.");
        }
    } else if (!options.issuer.empty() || !options.audience.empty() || !options.default_team.empty()) {
        problems.emplace_back(
            "JWT settings are there, but nothing to check a signature with. Set CLAUDE_PROXY_JWT_JWKS_URL or "
            "CLAUDE_PROXY_JWT_SECRET.");
    }
    check_claim(problems, "CLAUDE_PROXY_JWT_TEAM_CLAIM", options.team_claim_name());
    check_claim(problems, "CLAUDE_PROXY_JWT_SCOPES_CLAIM", options.scopes_claim);
    check_claim(problems, "CLAUDE_PROXY_JWT_SUBJECT_CLAIM", options.subject_claim);
    check_time(problems, "leeway", options.leeway, milliseconds(0), milliseconds(300'000));
    check_time(problems, "jwks_retry", options.jwks_retry, milliseconds(1'000), milliseconds(600'000));
    check_time(problems, "jwks_refresh", options.jwks_refresh, options.jwks_retry, milliseconds(86'400'000));
    check_time(problems, "jwks_timeout", options.jwks_timeout, milliseconds(10), milliseconds(60'000));
    check_count(problems, "jwks_bytes_max", options.jwks_bytes_max, 1'024, 16ull << 20);
    check_count(problems, "token_bytes_max", options.token_bytes_max, 256, 64 * 1024);
    check_count(problems, "tokens_cached_max", options.tokens_cached_max, 0, 1'000'000);
    return problems;
}

}  // namespace governance
