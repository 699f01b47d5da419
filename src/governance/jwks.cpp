#include "governance/jwks.hpp"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <optional>
#include <ranges>

#include "base/released_by.hpp"
#include "governance/jwt_parts.hpp"

namespace governance {
namespace {

constexpr int rsa_bits_min = 2'048;  // RFC 7518 3.3
constexpr int rsa_bits_max = 8'192;  // a verification takes time that grows with the square
constexpr std::size_t coordinate_bytes = 32;
constexpr std::size_t exponent_bytes_max = 4;

using context_ptr = std::unique_ptr<EVP_PKEY_CTX, base::released_by<EVP_PKEY_CTX_free>>;
using number_ptr = std::unique_ptr<BIGNUM, base::released_by<BN_free>>;
using builder_ptr = std::unique_ptr<OSSL_PARAM_BLD, base::released_by<OSSL_PARAM_BLD_free>>;
using params_ptr = std::unique_ptr<OSSL_PARAM, base::released_by<OSSL_PARAM_free>>;

std::optional<std::string> bytes_in(const json_t* jwk, std::string_view name) {
    const auto text = string_in(jwk, name);
    return text ? decode_base64url(*text) : std::nullopt;
}

number_ptr number_of(const std::string& bytes) {
    return number_ptr(
        BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()), nullptr));
}

// Null when OpenSSL refuses them.
evp_pkey_ptr public_key(const char* type, OSSL_PARAM* params) {
    const context_ptr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
    EVP_PKEY* made = nullptr;
    if (!context || !params || EVP_PKEY_fromdata_init(context.get()) != 1 ||
        EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, params) != 1)
        return nullptr;
    return evp_pkey_ptr(made);
}

evp_pkey_ptr rsa_key(const json_t* jwk) {
    const auto n = bytes_in(jwk, "n"), e = bytes_in(jwk, "e");
    if (!n || !e || e->size() > exponent_bytes_max || n->size() > rsa_bits_max / 8 + 1) return nullptr;
    const number_ptr modulus = number_of(*n), exponent = number_of(*e);
    if (!modulus || !exponent || !BN_is_odd(modulus.get()) || !BN_is_odd(exponent.get()) || BN_is_one(exponent.get()))
        return nullptr;
    if (const int bits = BN_num_bits(modulus.get()); bits < rsa_bits_min || bits > rsa_bits_max) return nullptr;
    const builder_ptr builder(OSSL_PARAM_BLD_new());
    if (!builder || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1)
        return nullptr;
    const params_ptr params(OSSL_PARAM_BLD_to_param(builder.get()));
    return public_key("RSA", params.get());
}

evp_pkey_ptr p256_key(const json_t* jwk) {
    const auto x = bytes_in(jwk, "x"), y = bytes_in(jwk, "y");
    if (string_in(jwk, "crv") != "P-256" || !x || !y) return nullptr;
    if (x->size() != coordinate_bytes || y->size() != coordinate_bytes) return nullptr;
    std::string group = "prime256v1";
    std::string point = '\x04' + *x + *y;  // uncompressed
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
                           OSSL_PARAM_construct_end()};
    return public_key("EC", params);  // null for a point off the curve
}

// `use`, `key_ops` and `alg` narrow what a key is for. One that is there and no string is no permission.
bool may_verify(const json_t* jwk, std::string_view algorithm) {
    const auto absent_or = [jwk](const char* name, std::string_view wanted) {
        return !json_object_get(jwk, name) || string_in(jwk, name) == wanted;
    };
    if (!absent_or("use", "sig") || !absent_or("alg", algorithm)) return false;
    const json_t* const operations = json_object_get(jwk, "key_ops");
    if (!operations) return true;
    for (std::size_t at = 0; at < json_array_size(operations); ++at) {
        const json_t* const operation = json_array_get(operations, at);
        if (json_is_string(operation) && json_string_value(operation) == std::string_view("verify")) return true;
    }
    return false;
}

std::optional<verification_key> usable_key(const json_t* jwk) {
    if (!json_is_object(jwk)) return {};
    verification_key made;
    if (json_object_get(jwk, "kid")) {
        const auto kid = string_in(jwk, "kid");
        if (!kid) return {};
        made.kid = *kid;
    }
    const auto type = string_in(jwk, "kty");
    if (type == "RSA" && may_verify(jwk, "RS256")) {
        made.fits = jwt_algorithm::rs256;
        made.key = rsa_key(jwk);
    } else if (type == "EC" && may_verify(jwk, "ES256")) {
        made.fits = jwt_algorithm::es256;
        made.key = p256_key(jwk);
    }
    if (!made.key) return {};
    return made;
}

}  // namespace

bool key_set::has(std::string_view kid) const {
    return std::ranges::any_of(keys, [kid](const verification_key& key) { return key.kid == kid; });
}

const verification_key* key_set::find(std::string_view kid, jwt_algorithm algorithm) const {
    const auto found = std::ranges::find_if(
        keys, [&](const verification_key& key) { return key.kid == kid && key.fits == algorithm; });
    return found == keys.end() ? nullptr : &*found;
}

base::result<key_set> parse_key_set(std::string_view text) {
    const json_ptr document = parse_json_object(text);
    if (!document)
        return base::fail(base::errc::invalid_json, "The JWKS is not a JSON object whose names stand once each.");
    const json_t* const listed = json_object_get(document.get(), "keys");
    if (!json_is_array(listed)) return base::fail(base::errc::invalid_json, "The JWKS has no list `keys`.");
    if (json_array_size(listed) > jwks_keys_max)
        return base::fail(base::errc::invalid_json, fmt::format("The JWKS has more than {} keys.", jwks_keys_max));
    key_set made;
    for (std::size_t at = 0; at < json_array_size(listed); ++at) {
        if (auto key = usable_key(json_array_get(listed, at)))
            made.keys.push_back(std::move(*key));
        else
            ++made.left_out;
    }
    ERR_clear_error();  // what OpenSSL said of the keys left out; TLS on this thread would take it for its own
    return made;
}

}  // namespace governance
