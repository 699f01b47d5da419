// Arbitrary bytes as what the first byte says: `t` a token as it comes, `h` a head and `p` a payload that are then well
// signed, `k` a key set. Properties: no crash, nothing left in OpenSSL's queue; no token that a stranger wrote is
// accepted; base64url has one form; a signed head or payload is accepted only when it says what it must; a key that is
// taken is strong enough.
#include <openssl/err.h>
#include <openssl/hmac.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "governance/jwt.hpp"
#include "governance/jwt_claims.hpp"
#include "governance/jwt_parts.hpp"

namespace {

constexpr governance::time_ms now = 1'800'000'000'000;
constexpr std::string_view sound_head = R"({"alg":"HS256"})";
constexpr std::string_view sound_payload =
    R"({"iss":"issuer","aud":"gateway","exp":1800000600,"sub":"user","team":"blue"})";

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

const unsigned char* octets(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

const governance::jwt_options& options() {
    static const governance::jwt_options made = [] {
        governance::jwt_options options;
        options.jwks_url = "https://issuer.example/jwks.json";
        options.secret = base::secret("a secret that no input of the fuzzer knows");
        options.issuer = "issuer";
        options.audience = "gateway";
        options.team_claim = "app.team";
        options.default_team = "guests";
        return options;
    }();
    return made;
}

std::string encode(std::string_view bytes) {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string text;
    unsigned pending = 0, bits = 0;
    for (const char byte : bytes) {
        pending = (pending << 8 | static_cast<unsigned char>(byte)) & 0xffff;
        for (bits += 8; bits >= 6; bits -= 6) text += alphabet[pending >> (bits - 6) & 63];
    }
    if (bits > 0) text += alphabet[pending << (6 - bits) & 63];
    return text;
}

std::string signed_token(std::string_view head, std::string_view payload) {
    std::string token = encode(head) + "." + encode(payload);
    const std::string_view secret = options().secret.reveal();
    std::string signature(32, '\0');
    HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), octets(token), token.size(),
         reinterpret_cast<unsigned char*>(signature.data()), nullptr);
    return token + "." + encode(signature);
}

void check_token(std::string_view text) {
    static const governance::key_set no_keys;
    require(!governance::verify_token(text, &no_keys, options(), now), "a stranger's token is refused");
    require(!governance::verify_token(text, nullptr, options(), now), "also before the first key set");
    governance::may_be_of_newer_key(text, &no_keys, options());
    if (const auto bytes = governance::decode_base64url(text))
        require(encode(*bytes) == text, "base64url has one form");
    require(governance::decode_base64url(encode(text)) == text, "what is encoded is decoded");
}

void check_head(std::string_view head) {
    const auto outcome = governance::verify_token(signed_token(head, sound_payload), nullptr, options(), now);
    if (!outcome) return;
    const auto parsed = governance::parse_json_object(head);
    require(governance::string_in(parsed.get(), "alg") == "HS256", "the algorithm is named");
    require(!json_object_get(parsed.get(), "crit"), "no extension is asked for");
}

void check_payload(std::string_view payload) {
    const auto outcome = governance::verify_token(signed_token(sound_head, payload), nullptr, options(), now);
    if (!outcome) return;
    const auto parsed = governance::parse_json_object(payload);
    require(governance::string_in(parsed.get(), "iss") == "issuer", "the issuer is right");
    require(payload.size() < options().token_bytes_max, "the size is bounded");
    require(outcome->expires_at_ms > now, "it has not expired");
    require(!outcome->team.empty() && outcome->team.size() <= 256, "there is a team");
    require(!outcome->subject.empty() && outcome->subject.size() <= 256, "there is a subject");
    require(outcome->scopes.size() <= 128, "scopes are bounded");
    const json_t* const team = governance::find_claim(parsed.get(), "app.team");
    require(outcome->team == (team ? json_string_value(team) : "guests"), "the team is the claimed one");
}

void check_key_set(std::string_view text) {
    const auto keys = governance::parse_key_set(text);
    if (!keys) return;
    require(keys->keys.size() + keys->left_out <= governance::jwks_keys_max, "keys are bounded");
    for (const auto& key : keys->keys) {
        const int bits = EVP_PKEY_get_bits(key.key.get());
        const bool is_rsa = EVP_PKEY_is_a(key.key.get(), "RSA") == 1;
        require(key.fits == (is_rsa ? governance::jwt_algorithm::rs256 : governance::jwt_algorithm::es256), "it fits");
        require(is_rsa ? bits >= 2'048 && bits <= 8'192 : bits == 256, "it is strong enough");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0]) {
        case 't':
            check_token(rest);
            break;
        case 'h':
            check_head(rest);
            break;
        case 'p':
            check_payload(rest);
            break;
        case 'k':
            check_key_set(rest);
            break;
        default:
            return -1;
    }
    require(ERR_peek_error() == 0, "nothing is left for TLS to stumble over");
    return 0;
}
