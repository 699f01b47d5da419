// What comes of a try to deliver a webhook: delivered, again later, or never; and whether the endpoint is in trouble.
// Plain functions of values; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "jobs/webhook_deliveries.hpp"
#include "jobs/webhook_options.hpp"

namespace worker {

// Whatever a receiver answers beyond the head counts for nothing: the status decides, once it is there.
struct webhook_answer {
    std::uint32_t status = 0;             // 0: no answer
    std::string error;                    // why there is none, or what is wrong with it; never a byte of the answer
    std::chrono::seconds retry_after{0};  // as the receiver wishes; 0: it said nothing
};

bool is_delivered(const webhook_answer& answer);

struct next_try {
    jobs::delivery_state state = jobs::delivery_state::waiting;
    std::chrono::milliseconds wait{0};  // for `waiting`
};

// `tries` counts this one, too. `chance` from 0 to 1 moves the wait by a fifth at most, so that what failed together
// does not come back together.
next_try decide(const jobs::webhook_options& options, const webhook_answer& answer, std::uint32_t tries, double chance);

// What the answer says about the endpoint: a receiver that refuses one path is well, one that does not answer, asks
// for a rest or fails is not.
bool is_in_trouble(const webhook_answer& answer);

}  // namespace worker
