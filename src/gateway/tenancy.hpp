// Who may ask, as one reactor sees it: the directory in force, the verifier of JWTs, the prices. Snapshots are swapped
// by work posted to the reactor; a request keeps what it was given. Thread rule: the reactor's thread.
#pragma once

#include <memory>

#include "governance/budget.hpp"
#include "governance/budget_keeper.hpp"
#include "governance/directory.hpp"
#include "governance/directory_keeper.hpp"
#include "governance/jwks_keeper.hpp"
#include "governance/jwt.hpp"
#include "governance/options.hpp"
#include "governance/rate_limit.hpp"
#include "pricing/pricing.hpp"

namespace gateway {

struct tenancy {
    const governance::options& rules;
    std::shared_ptr<const governance::directory> directory;
    governance::directory_keeper& keeper;
    const governance::key_hasher& hasher;
    const pricing::price_table& prices;
    const governance::budget_keeper& money;
    governance::token_verifier tokens;
    governance::jwks_keeper* issuer = nullptr;  // none: no JWKS is configured
};

}  // namespace gateway
