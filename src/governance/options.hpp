// Settings of keys, limits and budgets.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/secret.hpp"

namespace governance {

using std::chrono::milliseconds;

struct options {
    base::secret key_pepper;                 // CLAUDE_PROXY_KEY_PEPPER; empty: made once and kept in the database
    milliseconds directory_poll{250};        // how often a replica asks whether keys, limits or budgets have changed
    milliseconds staleness_max{86'400'000};  // without an answer for so long, requests are refused (directory_stale)
    milliseconds budget_lease{60'000};       // a replica's share of a budget comes back after so long when it died
    milliseconds budget_wait{60'000};        // near the limit a request waits so long for others to settle
    std::uint32_t budget_waiters_max = 100'000;  // requests that wait for one budget; more are refused at once
};

}  // namespace governance
