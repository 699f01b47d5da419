// The secrets that sign a team's webhooks, as Standard Webhooks writes them: `whsec_` and 32 bytes in base64. They are
// made from the installation's pepper, the team and a number, so that none is stored: the database keeps the number
// once it was raised. Another pepper makes other secrets. Blocking where there is a connection; its thread rule.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/secret.hpp"
#include "database/connection.hpp"
#include "governance/key_secret.hpp"
#include "governance/tenants.hpp"

namespace governance {

struct webhook_secrets {
    std::int64_t version = 1;
    base::secret current;
    base::secret previous;       // empty: none signs any more
    time_ms previous_until = 0;  // of a previous one
};

// Of one number; the first is 1.
base::secret webhook_secret(const key_hasher& hasher, std::string_view team_id, std::int64_t version);

// Those in force. Throws database::failure.
webhook_secrets webhook_secrets_of(database::connection& on, const key_hasher& hasher, std::string_view team_id,
                                   time_ms now);

// Raises the number, in a transaction of the caller; the one before it signs until `previous_until`. Throws
// database::failure.
void raise_webhook_secret(database::connection& in_transaction, std::string_view team_id, time_ms previous_until);

}  // namespace governance
