// What the jobs of one reactor share. Built by app; everything referenced outlives every job.
#pragma once

#include <atomic>
#include <cstdint>

#include "gateway/exchange.hpp"
#include "jobs/options.hpp"
#include "jobs/store.hpp"

namespace worker {

// Counts of the process, shared by all reactors.
struct shared_counts {
    std::atomic<std::uint64_t> log_bytes_waiting{0};   // of events that the store has not committed yet
    std::atomic<std::uint32_t> requests_under_way{0};  // of jobs, inside of the gateway
};

struct lane {
    net::reactor& reactor;
    gateway::service& parts;
    jobs::store& store;
    const jobs::options& rules;
    const http::server_options& http;  // of the connections inside of the process
    http::server_load& load;           // the process's: the bodies of jobs count among those of all requests
    shared_counts& counts;
};

}  // namespace worker
