#include "worker/webhook_decision.hpp"

#include <algorithm>

namespace worker {

using std::chrono::milliseconds;

bool is_delivered(const webhook_answer& answer) { return answer.status >= 200 && answer.status < 300; }

next_try decide(const jobs::webhook_options& options, const webhook_answer& answer, std::uint32_t tries,
                double chance) {
    using enum jobs::delivery_state;
    constexpr std::uint32_t gone = 410;  // the receiver wants no more of it
    constexpr double jitter = 0.2;
    if (is_delivered(answer)) return {.state = delivered};
    if (answer.status == gone || tries == 0 || tries > options.retries.size()) return {.state = given_up};
    const double planned = static_cast<double>(options.retries[tries - 1].count());
    const milliseconds wait{static_cast<std::int64_t>(planned * (1 + jitter * (2 * chance - 1)))};
    const milliseconds wished = std::min<milliseconds>(answer.retry_after, options.retry_after_max);
    return {.state = waiting, .wait = std::max(wait, wished)};
}

bool is_in_trouble(const webhook_answer& answer) {
    constexpr std::uint32_t request_timeout = 408, too_many_requests = 429, server_errors = 500;
    return answer.status == 0 || answer.status == request_timeout || answer.status == too_many_requests ||
           answer.status >= server_errors;
}

}  // namespace worker
