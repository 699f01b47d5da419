// Callers' batches, for whoever must not block: batch_rows.hpp on a thread with a connection of its own.
//
// A caller's batch is accounted for whether or not anybody fetches its results. What its requests may cost at most is
// held, and its row committed, before it is sent upstream (`create`); a poller (gateway/batch_poller.hpp) puts each
// result into the ledger once and gives the rest back. Where the process dies, or the answer is lost, in between, the
// row is `creating`, and a poller finds out whether the batch exists.
//
// Changes are made in the order in which they were asked for; while the database is away they wait and are tried again.
// Questions fail at once. `done` is called once, on the thread of the book, must be short and must not call back.
// Thread rule: construction and destruction by one thread; the rest by any, without blocking.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "database/connection.hpp"
#include "governance/job_holds.hpp"
#include "ledger/row_buffer.hpp"
#include "resources/batch_rows.hpp"
#include "resources/options.hpp"

namespace resources {

class batch_book {
public:
    // `replica`: of the journal, whose leases the holds come from.
    batch_book(std::unique_ptr<database::connection> on, const options& settings, std::string replica, time_ms (*now)(),
               std::function<void(const std::string& why)> trouble);
    ~batch_book();  // tries once what is left
    batch_book(const batch_book&) = delete;
    batch_book& operator=(const batch_book&) = delete;

    const std::string& replica() const;
    const options& settings() const;

    // Sets aside what `held` holds on hard budgets. `done`: it is committed, and the batch may be sent. The book makes
    // `how` entered before; who does not wait any more makes it given_up, and nothing is left behind: the book takes
    // the row back, unless it was entered already, then whoever gave up calls `failed`.
    enum class entering : std::uint8_t { waiting, entered, given_up };
    void create(batch_entry what, governance::job_claim held, std::shared_ptr<std::atomic<entering>> how,
                std::function<void()> done);
    void opened(std::string id, std::string upstream_id, std::function<void()> done);
    void failed(std::string id);
    void doubtful(std::string id);  // a poller looks after options::batch_doubt

    // Nothing inside: there is no such batch of a caller. Nothing at all: the database is away.
    using found_batch = std::optional<std::optional<batch_entry>>;
    void find(std::string upstream_id, std::function<void(found_batch)> done);
    void hurry(std::string upstream_id);

    // For pollers. Nothing: the database is away.
    void take_due(std::uint32_t count_max, std::function<void(std::optional<std::vector<batch_entry>>)> done);
    void unknown_of(std::vector<std::string> upstream_ids,
                    std::function<void(std::optional<std::vector<std::string>>)> done);
    void looked(std::string id, std::string upstream_status, time_ms next_look_at);
    void settle(std::string id, std::shared_ptr<const ledger::row_buffer> results, std::function<void(bool)> done);
    void finish(std::string id, std::function<void(bool)> done);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace resources
