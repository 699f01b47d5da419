// The batch lane: jobs that may wait go upstream together, as Message Batches at half the price.
//
// Every process that carries jobs out has one. Its rounds, once a second:
//
//  1. Gather. When enough jobs wait, or one for long enough (CLAUDE_PROXY_BATCH_*), they are claimed and admitted as
//     they would be for a request: the owner as he is now, the model, and the bound at the batch price on the budgets.
//  2. Enter. The batch's row, its jobs and their money are committed; only then it is sent, with one call. Rate limits
//     count a job when it is submitted, not again here.
//  3. Look. A batch that has ended is taken apart: what was billed goes into the ledger first, each result once, then
//     the job ends. What is repeated after a crash finds its work done.
//
// Never twice: whether a batch exists is doubtful when the process died, or the answer got lost, after 2. Nothing in it
// is sent again before that is known. A look lists what upstream made since, and a batch that has as many requests,
// that nobody here is known to have made, and the results of which have the custom ids of ours is the one. While one
// that could be it is under way, nobody knows; when there is none, a while (CLAUDE_PROXY_BATCH_LEASE, _DOUBT) after the
// call must have ended, it was never made, and its jobs are queued again.
//
// A job in a batch that is cancelled ends at once. Upstream cannot take one request out of a batch: what it costs is
// still accounted for, its answer is dropped. When no job of a batch is left the batch is cancelled upstream.
//
// Thread rule: the reactor's thread from `start` on, the tasks end with the reactor (abandon_tasks); `stop` afterwards.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "database/options.hpp"
#include "gateway/batch_calls.hpp"
#include "gateway/exchange.hpp"
#include "jobs/options.hpp"
#include "jobs/store.hpp"
#include "resources/options.hpp"
#include "worker/batch_lane_rows.hpp"
#include "worker/lane_book.hpp"

namespace worker {

class batch_lane {
public:
    struct parts {
        net::reactor& reactor;
        gateway::service& gateway;
        jobs::store& store;
        const jobs::options& rules;
        const resources::options& looks;
        const database::options& database;
        std::string replica;  // of the journal, whose leases the holds come from
        jobs::time_ms (*now)();
    };
    struct counted {
        std::atomic<std::uint64_t> made{0}, doubtful{0}, refused{0};                    // calls
        std::atomic<std::uint64_t> found_again{0}, never_made{0}, settled{0}, gone{0};  // batches
        std::atomic<std::uint64_t> succeeded{0}, errored{0}, undone{0}, dropped{0};     // requests
    };

    explicit batch_lane(parts with);
    batch_lane(const batch_lane&) = delete;
    batch_lane& operator=(const batch_lane&) = delete;

    void start();
    // Any thread: what is claimed and in no batch yet is handed back. Until `is_gathering` says no a batch may be on
    // its way to the upstream.
    void stop_gathering() { gathers_ = false; }
    bool is_gathering() const { return gathering_; }
    void stop();
    const counted& counts() const { return counts_; }

private:
    struct candidate {  // a job that may go
        jobs::claimed job;
        lane_rows::entering_job entering;
        governance::job_claim money;
        std::string params;
    };
    using claims = std::vector<jobs::store::running_job>;
    // By team, key and subject.
    using owners = std::map<std::tuple<std::string, std::string, std::string>,
                            base::result<std::shared_ptr<const governance::caller>>>;
    // batch_lane.cpp: from the queue to upstream
    net::task<void> run();
    net::task<void> gather();
    net::task<void> keep_leases(std::weak_ptr<const claims> of);
    net::task<base::result<candidate>> admit(net::timer& clock, jobs::claimed job, owners& known,
                                             std::int64_t wait_until_ms, jobs::time_ms now);
    net::task<base::result<void>> hold(net::timer& clock, governance::budget_claim& claim, std::int64_t wait_until_ms,
                                       jobs::time_ms now);
    // `unsent` begins with `those`; they leave it when they are in the batch.
    net::task<void> make(std::string headers, std::vector<candidate> those, claims& unsent, jobs::time_ms now);
    net::task<bool> conclude(net::timer& clock, const resources::batch_entry& batch,
                             const base::result<gateway::fetched>& answer);
    void doubt(const std::string& id);
    // batch_lane_looks.cpp: from upstream to the jobs
    net::task<void> look_at(resources::batch_entry one);
    net::task<bool> look_for(net::timer& clock, const resources::batch_entry& one);
    net::task<bool> look_after(net::timer& clock, const resources::batch_entry& one, std::string& status);
    net::task<bool> fan_out(net::timer& clock, const resources::batch_entry& one, const std::string& head);
    net::task<bool> hand_out(net::timer& clock, const resources::batch_entry& one,
                             std::vector<lane_rows::result_line> lines);
    // Every job that still waits for the batch ends as `how`, and the batch with it. False: not all of it was done.
    net::task<bool> dissolve(net::timer& clock, const resources::batch_entry& one, jobs::ending how,
                             resources::batch_phase as);
    net::task<bool> finish_all(net::timer& clock, std::vector<jobs::ending> endings);
    void log(telemetry::level how, std::string_view event, const resources::batch_entry& about, std::string what);

    const parts with_;
    const gateway::batch_calls calls_;
    counted counts_;
    std::unique_ptr<lane_book> book_;
    std::atomic<bool> gathers_ = true;
    std::atomic<bool> gathering_ = false;
    std::uint32_t looking_ = 0;
};

}  // namespace worker
