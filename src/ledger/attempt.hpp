// One attempt upstream as the ledger keeps it, and a request that was refused. Value types; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "anthropic/usage.hpp"
#include "base/money.hpp"

namespace ledger {

enum class outcome : std::uint8_t {
    complete,   // the whole usage was seen
    estimated,  // the end was not seen: cost is an estimate between low and high
    failed,     // the upstream refused or broke before anything that it bills
    lost,       // the process died with the attempt under way: cost is low, the truth is between low and high
};
std::string_view name_of(outcome what);

// Views live as long as their call: the journal copies.
struct attempt {
    std::string_view request_id;
    std::uint32_t number = 1;     // of the request's attempts, from 1
    std::int64_t started_ms = 0;  // since 1970
    std::int64_t finished_ms = 0;
    std::string_view team_id;
    std::string_view key_id;
    std::string_view tags;     // JSON list
    std::string_view subject;  // the user behind the key: a JWT's subject or metadata.user_id; may be empty
    std::string_view model_asked;
    std::string_view model;  // priced: the answer's, else the asked one
    std::string_view route;
    int status = 0;  // what the client got; 0: nothing yet
    ledger::outcome result = outcome::failed;
    std::string_view reason;  // base::facts_of(kind).reason, or empty
    bool stream = false;
    bool unknown_model = false;
    anthropic::usage usage;
    base::pico_dollars cost = 0;
    base::pico_dollars cost_low = 0;
    base::pico_dollars cost_high = 0;
    base::pico_dollars hold = 0;
    std::string_view price_table;
    std::string_view upstream_request_id;
    std::string_view message_id;
    std::string_view stop_reason;
    std::string_view user_agent;
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
    std::uint64_t overhead_us = 0;
    std::uint64_t total_us = 0;
};

struct refusal {
    std::string_view request_id;
    std::int64_t at_ms = 0;
    std::string_view team_id;
    std::string_view key_id;
    std::string_view model;
    int status = 0;
    std::string_view reason;
    std::string_view detail;  // the sentence that the client got
};

}  // namespace ledger
