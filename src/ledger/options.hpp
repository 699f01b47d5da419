// Settings of the ledger.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ledger {

using std::chrono::milliseconds;

struct options {
    std::string directory = "var/journal";     // CLAUDE_PROXY_JOURNAL_DIR
    std::uint64_t bytes_max = 4ull << 30;      // journal of this process; full: requests are refused (ledger_full)
    std::uint64_t segment_bytes = 4ull << 20;  // one segment file
    std::uint32_t open_attempts_max = 65'536;  // of one lane
    milliseconds write_every{100};             // how often finished rows go to the database
    std::uint32_t batch_rows_max = 2'000;      // rows in one transaction
    milliseconds sync_every{1'000};            // how often the journal is flushed to disk
};

}  // namespace ledger
