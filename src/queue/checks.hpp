// What every adapter keeps: limits of the port, and what a message may be. Plain functions of values.
#pragma once

#include <algorithm>
#include <chrono>
#include <span>

#include "queue/queue.hpp"

namespace queue {

inline constexpr std::size_t receive_max = 10;
inline constexpr std::chrono::milliseconds wait_max{20'000};
inline constexpr std::chrono::seconds hidden_max{43'200};  // Amazon's, from the receive on

// Throws failure{false} before any is sent: SQS takes neither an empty body nor every character.
inline void check_messages(std::span<const message> messages) {
    for (const auto& each : messages) {
        const bool sound = !each.body.empty() && each.body.size() <= message::body_bytes_max &&
                           std::ranges::all_of(each.body, [](char c) { return c >= ' ' && c < 0x7f; });
        if (!sound) throw failure(false, "a message must have 1 to 1024 printable ASCII characters");
    }
}

inline std::chrono::seconds delay_of(const message& sent) {
    return std::clamp(sent.delay, std::chrono::seconds(0), message::delay_max);
}
inline std::chrono::seconds hidden_within_limits(std::chrono::seconds hidden_for) {
    return std::clamp(hidden_for, std::chrono::seconds(0), hidden_max);
}

}  // namespace queue
