// The SSE form of an answer, with pace, pings and every fault that lives between events.
#pragma once

#include "answer.hpp"
#include "exchange.hpp"
#include "message_json.hpp"

namespace sim {

struct stream_wishes {
    std::uint64_t pings = 0;             // further pings, spread over the deltas
    std::uint64_t tokens_per_event = 0;  // 0: one to four, varying
    std::uint64_t seed = 0;
};

// Sends the whole stream and keeps the ledger row of the exchange true at every step: input is billed from
// message_start on, output as far as its events were handed over. An error event before any content takes the bill
// back.
void send_stream(exchange& ex, const message_facts& facts, const answer& said, const stream_wishes& wishes);

}  // namespace sim
