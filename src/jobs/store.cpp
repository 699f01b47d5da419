#include "jobs/store.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <utility>

#include "database/workers.hpp"
#include "governance/job_holds.hpp"
#include "jobs/committer.hpp"
#include "jobs/group.hpp"
#include "jobs/reads.hpp"

namespace jobs {
namespace {

using std::chrono::steady_clock;

constexpr std::uint32_t reads_max = 16'384;  // waiting for a connection
constexpr std::size_t operation_bytes = 256;

time_ms system_now() {
    return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A statement gives up in time for its operations' patience.
std::unique_ptr<database::connection> for_writes(database::options of, const options& rules) {
    of.statement_timeout = std::min(of.statement_timeout, rules.write_patience);
    of.connect_timeout = std::min(of.connect_timeout, rules.write_patience);
    return database::open(of);
}

database::options for_reads(database::options of, const options& rules) {
    of.threads = rules.threads;
    of.queue_max = reads_max;
    return of;
}

}  // namespace

struct store::state {
    options rules;
    time_ms (*now)();
    // How many open jobs a team has: counted in the database now and then, and here in between.
    std::mutex mutex;
    using counts = std::map<std::string, std::uint64_t, std::less<>>;
    counts open;
    counts submitted;  // and committed, since the count was begun
    counts asked;      // and not answered yet
    steady_clock::time_point counted_at{};
    bool counting = false;
    steady_clock::time_point holds_checked_at{};
    std::atomic<bool> holds_suspect = false;

    database::workers readers;
    committer writer;  // last: it ends first, and its callers may still read

    state(std::unique_ptr<database::connection> writes, const database::options& reads, const options& with,
          std::string replica, time_ms (*clock)())
        : rules(with),
          now(clock != nullptr ? clock : system_now),
          readers(for_reads(reads, with)),
          writer(std::move(writes), with, std::move(replica)) {
        writer.hooks.now = now;
    }

    // Calls `done(outcome, value)` with what `look` finds; an empty optional is not_found.
    template <class Value, class Look>
    void read(std::function<void(outcome, Value)> done, Look look);
    bool has_room(const std::string& team);
    void answered(const std::string& team, const store::submitted& answer);
    void count_if_due();
    void check_holds_if_due();
};

template <class Value, class Look>
void store::state::read(std::function<void(outcome, Value)> done, Look look) {
    // Shared: `done` is called when the work is refused, too.
    const auto told = std::make_shared<std::function<void(outcome, Value)>>(std::move(done));
    const bool accepted = readers.submit([told, look = std::move(look)](database::connection& on) {
        std::optional<Value> found;
        auto how = outcome::not_found;
        try {
            found = look(on);
            if (found) how = outcome::done;
        } catch (const database::failure&) {
            how = outcome::unavailable;
        }
        (*told)(how, found ? std::move(*found) : Value());
    });
    if (!accepted) (*told)(outcome::unavailable, Value());
}

bool store::state::has_room(const std::string& team) {
    count_if_due();
    const std::lock_guard lock(mutex);
    const auto count = [&](const auto& of) {
        const auto found = of.find(team);
        return found == of.end() ? 0 : found->second;
    };
    if (count(open) + count(submitted) + count(asked) >= rules.open_per_team_max) return false;
    ++asked[team];
    return true;
}

void store::state::answered(const std::string& team, const store::submitted& answer) {
    const std::lock_guard lock(mutex);
    if (--asked[team] == 0) asked.erase(team);
    if (answer.how == outcome::done && answer.fresh) ++submitted[team];
}

void store::state::count_if_due() {
    {
        const std::lock_guard lock(mutex);
        if (counting || steady_clock::now() < counted_at + rules.count_every) return;
        counting = true;
    }
    const bool accepted = readers.submit([this](database::connection& on) {
        counts before, counted;
        {
            const std::lock_guard lock(mutex);
            before = submitted;
        }
        bool is_known = true;
        try {
            counted = reads::open_by_team(on);
        } catch (const database::failure&) {
            is_known = false;
        }
        const std::lock_guard lock(mutex);
        counting = false;
        counted_at = steady_clock::now();
        if (!is_known) return;
        open = std::move(counted);
        // Those that were committed while it was counted may be counted twice, until the next time.
        for (const auto& [team, count] : before) {
            if ((submitted[team] -= count) == 0) submitted.erase(team);
        }
    });
    if (!accepted) {
        const std::lock_guard lock(mutex);
        counting = false;
    }
}

void store::state::check_holds_if_due() {
    {
        const std::lock_guard lock(mutex);
        if (steady_clock::now() < holds_checked_at + rules.holds_check_every) return;
        holds_checked_at = steady_clock::now();
    }
    readers.submit([this](database::connection& on) {
        try {
            if (!are_holds_right(on)) holds_suspect = true;
        } catch (const database::failure&) {
            // The next sweep looks again.
        }
    });
}

store::store(const database::options& where, const options& rules, std::string replica, time_ms (*now)())
    : store(for_writes(where, rules), where, rules, std::move(replica), now) {}
store::store(std::unique_ptr<database::connection> writes, const database::options& reads, const options& rules,
             std::string replica, time_ms (*now)())
    : state_(std::make_unique<state>(std::move(writes), reads, rules, std::move(replica), now)) {}
store::~store() = default;

void store::on_change(std::function<void(const change&)> listener) {
    state_->writer.hooks.changed = std::move(listener);
}
void store::hold_claims_on(const governance::budget_registry& budgets) { state_->writer.hooks.budgets = &budgets; }
void store::on_database(std::function<void(bool, const std::string&)> listener) {
    state_->writer.hooks.database = std::move(listener);
}

// --- callers ---

void store::submit(submission what, std::function<void(submitted)> done, std::function<void(bool)> holds_fate) {
    if (!state_->has_room(what.who.team_id)) {
        done({.how = outcome::too_many, .id = {}, .fresh = true});
        if (holds_fate) holds_fate(false);
        return;
    }
    const auto bytes = operation_bytes + what.request.size() + what.metadata.size() + what.headers.size();
    auto counted = [state = state_.get(), team = what.who.team_id, done = std::move(done)](submitted answer) {
        state->answered(team, answer);
        done(std::move(answer));
    };
    state_->writer.ask(
        {.what =
             submit_operation{.what = std::move(what), .done = std::move(counted), .holds_fate = std::move(holds_fate)},
         .bytes = bytes});
}

void store::cancel(std::string id, std::string team_id, std::function<void(outcome)> done) {
    state_->writer.ask({.what = change_operation{.kind = change_operation::what::cancel,
                                                 .id = std::move(id),
                                                 .team_id = std::move(team_id),
                                                 .done = std::move(done)},
                        .bytes = operation_bytes});
}

void store::remove(std::string id, std::string team_id, std::function<void(outcome)> done) {
    state_->writer.ask({.what = change_operation{.kind = change_operation::what::remove,
                                                 .id = std::move(id),
                                                 .team_id = std::move(team_id),
                                                 .done = std::move(done)},
                        .bytes = operation_bytes});
}

void store::find(std::string id, std::string team_id, std::function<void(outcome, summary)> done) {
    state_->read<summary>(std::move(done), [id = std::move(id), team = std::move(team_id)](database::connection& on) {
        return reads::find(on, id, team);
    });
}

void store::list(filter which, std::function<void(outcome, std::vector<summary>)> done) {
    state_->read<std::vector<summary>>(std::move(done), [which = std::move(which)](database::connection& on) {
        return std::optional(reads::list(on, which));
    });
}

void store::result(std::string id, std::string team_id, std::function<void(outcome, summary, std::string)> done) {
    state_->read<std::pair<summary, std::string>>(
        [done = std::move(done)](outcome how, std::pair<summary, std::string> found) {
            done(how, std::move(found.first), std::move(found.second));
        },
        [id = std::move(id), team = std::move(team_id)](database::connection& on) {
            return reads::result(on, id, team);
        });
}

void store::read_logs(std::vector<log_wish> wishes, std::size_t bytes_max,
                      std::function<void(outcome, std::vector<log_news>)> done) {
    state_->read<std::vector<log_news>>(std::move(done),
                                        [wishes = std::move(wishes), bytes_max](database::connection& on) {
                                            return std::optional(reads::logs(on, wishes, bytes_max));
                                        });
}

void store::history(std::string id, std::function<void(outcome, std::vector<attempt_entry>)> done) {
    state_->read<std::vector<attempt_entry>>(std::move(done), [id = std::move(id)](database::connection& on) {
        return std::optional(reads::history(on, id));
    });
}

// --- workers ---

void store::claim(std::size_t count, lane where, std::function<void(outcome, std::vector<claimed>)> done,
                  std::uint64_t bytes_max) {
    state_->writer.ask(
        {.what = claim_operation{.count = count, .where = where, .bytes_max = bytes_max, .done = std::move(done)},
         .bytes = operation_bytes});
}

void store::append(std::string id, std::uint32_t attempt, log_piece piece, std::function<void(outcome)> done) {
    const auto bytes = operation_bytes + piece.bytes.size();
    state_->writer.ask({.what = append_operation{.id = std::move(id),
                                                 .attempt = attempt,
                                                 .piece = std::make_shared<const log_piece>(std::move(piece)),
                                                 .done = std::move(done)},
                        .bytes = bytes});
}

void store::finish(ending how, std::function<void(outcome)> done) {
    const auto bytes = operation_bytes + how.result.size() + how.last.bytes.size() + how.error.size();
    state_->writer.ask({.what = finish_operation{.how = std::move(how), .done = std::move(done)}, .bytes = bytes});
}

void store::heartbeat(std::vector<running_job> held, std::function<void(outcome, heartbeat_news)> done) {
    const auto bytes = operation_bytes * (1 + held.size());
    state_->writer.ask({.what = heartbeat_operation{.held = std::move(held), .done = std::move(done)}, .bytes = bytes});
}

void store::look_for_cancels(std::vector<running_job> held,
                             std::function<void(outcome, std::vector<running_job>)> done) {
    state_->read<std::vector<running_job>>(std::move(done), [held = std::move(held)](database::connection& on) {
        return std::optional(reads::to_cancel(on, held));
    });
}

// --- the sweeper and administrators ---

void store::sweep(std::function<void(outcome, swept)> done) {
    state_->check_holds_if_due();
    state_->writer.ask(
        {.what = sweep_operation{.done = std::move(done), .check_holds = state_->holds_suspect.exchange(false)},
         .bytes = operation_bytes});
}

void store::announced(std::vector<std::string> ids, std::function<void(outcome)> done) {
    const auto bytes = operation_bytes * (1 + ids.size());
    state_->writer.ask({.what = announced_operation{.ids = std::move(ids), .done = std::move(done)}, .bytes = bytes});
}

void store::redrive(std::string id, std::function<void(outcome)> done) {
    state_->writer.ask(
        {.what =
             change_operation{
                 .kind = change_operation::what::redrive, .id = std::move(id), .team_id = {}, .done = std::move(done)},
         .bytes = operation_bytes});
}

void store::count(std::function<void(outcome, counts_by_status)> done) {
    state_->read<counts_by_status>(std::move(done),
                                   [](database::connection& on) { return std::optional(reads::count(on)); });
}

}  // namespace jobs
