// The truth ledger: every request this simulator was asked and every token it billed. A test compares a gateway's own
// accounts with it after any disaster. Thread safe; bounded to the newest rows, while the totals keep everything.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

#include "text.hpp"

namespace sim {

struct token_usage {
    std::uint64_t input = 0;
    std::uint64_t cache_write_5m = 0;
    std::uint64_t cache_write_1h = 0;
    std::uint64_t cache_read = 0;
    std::uint64_t output = 0;
    std::uint64_t thinking = 0;  // part of output

    std::uint64_t cache_write() const { return cache_write_5m + cache_write_1h; }
};

struct ledger_row {
    std::uint64_t seq = 0;
    wall_clock::time_point started_at;
    std::string request_id;
    std::string method;
    std::string path;
    std::string key_suffix;
    std::string model;
    std::string message_id;
    std::string version;      // anthropic-version as received
    std::string beta;         // anthropic-beta as received, several headers joined with ", "
    std::string retry_count;  // x-stainless-retry-count
    std::string user_agent;
    std::string faults;
    std::string batch_id;   // on the rows of batch items
    std::string custom_id;  // likewise
    std::string service_tier;
    std::string inference_geo;
    std::uint64_t request_bytes = 0;
    std::uint64_t response_bytes = 0;
    std::uint64_t output_tokens_sent = 0;
    token_usage billed;
    int status = 0;  // 0: no head was sent
    bool stream = false;
    bool complete = false;
    bool client_left = false;
};

class ledger {
public:
    explicit ledger(std::size_t rows_max) : rows_max_(rows_max) {}

    // Gives the row its number and keeps a copy.
    void open(ledger_row& row);
    // Replaces the kept copy. A row that was cleared or has become too old is forgotten.
    void save(const ledger_row& row);
    void clear();

    // {"requests":[…],"totals":{…}}: rows behind `since`, oldest first, `limit` at most. Totals cover everything.
    std::string to_json(std::uint64_t since, std::size_t limit) const;

private:
    struct sums {
        std::uint64_t requests = 0;
        std::uint64_t completed = 0;
        std::uint64_t departed = 0;
        token_usage billed;
        void add(const ledger_row& row);
    };

    mutable std::mutex mutex_;
    std::size_t rows_max_;
    std::uint64_t next_ = 1;
    std::deque<ledger_row> rows_;
    sums forgotten_;  // of rows that fell off the front
};

}  // namespace sim
