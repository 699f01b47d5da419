// Everything that outlives a request, built once in main and handed to each connection. Each member is thread safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "batches.hpp"
#include "cache.hpp"
#include "faults.hpp"
#include "files.hpp"
#include "ledger.hpp"
#include "rate_limit.hpp"
#include "skills.hpp"

namespace sim {

struct options {
    std::string listen = "127.0.0.1:9300";
    std::string public_url;  // of results_url; empty: the address we listen on
    std::string tls_cert;
    std::string tls_key;
    std::vector<std::string> api_keys;  // empty: every key is welcome
    std::uint64_t seed = 1;
    bool strict = false;
    bool strict_body = false;
    rate_limits limits;
    std::chrono::milliseconds latency{0};
    std::chrono::milliseconds event_interval{0};
    std::chrono::milliseconds batch_delay{1000};
    std::chrono::milliseconds keep_alive{120'000};
    std::uint64_t cache_tokens_min = 1024;
    std::uint64_t file_bytes_max = 500ULL << 20;
    std::uint64_t ledger_rows_max = 1'000'000;
    std::uint64_t connections_max = 20'000;
};

struct counters {
    std::atomic<std::uint64_t> connections_accepted{0};
    std::atomic<std::uint64_t> connections_open{0};
    std::atomic<std::uint64_t> connections_refused{0};
    std::atomic<std::uint64_t> streams_active{0};
    std::atomic<std::uint64_t> streams_cancelled{0};
    std::atomic<std::uint64_t> strict_violations{0};
};

struct state {
    explicit state(options settings)
        : chosen(std::move(settings)),
          truth(chosen.ledger_rows_max),
          limiter(chosen.limits),
          cache(chosen.cache_tokens_min) {}

    const options chosen;
    std::string public_url;  // set before the first connection
    ledger truth;
    rate_limiter limiter;
    prompt_cache cache;
    armed_faults faults;
    batch_store batches;
    file_store files;
    skill_store skills;
    counters count;
};

}  // namespace sim
