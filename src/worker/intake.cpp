#include "worker/intake.hpp"

#include <algorithm>

namespace worker {

intake intake_of(std::size_t free_slots, const upstream::quota_view& seen, std::int64_t now_ms) {
    const auto pause_until = [now_ms](std::int64_t until) {
        return intake{.jobs = 0, .look_again_ms = std::min(until, now_ms + pause_max_ms)};
    };
    if (seen.refused_until_ms > now_ms) return pause_until(seen.refused_until_ms);
    if (seen.tokens_left == 0 && seen.tokens_reset_ms > now_ms) return pause_until(seen.tokens_reset_ms);
    if (seen.requests_left == upstream::quota_view::unknown || seen.requests_reset_ms <= now_ms)
        return {.jobs = free_slots};
    if (seen.requests_left == 0) return pause_until(seen.requests_reset_ms);
    const auto left = static_cast<std::size_t>(seen.requests_left);
    if (left >= free_slots) return {.jobs = free_slots};
    return {.jobs = left, .look_again_ms = std::min(seen.requests_reset_ms, now_ms + pause_max_ms)};
}

}  // namespace worker
