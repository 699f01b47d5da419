// The custom ids of a batch: one digest of them all, by which a batch is known again whose id was lost, and the name of
// each result in the ledger. Plain functions of values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace resources {

// Does not depend on the order, because results come in any.
class custom_id_digest {
public:
    void add(std::string_view custom_id);
    std::string text() const;  // hex, with the number of ids

private:
    std::array<std::uint8_t, 32> sum_{};
    std::uint64_t count_ = 0;
};

// The request id of a result's row: that of the request which made the batch, and the custom id behind a colon; a long
// one as its hash behind a tilde. The same for the same result for ever, and never the same for two of a batch.
std::string result_request_id(std::string_view batch_id, std::string_view custom_id);

}  // namespace resources
