// Message Batches as bytes: the requests of one that is to be made, the object that tells its state, and the lines of
// its results. Plain functions of bytes: no I/O, no clock; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "anthropic/usage.hpp"
#include "base/error.hpp"

namespace anthropic {

struct batch_item {
    std::string custom_id;    // decoded; empty when there is none: the upstream refuses the batch
    std::string_view params;  // the Messages body, byte for byte; empty when there is none
};

// Walks over the requests of a body that outlives it.
class batch_reader {
public:
    // Errors: invalid_json, duplicate_field (`requests` twice). A body without requests has none: the upstream refuses
    // it.
    static base::result<batch_reader> open(std::string_view body);

    // The next request; nothing at the end. Errors: invalid_json, duplicate_field (`params` or `custom_id` twice).
    base::result<std::optional<batch_item>> next();
    std::uint64_t taken() const { return taken_; }  // requests so far
    std::size_t bytes_read() const { return size_ - left_.size(); }

private:
    explicit batch_reader(std::string_view list) : left_(list), size_(list.size()) {}
    std::string_view left_;  // behind what was read
    std::size_t size_;
    std::uint64_t taken_ = 0;
};

// What a batch object says of itself.
struct batch_state {
    std::string id;
    std::string processing_status;  // in_progress, canceling, ended
    std::string created_at;         // RFC 3339
    std::uint64_t requests = 0;     // the sum of request_counts
};
std::optional<batch_state> read_batch_state(std::string_view object);

struct batch_result {
    std::string custom_id;
    bool succeeded = false;  // else it is errored, canceled or expired, and not billed
    metered seen;            // of a succeeded one
    std::string kind;        // succeeded, errored, canceled, expired
    std::string_view body;   // in the line, byte for byte: the message, or the error's envelope; else empty
};
// Nothing when the line is no result.
std::optional<batch_result> read_batch_result(std::string_view line);

}  // namespace anthropic
