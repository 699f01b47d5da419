// Attempts on their way to the database without a journal: for what can be made again after a crash, such as the
// results of a batch. Thread rule: one thread at a time.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <vector>

#include "ledger/attempt.hpp"
#include "ledger/row_writer.hpp"

namespace ledger {

class row_buffer {
public:
    explicit row_buffer(std::string replica) : replica_(std::move(replica)) {}
    row_buffer(const row_buffer&) = delete;
    row_buffer& operator=(const row_buffer&) = delete;

    void add(const attempt& done);
    std::size_t size() const { return rows_.size(); }
    std::span<const journal_row> rows() const { return rows_; }  // for row_writer::write_within

private:
    const std::string replica_;
    std::deque<std::vector<std::byte>> records_;
    std::vector<journal_row> rows_;
};

}  // namespace ledger
