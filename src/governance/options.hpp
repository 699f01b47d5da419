// Settings of governance: how changes reach the replicas, and what budgets may cost in waiting.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/secret.hpp"

namespace governance {

using std::chrono::milliseconds;

struct options {
    // How often a replica asks the database whether anything has changed: the time a revocation takes to arrive.
    milliseconds directory_poll{250};
    // How long the last known directory is trusted while the database cannot be reached. Then requests are refused as
    // `directory_stale`: a key that was revoked since would otherwise be good for ever.
    milliseconds staleness_max{std::chrono::hours{24}};
    // What the secrets of keys are hashed under. Empty: made once and kept in the database (pepper.hpp). Keys stop to
    // be known when it changes.
    base::secret key_pepper{};

    // How long a request near the end of its budget waits for others to settle before it is refused.
    milliseconds budget_wait{60'000};
    // How long it waits when queued jobs and batches hold what it needs, while nothing of that comes back: they may
    // last for hours.
    milliseconds budget_set_aside_wait{2'000};
    // How long a replica's slice of a budget is its own without being renewed: what a killed replica held comes back
    // after it.
    milliseconds budget_lease{60'000};
    // Requests that wait for one budget at a time; more are refused at once.
    std::uint32_t budget_waiters_max = 100'000;
};

}  // namespace governance
