#include "governance/jwt.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "governance/jwt_claims.hpp"
#include "governance/jwt_parts.hpp"

namespace governance {
namespace {

using base::errc;
using base::fail;

constexpr std::size_t p256_signature_bytes = 64;  // RFC 7518 3.4: r and s, 32 bytes each

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

struct token_parts {
    std::string_view head;
    std::string_view payload;
    std::string_view signature;
    std::string_view signed_text;  // head, dot, payload
};

std::optional<token_parts> split(std::string_view token) {
    const std::size_t first = token.find('.');
    if (first == std::string_view::npos) return {};
    const std::size_t second = token.find('.', first + 1);
    if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) return {};
    return token_parts{token.substr(0, first), token.substr(first + 1, second - first - 1), token.substr(second + 1),
                       token.substr(0, second)};
}

struct token_head {
    jwt_algorithm algorithm = jwt_algorithm::rs256;
    std::optional<std::string> kid;
};

// What the head asks for, of which `typ` and everything that points to foreign keys (jku, jwk, x5u, x5c) is ignored.
base::result<token_head> read_head(std::string_view encoded) {
    const auto text = decode_base64url(encoded);
    const json_ptr head = text ? parse_json_object(*text) : nullptr;
    if (!head) return fail(errc::credential_invalid, "The token's head is not a JSON object in base64url.");
    if (json_object_get(head.get(), "crit"))
        return fail(errc::credential_invalid, "The token's head asks for extensions (`crit`) that are not known here.");
    token_head made;
    const auto algorithm = string_in(head.get(), "alg");
    if (algorithm == "RS256") {
        made.algorithm = jwt_algorithm::rs256;
    } else if (algorithm == "ES256") {
        made.algorithm = jwt_algorithm::es256;
    } else if (algorithm == "HS256") {
        made.algorithm = jwt_algorithm::hs256;
    } else {
        return fail(errc::credential_invalid, "The token's `alg` is none of RS256, ES256 and HS256.");
    }
    if (json_object_get(head.get(), "kid")) {
        const auto kid = string_in(head.get(), "kid");
        if (!kid) return fail(errc::credential_invalid, "The token's `kid` is not a string.");
        made.kid = *kid;
    }
    return made;
}

base::result<token_parts> parts_of(std::string_view token, const jwt_options& options) {
    if (token.size() > options.token_bytes_max) {
        return fail(errc::credential_invalid,
                    fmt::format("The token is longer than {} bytes.", options.token_bytes_max));
    }
    const auto parts = split(token);
    if (!parts) return fail(errc::credential_invalid, "The token is not a JWT of three parts.");
    return *parts;
}

// The key that the head names; without a name, the only one that fits.
base::result<const verification_key*> choose_key(const token_head& head, const key_set* keys,
                                                 const jwt_options& options) {
    if (!keys && options.jwks_url.empty())
        return fail(errc::credential_invalid,
                    "Tokens with RS256 or ES256 are not accepted here: no JWKS is configured.");
    if (!keys) {
        return fail(errc::directory_stale,
                    "The keys that tokens are signed with could not be fetched from the issuer yet. Try again.",
                    std::chrono::ceil<std::chrono::seconds>(options.jwks_retry));
    }
    if (head.kid) {
        const verification_key* const named = keys->find(*head.kid, head.algorithm);
        if (named) return named;
        return fail(errc::credential_invalid, "The issuer has no key with the token's `kid` for its `alg`.");
    }
    const verification_key* only = nullptr;
    for (const auto& key : keys->keys) {
        if (key.fits != head.algorithm) continue;
        if (only) return fail(errc::credential_invalid, "The token names no key (`kid`), and the issuer has several.");
        only = &key;
    }
    if (!only) return fail(errc::credential_invalid, "The issuer has no key for the token's `alg`.");
    return only;
}

// OpenSSL reads ECDSA signatures in DER, JWS writes the two numbers.
std::string der_of(std::string_view raw) {
    const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> both(ECDSA_SIG_new(), ECDSA_SIG_free);
    constexpr int half = p256_signature_bytes / 2;
    BIGNUM* const r = BN_bin2bn(bytes(raw), half, nullptr);
    BIGNUM* const s = BN_bin2bn(bytes(raw) + half, half, nullptr);
    if (!both || !r || !s || ECDSA_SIG_set0(both.get(), r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return {};
    }
    unsigned char* made = nullptr;
    const int size = i2d_ECDSA_SIG(both.get(), &made);
    if (size <= 0) return {};
    std::string der(reinterpret_cast<char*>(made), static_cast<std::size_t>(size));
    OPENSSL_free(made);
    return der;
}

bool is_signed_by(const verification_key& key, std::string_view text, std::string signature) {
    if (key.fits == jwt_algorithm::es256) {
        if (signature.size() != p256_signature_bytes) return false;
        signature = der_of(signature);
    }
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    const bool good =
        context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.key.get()) == 1 &&
        EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(text), text.size()) == 1;
    ERR_clear_error();  // else TLS on this thread would take what a bad signature leaves there for its own failure
    return good;
}

bool is_signed_with(const base::secret& secret, std::string_view text, const std::string& signature) {
    digest expected{};
    unsigned size = 0;
    const std::string_view key = secret.reveal();
    if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes(text), text.size(), expected.data(), &size))
        throw std::runtime_error("OpenSSL: HMAC-SHA-256 fails");
    return signature.size() == size && CRYPTO_memcmp(signature.data(), expected.data(), size) == 0;
}

base::result<void> check_signature(const token_parts& parts, const token_head& head, const key_set* keys,
                                   const jwt_options& options) {
    const auto signature = decode_base64url(parts.signature);
    if (!signature || signature->empty())
        return fail(errc::credential_invalid, "The token's signature is missing, or not base64url.");
    bool good = false;
    if (head.algorithm == jwt_algorithm::hs256) {
        if (options.secret.empty()) {
            return fail(errc::credential_invalid,
                        "Tokens with HS256 are not accepted here: no shared secret is configured.");
        }
        good = is_signed_with(options.secret, parts.signed_text, *signature) ||
               (!options.secret_previous.empty() &&
                is_signed_with(options.secret_previous, parts.signed_text, *signature));
    } else {
        const auto key = choose_key(head, keys, options);
        if (!key) return std::unexpected(key.error());
        good = is_signed_by(**key, parts.signed_text, *signature);
    }
    if (!good) return fail(errc::credential_invalid, "The token's signature is wrong.");
    return {};
}

}  // namespace

bool looks_like_jwt(std::string_view credential) {
    return credential.starts_with("eyJ") && std::ranges::count(credential, '.') == 2;
}

base::result<verified_token> verify_token(std::string_view token, const key_set* keys, const jwt_options& options,
                                          time_ms now) {
    const auto parts = parts_of(token, options);
    if (!parts) return std::unexpected(parts.error());
    const auto head = read_head(parts->head);
    if (!head) return std::unexpected(head.error());
    if (const auto genuine = check_signature(*parts, *head, keys, options); !genuine)
        return std::unexpected(genuine.error());
    // Only now is the payload looked at: until here it is a stranger's text.
    const auto payload = decode_base64url(parts->payload);
    if (!payload) return fail(errc::credential_invalid, "The token's payload is not base64url.");
    return read_claims(*payload, options, now);
}

bool may_be_of_newer_key(std::string_view token, const key_set* keys, const jwt_options& options) {
    if (options.jwks_url.empty()) return false;
    const auto parts = parts_of(token, options);
    if (!parts) return false;
    const auto head = read_head(parts->head);
    if (!head || head->algorithm == jwt_algorithm::hs256) return false;
    return !keys || !head->kid || !keys->has(*head->kid);
}

token_verifier::token_verifier(jwt_options options)
    : options_(std::move(options)),
      cache_(options_.tokens_cached_max),
      sha256_(EVP_MD_fetch(nullptr, "SHA256", nullptr)),
      hashing_(EVP_MD_CTX_new()) {
    if (!sha256_ || !hashing_) throw std::runtime_error("OpenSSL: no SHA-256");
}

void token_verifier::use(std::shared_ptr<const key_set> keys) {
    keys_ = std::move(keys);
    cache_.clear();
}

void token_verifier::use_secrets(base::secret secret, base::secret previous) {
    options_.secret = std::move(secret);
    options_.secret_previous = std::move(previous);
    cache_.clear();
}

digest token_verifier::digest_of(std::string_view token) const {
    digest made{};
    if (EVP_DigestInit_ex2(hashing_.get(), sha256_.get(), nullptr) != 1 ||
        EVP_DigestUpdate(hashing_.get(), token.data(), token.size()) != 1 ||
        EVP_DigestFinal_ex(hashing_.get(), made.data(), nullptr) != 1)
        throw std::runtime_error("OpenSSL: SHA-256 fails");
    return made;
}

base::result<std::shared_ptr<const verified_token>> token_verifier::check(std::string_view token, time_ms now) {
    if (token.size() > options_.token_bytes_max) return std::unexpected(parts_of(token, options_).error());
    const digest hash = digest_of(token);
    if (auto known = cache_.find(hash, now)) return known;
    auto verified = verify_token(token, keys_.get(), options_, now);
    if (!verified) return std::unexpected(std::move(verified.error()));
    auto shared = std::make_shared<const verified_token>(std::move(*verified));
    cache_.put(hash, shared);
    return shared;
}

}  // namespace governance
