// The public keys of an issuer of tokens: a JWK set (RFC 7517), read once, then an immutable value.
//
// Only keys for RS256 (RSA of 2048 to 8192 bits) and ES256 (P-256) are taken; all others are left out, as the RFC
// asks, above all symmetric ones: a secret that a server publishes proves nothing. So a key's type decides the one
// algorithm it can verify, whatever a token's head says.
//
// Keys are OpenSSL's EVP_PKEY and not cjose's handles: cjose counts references without atomics, so a set could not be
// shared by the reactors; it accepts names that stand twice in a head, and every algorithm it knows. What it would do
// for us is two calls of EVP_DigestVerify (jwt.cpp). Thread rule: immutable; any thread may use a set it holds.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace governance {

enum class jwt_algorithm : std::uint8_t { rs256, es256, hs256 };

struct evp_pkey_release {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using evp_pkey_ptr = std::unique_ptr<EVP_PKEY, evp_pkey_release>;

struct verification_key {
    std::string kid;  // may be empty
    jwt_algorithm fits = jwt_algorithm::rs256;
    evp_pkey_ptr key;
};

struct key_set {
    std::vector<verification_key> keys;
    std::size_t left_out = 0;  // keys that cannot verify RS256 or ES256 here

    bool has(std::string_view kid) const;
    // The key with that kid that fits the algorithm; nullptr: none.
    const verification_key* find(std::string_view kid, jwt_algorithm algorithm) const;
};

inline constexpr std::size_t jwks_keys_max = 100;

// A JWK set. Fails (invalid_json, with a sentence) when the text is no set at all, or has more than jwks_keys_max
// keys. A set without a usable key is a set: the issuer may have withdrawn all of them.
base::result<key_set> parse_key_set(std::string_view text);

}  // namespace governance
