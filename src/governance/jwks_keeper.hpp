// The key set of the issuer, kept fresh by a thread of its own: fetched at the start, every jwks_refresh, and when a
// token names a key that nobody has seen yet.
//
// While the endpoint is down the last good set stays in use, and a failed fetch is tried again every jwks_retry. The
// start does not wait for the endpoint: until the first set is there, `current` is null and tokens are refused with
// directory_stale. A fetch is bounded in time and size, follows no redirect, verifies TLS and uses no proxy.
// Thread rule: `current` and `refresh` may be called from any thread; the listeners and what waits for a refresh are
// called on the keeper's thread, and must not block or throw.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "governance/jwks.hpp"
#include "governance/jwt_options.hpp"

namespace governance {

class jwks_keeper {
public:
    struct listeners {
        // A set that is not the one before. Reactors get it by `post` and give it to their token_verifier.
        std::function<void(std::shared_ptr<const key_set>)> changed;
        std::function<void(const std::string& why)> failing;  // once an outage; the end of "the JWKS endpoint ..."
        std::function<void()> recovered;                      // the outage is over
    };
    static constexpr std::size_t waiting_max = 1'024;

    // Options need a jwks_url and to be sound (problems_of). Throws when there is no memory or no thread.
    jwks_keeper(const jwt_options& options, listeners tell);
    // Ends a fetch half-way, calls what waits, joins the thread.
    ~jwks_keeper();
    jwks_keeper(const jwks_keeper&) = delete;
    jwks_keeper& operator=(const jwks_keeper&) = delete;

    // The last good set; null before the first.
    std::shared_ptr<const key_set> current() const;

    // A token was refused, and may_be_of_newer_key (jwt.hpp): fetch now. True: `then` will be called after the fetch
    // that is under way or about to begin, whatever came of it, and after `changed`. False: the last fetch began less
    // than jwks_retry ago, or waiting_max others wait; nothing will be called, and the refusal stands.
    bool refresh(std::function<void()> then);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace governance
