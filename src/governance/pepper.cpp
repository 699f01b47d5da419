#include "governance/pepper.hpp"

#include <openssl/rand.h>

#include <stdexcept>

#include "governance/key_secret.hpp"

namespace governance {

base::secret installation_pepper(database::connection& on, const base::secret& configured) {
    if (!configured.empty()) return configured;
    digest random{};
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) throw std::runtime_error("no random bytes");
    // Replicas that start together all try; the first one wins, and everybody reads what it wrote.
    on.execute("INSERT INTO claude_proxy.state (name, value) VALUES ('key_pepper', $1) ON CONFLICT (name) DO NOTHING",
               {hex_of(random)});
    const auto rows = on.query("SELECT value FROM claude_proxy.state WHERE name = 'key_pepper'");
    if (rows.empty() || database::text_of(rows.front().at(0)).empty())
        throw database::failure(database::failure_kind::invalid, "the database has no pepper");
    return base::secret(database::text_of(rows.front().at(0)));
}

}  // namespace governance
