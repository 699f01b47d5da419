#include "gateway/batch_account.hpp"

#include "gateway/accounting.hpp"
#include "resources/custom_ids.hpp"

namespace gateway {

using resources::batch_entry;
using resources::time_ms;

ledger::attempt attempt_of_batch(const batch_entry& one, std::string_view request_id, std::string_view price_table,
                                 time_ms now) {
    ledger::attempt row;
    row.request_id = request_id;
    row.started_ms = one.created_at;
    row.finished_ms = now;
    row.team_id = one.team_id;
    row.key_id = one.key_id;
    row.tags = one.tags;
    row.subject = one.subject;
    row.route = "batches";
    row.price_table = price_table;
    row.upstream_request_id = one.upstream_id;
    row.user_agent = one.user_agent;
    return row;
}

void add_result(ledger::row_buffer& to, const batch_entry& one, const anthropic::batch_result& result,
                const pricing::price_table& prices, time_ms now) {
    const std::string request_id = resources::result_request_id(one.id, result.custom_id);
    ledger::attempt row = attempt_of_batch(one, request_id, prices.id(), now);
    const auto& seen = result.seen;
    bill made = bill_of(prices, seen, {.answered = true, .status = 200, .sent = true},
                        {.at_ms = one.created_at, .batch = true}, {}, 0);
    row.model = row.model_asked = seen.model;
    row.status = 200;
    row.result = made.result;
    row.unknown_model = made.unknown_model;
    row.cost = made.cost;
    row.cost_low = made.low;
    row.cost_high = made.high;
    row.message_id = seen.message_id;
    row.stop_reason = seen.stop_reason;
    row.usage = std::move(made.usage);
    to.add(row);
}

}  // namespace gateway
