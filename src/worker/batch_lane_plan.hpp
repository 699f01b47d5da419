// What the batch lane decides: when waiting jobs become a batch, which of them may be in the same one, and what a
// result means for its job. Plain functions of values: no I/O, no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jobs/options.hpp"
#include "jobs/store.hpp"

namespace worker {

struct waiting_jobs {
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;  // of their requests
    jobs::time_ms since = 0;  // the longest waiting one has waited since then
};
// Enough of them, enough bytes, or one that has waited long enough.
bool is_batch_due(const jobs::options& rules, const waiting_jobs& of, jobs::time_ms now);

// The name of a job's request in a batch: its id and the attempt, within the letters and the length that upstream
// allows. Never the same for two attempts.
std::string custom_id_of(std::string_view job_id, std::uint32_t attempt);
std::optional<std::pair<std::string, std::uint32_t>> read_custom_id(std::string_view custom_id);

// The lines of headers that a batch is made with, from the stored headers of a job. Jobs whose lines differ cannot be
// in the same batch.
std::string batch_headers(std::string_view stored);

// What became of a job's request.
struct request_outcome {
    std::string_view kind;  // succeeded, errored, canceled, expired; empty: there is no result of it
    std::string_view body;  // the message, or the envelope of the error
};
struct job_facts {
    std::string id;
    std::uint32_t attempt = 0;
    std::uint64_t events = 0;  // in its log
    std::string request_id;    // the ledger's
};
// | the request                                | the job                                                  |
// |---|---|
// | succeeded                                  | succeeded; its log gets the events of a stream           |
// | errored, and the request is at fault       | failed                                                   |
// | errored otherwise                          | as an attempt of its own (verdict.hpp), again in a batch |
// | canceled, expired, no result               | goes on in realtime, or fails (CLAUDE_PROXY_BATCH_EXPIRED) |
jobs::ending ending_of(const job_facts& job, const request_outcome& how, const jobs::options& rules, jobs::time_ms now,
                       double jitter);

}  // namespace worker
