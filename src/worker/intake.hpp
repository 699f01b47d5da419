// How many jobs a worker may begin now, from its free slots and what the upstream has said about its limits.
// A decision of values: no I/O, no clock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "upstream/quota.hpp"

namespace worker {

struct intake {
    std::size_t jobs = 0;            // to claim now
    std::int64_t look_again_ms = 0;  // since 1970: when a limit, not the slots, is why it is not more; 0: none is
};

// A pause that the upstream asked for is obeyed up to pause_max: one model's limit must not stop the work on all others
// for long. What is left of the requests bounds what is begun; without tokens nothing is.
intake intake_of(std::size_t free_slots, const upstream::quota_view& seen, std::int64_t now_ms);

inline constexpr std::int64_t pause_max_ms = 10'000;

}  // namespace worker
