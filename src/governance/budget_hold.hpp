// Money of a hard budget that is set aside for work that waits outside of any replica (job_holds.hpp). A value.
#pragma once

#include <cstdint>
#include <string>

#include "base/money.hpp"

namespace governance {

struct budget_hold {
    std::string budget_id;
    std::int64_t period_start = 0;
    base::pico_dollars amount = 0;

    bool operator==(const budget_hold&) const = default;
};

}  // namespace governance
