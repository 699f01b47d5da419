// Batches of the lane in the database: which jobs are in one, what is held for them, and their end. Blocking; thread
// rule: the connection's. Every function throws database::failure, and each may be repeated.
//
// A batch and the jobs in it are committed before it is sent upstream. From then on its jobs have no lease that could
// be lost; the batch has, and whoever owns it goes on where the last one stopped (resources/batch_rows.hpp).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "anthropic/batch_text.hpp"
#include "database/connection.hpp"
#include "governance/budget_hold.hpp"
#include "jobs/store.hpp"
#include "ledger/row_writer.hpp"
#include "pricing/pricing.hpp"
#include "resources/batch_rows.hpp"
#include "worker/batch_lane_plan.hpp"

namespace worker::lane_rows {

using jobs::time_ms;
using resources::batch_entry;

// What waits in the lane, looked at only until it is enough.
waiting_jobs waiting(database::connection& on, std::uint32_t enough, time_ms now);

// A request on its way into a batch.
struct entering_job {
    std::string id;
    std::uint32_t attempt = 0;
    jobs::owner who;
    std::string tags, model;
    std::vector<governance::budget_hold> holds;  // set aside in the same transaction
    base::pico_dollars bound = 0;
};
// The batch's row in `creating`, and the jobs that go into it: those whose attempt is current and whose cancel nobody
// asked for. Their places in `those`; none: there is no batch. Repeated it gives the same answer.
std::vector<std::size_t> enter(database::connection& on, const batch_entry& what, std::span<const entering_job> those,
                               std::string_view replica, time_ms now, time_ms owned_until);

// Upstream has made it. False: another replica has given it up meanwhile.
bool open(database::connection& on, std::string_view id, std::string_view upstream_id, time_ms look_at, time_ms now);

// A job of a batch that still runs, as part of it.
struct open_job {
    std::string id;
    std::uint32_t attempt = 0;
    std::uint64_t events = 0;  // in its log
};
// Up to `count_max` of them.
std::vector<open_job> open_jobs(database::connection& on, std::string_view batch_id, std::uint32_t count_max);

// One result of a batch.
struct result_line {
    anthropic::batch_result said;  // its body is in `text`
    std::string text;
};
// Puts what was billed into the ledger, each result once, however often it comes, and gives back what was held for
// these requests. `request_ids`: of the rows. The jobs that still wait for their result are told, in the order of the
// lines; one that has been told already, or was cancelled, has an empty id. Nothing at all: the batch is over.
struct settled {
    bool is_open = false;
    std::vector<open_job> jobs;
    std::uint64_t unknown = 0;  // results of requests that are not in the batch
};
settled settle(database::connection& on, ledger::row_writer& writer, const batch_entry& batch,
               std::span<const result_line> lines, const pricing::price_table& prices, std::string_view replica,
               time_ms owned_until, time_ms now);
// The batch is gone upstream: what its requests cost is not known, and the ledger says so.
void settle_lost(database::connection& on, ledger::row_writer& writer, const batch_entry& batch,
                 const pricing::price_table& prices, std::string_view replica, time_ms now);

// No job waits for it any more: what is still held is given back, and its requests are forgotten. False: a job waits.
bool close(database::connection& on, std::string_view id, resources::batch_phase as, time_ms now);

}  // namespace worker::lane_rows
