// Keys and tokens of an issuer, for tests: made and signed with OpenSSL alone, so that what reads them is checked by
// something that shares no code with it.
#pragma once

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <initializer_list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace governance {

inline const unsigned char* octets(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

inline std::string encode_base64url(std::string_view bytes) {
    std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
    text.resize(static_cast<std::size_t>(
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), octets(bytes), static_cast<int>(bytes.size()))));
    while (text.ends_with('=')) text.pop_back();
    for (char& character : text) character = character == '+' ? '-' : character == '/' ? '_' : character;
    return text;
}

class signing_key {
public:
    static signing_key rsa(unsigned bits = 2'048) { return signing_key(EVP_RSA_gen(bits)); }
    static signing_key ec(const char* curve = "P-256") { return signing_key(EVP_EC_gen(curve)); }

    // The public part. `more`: further members, each beginning with a comma.
    std::string jwk(std::string_view kid, std::string_view more = "") const {
        std::string text = R"({"kid":")" + std::string(kid) + '"' + std::string(more);
        if (is_rsa()) return text + R"(,"kty":"RSA","n":")" + rsa_n() + R"(","e":")" + number("e") + R"("})";
        return text + R"(,"kty":"EC","crv":"P-256","x":")" + number("qx") + R"(","y":")" + number("qy") + R"("})";
    }
    std::string rsa_n() const { return number("n"); }

    std::string pem() const {
        const std::unique_ptr<BIO, decltype(&BIO_free_all)> out(BIO_new(BIO_s_mem()), BIO_free_all);
        PEM_write_bio_PUBKEY(out.get(), key_.get());
        char* text = nullptr;
        const long size = BIO_get_mem_data(out.get(), &text);
        return {text, static_cast<std::size_t>(size)};
    }

    // As JWS writes it: RSASSA-PKCS1-v1_5 (or PSS), or the two numbers of ECDSA.
    std::string sign(std::string_view text, const EVP_MD* method = EVP_sha256(), bool pss = false) const {
        std::string signature = sign_plainly(text, method, pss);
        if (is_rsa()) return signature;
        const unsigned char* at = octets(signature);
        const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> both(
            d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(signature.size())), ECDSA_SIG_free);
        std::string raw(64, '\0');
        BN_bn2binpad(ECDSA_SIG_get0_r(both.get()), reinterpret_cast<unsigned char*>(raw.data()), 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(both.get()), reinterpret_cast<unsigned char*>(raw.data()) + 32, 32);
        return raw;
    }
    // ECDSA stays in DER.
    std::string sign_plainly(std::string_view text, const EVP_MD* method = EVP_sha256(), bool pss = false) const {
        const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
        EVP_PKEY_CTX* settings = nullptr;
        std::string signature(1'024, '\0');
        std::size_t size = signature.size();
        if (EVP_DigestSignInit(context.get(), &settings, method, nullptr, key_.get()) != 1 ||
            (pss && EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) != 1) ||
            EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, octets(text),
                           text.size()) != 1)
            throw std::runtime_error("cannot sign");
        signature.resize(size);
        return signature;
    }

private:
    explicit signing_key(EVP_PKEY* made) : key_(made, EVP_PKEY_free) {
        if (!key_) throw std::runtime_error("cannot make a key");
    }
    bool is_rsa() const { return EVP_PKEY_is_a(key_.get(), "RSA") == 1; }
    std::string number(const char* name) const {
        BIGNUM* value = nullptr;
        EVP_PKEY_get_bn_param(key_.get(), name, &value);
        const int size = is_rsa() ? BN_num_bytes(value) : (EVP_PKEY_get_bits(key_.get()) + 7) / 8;
        std::string bytes(static_cast<std::size_t>(size), '\0');
        BN_bn2binpad(value, reinterpret_cast<unsigned char*>(bytes.data()), size);
        BN_free(value);
        return encode_base64url(bytes);
    }

    std::shared_ptr<EVP_PKEY> key_;
};

inline std::string key_set_text(std::initializer_list<std::string> jwks) {
    std::string text = R"({"keys":[)";
    for (const std::string& jwk : jwks) text += (text.ends_with('[') ? "" : ",") + jwk;
    return text + "]}";
}

// head.payload, to be signed.
inline std::string unsigned_token(std::string_view head, std::string_view payload) {
    return encode_base64url(head) + "." + encode_base64url(payload);
}
inline std::string with_signature(const std::string& text, std::string_view signature) {
    return text + "." + encode_base64url(signature);
}
inline std::string signed_token(const signing_key& key, std::string_view head, std::string_view payload) {
    const std::string text = unsigned_token(head, payload);
    return with_signature(text, key.sign(text));
}
inline std::string hs256_token(std::string_view secret, std::string_view head, std::string_view payload) {
    const std::string text = unsigned_token(head, payload);
    std::string signature(32, '\0');
    HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), octets(text), text.size(),
         reinterpret_cast<unsigned char*>(signature.data()), nullptr);
    return with_signature(text, signature);
}

// Claims by name, each a JSON text. At test_now they are sound for the issuer and audience below.
using claim_texts = std::map<std::string, std::string, std::less<>>;
inline constexpr std::int64_t test_now = 1'800'000'000'000;
inline constexpr std::string_view test_issuer = "https://issuer.example", test_audience = "gateway";

inline std::string payload_of(const claim_texts& claims) {
    std::string text = "{";
    for (const auto& [name, value] : claims) {
        text += text == "{" ? "\"" : ",\"";
        text += name;
        text += "\":";
        text += value;
    }
    return text + "}";
}
// The sound claims with some of them changed; an empty text takes one away.
inline std::string payload_with(const claim_texts& changes = {}) {
    claim_texts claims{{"iss", R"("https://issuer.example")"},
                       {"aud", R"("gateway")"},
                       {"exp", "1800000600"},
                       {"iat", "1799999990"},
                       {"sub", R"("user-1")"},
                       {"team", R"("blue")"}};
    for (const auto& [name, value] : changes) claims[name] = value;
    std::erase_if(claims, [](const auto& claim) { return claim.second.empty(); });
    return payload_of(claims);
}

}  // namespace governance
