// Callers with a JWT of an identity provider instead of a key of ours: is the token genuine, and whom does it name?
//
// `verify_token` is a plain function of values. `token_verifier` puts a cache in front of it, one a reactor: a
// verification costs a request 30 to 100 us (RS256, ES256), a look-up less than one. Which keys are believed comes from
// jwks_keeper.hpp, who the named team is from directory.hpp (find_team); the request path joins the three.
//
// Accepted: RS256 and ES256 by a key of the set, HS256 by the shared secret and by nothing else. A token's head never
// decides what its signature is checked with: the kind of key does. Refusals are sentences for the client; they never
// repeat any part of the token.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "governance/jwks.hpp"
#include "governance/jwt_cache.hpp"
#include "governance/jwt_options.hpp"
#include "governance/tenants.hpp"

namespace governance {

// Three parts, the first of which begins like a JSON object: worth verifying. No key of ours looks like that.
bool looks_like_jwt(std::string_view credential);

// Any thread. `keys`: null while no key set could be fetched yet. Fails with
// - credential_invalid: not a token, not signed by whom we believe, or not meant for us,
// - credential_expired: genuine, but its time is over,
// - directory_stale: the key set is not there yet, so nothing is known of the token. The client may come again.
base::result<verified_token> verify_token(std::string_view token, const key_set* keys, const jwt_options& options,
                                          time_ms now);

// A token was refused; might a newer key set than `keys` verify it? True when it names a key that the set does not
// have, or none. The caller then asks jwks_keeper::refresh. Any thread.
bool may_be_of_newer_key(std::string_view token, const key_set* keys, const jwt_options& options);

// verify_token with a memory. Thread rule: one thread, its reactor's.
class token_verifier {
public:
    explicit token_verifier(jwt_options options);

    bool is_configured() const { return options_.configured(); }

    // From now on these keys count; what was verified with others is forgotten. Before the first call: no keys.
    void use(std::shared_ptr<const key_set> keys);

    // The same for the shared secret of HS256 and the one before it. Tokens of others are refused from now on.
    void use_secrets(base::secret secret, base::secret previous);

    // As verify_token. Refusals are not remembered: they would fill the memory at a stranger's will.
    base::result<std::shared_ptr<const verified_token>> check(std::string_view token, time_ms now);

    bool may_be_of_newer_key(std::string_view token) const {
        return governance::may_be_of_newer_key(token, keys_.get(), options_);
    }

private:
    struct release {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
        void operator()(EVP_MD* method) const { EVP_MD_free(method); }
    };
    digest digest_of(std::string_view token) const;

    jwt_options options_;
    std::shared_ptr<const key_set> keys_;
    token_cache cache_;
    // Fetched once: OpenSSL 3 looks an algorithm up by name on every use otherwise, which costs more than the digest.
    std::unique_ptr<EVP_MD, release> sha256_;
    std::unique_ptr<EVP_MD_CTX, release> hashing_;
};

}  // namespace governance
