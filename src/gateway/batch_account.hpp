// Results of batches as rows of the ledger. Plain functions of values; any thread.
#pragma once

#include <string_view>

#include "anthropic/batch_text.hpp"
#include "ledger/attempt.hpp"
#include "ledger/row_buffer.hpp"
#include "pricing/pricing.hpp"
#include "resources/batch_rows.hpp"

namespace gateway {

// What is the same in all rows of a batch: when, and whose. Views of the arguments.
ledger::attempt attempt_of_batch(const resources::batch_entry& one, std::string_view request_id,
                                 std::string_view price_table, resources::time_ms now);

// A succeeded result at the batch price. Its request id (resources::result_request_id) is the same whenever the result
// comes, so that it counts once.
void add_result(ledger::row_buffer& to, const resources::batch_entry& one, const anthropic::batch_result& result,
                const pricing::price_table& prices, resources::time_ms now);

}  // namespace gateway
