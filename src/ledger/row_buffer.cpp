#include "ledger/row_buffer.hpp"

#include "ledger/record.hpp"

namespace ledger {

void row_buffer::add(const attempt& done) {
    const attempt_plan as = plan(done, 0);
    auto& record = records_.emplace_back(as.bytes);
    write_record(record.data(), as, done, done.started_ms, done.number, {});
    rows_.push_back({.bytes = record.data(), .replica = replica_});
}

}  // namespace ledger
