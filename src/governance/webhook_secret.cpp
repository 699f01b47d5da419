#include "governance/webhook_secret.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

namespace governance {

base::secret webhook_secret(const key_hasher& hasher, std::string_view team_id, std::int64_t version) {
    // No key has a line feed: nothing that a caller presents is hashed to a webhook's secret.
    const digest made = hasher.hash(fmt::format("webhook\n{}\n{}", team_id, version));
    std::array<unsigned char, 4 * ((std::tuple_size_v<digest> + 2) / 3) + 1> text{};
    const int size = EVP_EncodeBlock(text.data(), made.data(), static_cast<int>(made.size()));
    return base::secret("whsec_" + std::string(text.begin(), text.begin() + size));
}

webhook_secrets webhook_secrets_of(database::connection& on, const key_hasher& hasher, std::string_view team_id,
                                   time_ms now) {
    webhook_secrets found;
    const auto rows = on.query("SELECT version, previous_until FROM claude_proxy.webhook_secrets WHERE team_id = $1",
                               {std::string(team_id)});
    if (!rows.empty()) {
        found.version = database::integer_of(rows[0].at(0));
        found.previous_until = database::integer_of(rows[0].at(1));
    }
    found.current = webhook_secret(hasher, team_id, found.version);
    if (found.previous_until > now) found.previous = webhook_secret(hasher, team_id, found.version - 1);
    return found;
}

void raise_webhook_secret(database::connection& in_transaction, std::string_view team_id, time_ms previous_until) {
    in_transaction.execute(
        "INSERT INTO claude_proxy.webhook_secrets (team_id, version, previous_until) VALUES ($1, 2, $2) "
        "ON CONFLICT (team_id) DO UPDATE SET version = webhook_secrets.version + 1, previous_until = $2",
        {std::string(team_id), previous_until});
}

}  // namespace governance
