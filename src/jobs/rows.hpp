// The table of jobs as rows in memory: reading, locking and writing them in bulk. Thread rule: the connection's.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "database/connection.hpp"
#include "jobs/job.hpp"
#include "jobs/rules.hpp"

namespace jobs {

struct job_row {
    std::string id;
    owner who;
    std::string model, metadata, webhook_url;
    int priority = 0;
    rules::record moving;
    std::vector<hold> holds;
    std::uint64_t events = 0;
    std::string error, usage;
};
summary summary_of(const job_row& row);

// The columns of row_of, of the table `j`. `live`: a running job's events are counted in its log; else `events` is what
// its row says, which is exact for every job that does not run.
std::string_view job_columns(bool live);
job_row row_of(const database::row& row);

// Calls `with(places, parameters)` for chunks of the ids, "$1, $2" and their values. A chunk is filled up with its last
// id to one of a few sizes, so that there are only a few texts of a statement. `from`: the first number.
template <class With>
void in_chunks(std::span<const std::string> ids, const With& with, std::size_t from = 1);

// The SQL for how many bytes a text has.
std::string bytes_of(const database::connection& on, std::string_view column);

// The rows of these ids, locked until the end of the transaction, in the order of their ids. `wait`: for whoever has
// locked one; else it is left out.
enum class locked_by_others : std::uint8_t { wait, skip };
std::vector<job_row> lock_rows(database::connection& in_transaction, std::vector<std::string> ids,
                               locked_by_others then = locked_by_others::wait);

// The last event's id in each log that has one, as pairs.
std::vector<std::pair<std::string, std::uint64_t>> log_ends(database::connection& on, std::span<const std::string> ids);

// Writes what may have changed of rows that are locked.
void write_rows(database::connection& in_transaction, std::span<const job_row* const> rows);

// New jobs; the ids of those that were inserted: the others' id or idempotency key is there already.
std::vector<std::string> insert_rows(database::connection& in_transaction, std::span<const submission* const> what,
                                     std::chrono::milliseconds ageing);

template <class With>
void in_chunks(std::span<const std::string> ids, const With& with, std::size_t from) {
    constexpr std::size_t chunk_max = 256;
    while (!ids.empty()) {
        const auto now = ids.first(std::min(ids.size(), chunk_max));
        ids = ids.subspan(now.size());
        const auto size = std::bit_ceil(now.size());
        std::string places;
        std::vector<database::value> parameters;
        for (std::size_t i = 0; i < size; ++i) {
            places += (i > 0 ? ", $" : "$") + std::to_string(from + i);
            parameters.emplace_back(now[std::min(i, now.size() - 1)]);
        }
        with(places, parameters);
    }
}

}  // namespace jobs
