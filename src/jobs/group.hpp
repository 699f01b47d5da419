// One transaction of the store: operations of many callers, each row locked once, the rules applied in memory, and what
// came of it written in bulk. Thread rule: the committer's.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "database/connection.hpp"
#include "governance/job_holds.hpp"
#include "jobs/operations.hpp"
#include "jobs/options.hpp"
#include "jobs/rows.hpp"
#include "jobs/rules.hpp"

namespace jobs {

// What is held for queued jobs, by budget and period, as the rows say. One statement.
governance::hold_sums holds_of_queued(database::connection& on);
// Whether the leases of the jobs' money say the same. One statement: both sides as of one moment.
bool are_holds_right(database::connection& on);

class group {
public:
    // `budgets`: where claims hold their money; may be null.
    group(database::connection& in_transaction, const options& rules, std::string_view replica, time_ms now,
          const governance::budget_registry* budgets)
        : on_(in_transaction), rules_(rules), replica_(replica), now_(now), budgets_(budgets) {}

    // Each fills in the answers of its operations. Throws database::failure. All but claims and sweeps, in any number.
    void run(std::span<operation* const> operations);
    void claim(claim_operation& one);
    void sweep(sweep_operation& one);

    // Everything that was collected is in the database; commit comes next. `changes` are told after it.
    void write();
    std::vector<change> changes;

private:
    struct working {
        job_row row;
        bool moved = false;
        bool gone = false;
        bool knows_end = false;  // row.events is the end of its log
        std::shared_ptr<log_piece> last{};
    };
    void submit(std::span<operation* const> operations);
    void find_earlier(submit_operation& one);
    void load(std::vector<std::string> ids, locked_by_others then = locked_by_others::wait);
    void load_ends();
    working* find(std::string_view id);
    void append(append_operation& one);
    void finish(finish_operation& one, bool again);
    void heartbeat(heartbeat_operation& one);
    void change_one(change_operation& one, bool again);
    void announced(announced_operation& one);
    bool put(working& job, std::uint32_t attempt, std::shared_ptr<const log_piece> piece);
    void apply(working& job, const rules::effect& also);
    void end(working& job);
    bool was_ended_by(const ending& how);
    void remove(std::span<const std::string> ids);
    std::vector<std::string> choose(std::size_t count, lane where);
    std::vector<std::string> within(std::vector<std::string> chosen, std::uint64_t bytes_max);
    void deliver(claim_operation& to);
    void promote();
    void tell_state(const working& job);

    struct piece_row {
        std::string id;
        std::uint32_t attempt = 0;
        std::shared_ptr<const log_piece> piece;
    };
    struct history_row {
        std::string id{}, worker{}, outcome{}, reason{}, request_id{};
        std::uint32_t attempt = 0;
        time_ms started_at = 0;
        std::optional<time_ms> ended_at{};
    };

    database::connection& on_;
    const options& rules_;
    const std::string replica_;
    const time_ms now_;
    const governance::budget_registry* const budgets_;
    std::map<std::string, working, std::less<>> jobs_;
    governance::hold_moves money_;
    std::vector<piece_row> pieces_;
    std::vector<history_row> history_;
    std::vector<std::pair<std::string, const std::string*>> results_;
    struct webhook_row {
        std::string id, job_id, team_id, url, event, body;
    };
    std::vector<webhook_row> webhooks_;
};

}  // namespace jobs
