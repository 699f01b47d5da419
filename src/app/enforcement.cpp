#include "app/enforcement.hpp"

#include <fmt/format.h>

#include "app/open_database.hpp"

namespace app {
namespace {

using telemetry::level;

constexpr std::chrono::seconds flush_max{10};  // at the end; what is left is found by the next start

}  // namespace

enforcement::enforcement(const config::settings& settings, telemetry::hub& hub)
    : settings_(settings),
      hub_(hub),
      journal_(settings.ledger),
      budgets_(settings.governance.budget_waiters_max, [this] { keeper_->wake(); }) {
    if (!settings.redis.url.empty()) {
        auto where = redis::parse_address(settings.redis.url.reveal());
        if (!where) throw std::runtime_error("REDIS_URL: " + where.error().detail);
        redis_ = std::make_unique<redis::shared_limits>(
            settings.redis, *where, [&hub](bool available, std::string_view why) {
                if (available) {
                    hub.log(level::info, "redis_available", {{"limits", "shared by all replicas"}});
                } else {
                    hub.log(level::warn, "redis_unavailable",
                            {{"what", std::string(why)}, {"limits", "in full on each replica until it is back"}});
                }
            });
    }
    governance::budget_keeper_hooks hooks;
    hooks.now = clock_ms;
    hooks.alert = [&hub](const governance::budget_alert& alert) {
        hub.log(level::warn, "budget_alert",
                {{"budget", alert.budget_id},
                 {"scope", std::string(governance::name_of(alert.where))},
                 {"scope_id", alert.scope_id},
                 {"period", std::string(governance::name_of(alert.every))},
                 {"percent", fmt::to_string(alert.percent)},
                 {"spent", base::dollars_text(alert.spent)},
                 {"limit", base::dollars_text(alert.limit)}});
    };
    hooks.database = [&hub](bool reachable, const std::string& why) {
        if (reachable) {
            hub.log(level::info, "budgets_recovered");
        } else {
            hub.log(level::error, "budgets_unreachable",
                    {{"what", why}, {"effect", "leases are used up, then requests under a hard budget wait"}});
        }
    };
    keeper_ = std::make_unique<governance::budget_keeper>(database::open(settings.database), budgets_,
                                                          journal_.replica(), settings.governance, hooks);
}

enforcement::~enforcement() = default;

ledger::writer_hooks enforcement::hooks() {
    const auto lease = settings_.governance.budget_lease.count();
    ledger::writer_hooks made;
    made.in_transaction = [this, lease](database::connection& on, std::span<const ledger::account_sum> sums) {
        std::vector<governance::consumption> consumed;
        consumed.reserve(sums.size());
        for (const auto& sum : sums) consumed.push_back({sum.account, sum.amount});
        governance::consume_leases(on, budgets_, journal_.replica(), consumed, clock_ms() + lease);
    };
    made.written = [this](std::span<const ledger::account_sum> sums) {
        for (const auto& sum : sums) {
            if (auto* const account = budgets_.find(sum.account)) account->acknowledged(sum.amount);
        }
    };
    made.adopted = [this](std::string_view replica, database::connection& on) {
        governance::drop_leases(on, replica);
        hub_.log(level::info, "journal_adopted", {{"replica", std::string(replica)}});
    };
    made.outage_began = [this](const std::string& why) {
        hub_.log(level::error, "ledger_waiting",
                 {{"what", why}, {"effect", "rows wait in the journal until the database is back"}});
    };
    made.outage_ended = [this](std::chrono::milliseconds lasted) {
        hub_.log(level::info, "ledger_recovered", {{"after_ms", fmt::to_string(lasted.count())}});
    };
    made.trouble = [this](const std::string& what) { hub_.log(level::error, "ledger_trouble", {{"what", what}}); };
    return made;
}

void enforcement::start() {
    writer_ = std::make_unique<ledger::writer>(journal_, settings_.ledger, database::open(settings_.database), hooks());
    keeper_->start();
}

void enforcement::finish() {
    const auto left = writer_->flush(std::chrono::steady_clock::now() + flush_max);
    if (!left.is_complete()) {
        hub_.log(level::warn, "ledger_left_in_journal",
                 {{"rows", fmt::to_string(left.rows_left)},
                  {"open_attempts", fmt::to_string(left.open_attempts)},
                  {"effect", "the next start on this machine writes them"}});
    }
    writer_.reset();
    keeper_->stop();
}

std::shared_ptr<governance::limiter> enforcement::limiter_for(const governance::limit& what) {
    const std::lock_guard lock(limiters_mutex_);
    auto& found = limiters_[{what.where, what.scope_id, what.model_class}];
    if (found) {
        found->set(what.amounts);
    } else {
        found = std::make_shared<governance::limiter>(what);
        if (redis_) found->share_with(*redis_);
    }
    return found;
}

std::shared_ptr<governance::budget_book> enforcement::book_for(const governance::budget& what) {
    return budgets_.book_for(what);
}

void enforcement::add_metrics(telemetry::hub& hub) {
    const auto number = [](auto value) { return static_cast<double>(value); };
    const auto& counts = writer_->counts();
    hub.add_counter("ledger_rows_total", "Rows written to the ledger.",
                    [&counts, number] { return number(counts.rows_written.load()); });
    hub.add_counter("ledger_rows_rejected_total", "Rows that the database refused: they are in the journal's folder.",
                    [&counts, number] { return number(counts.rows_rejected.load()); });
    hub.add_counter("ledger_rows_adopted_total", "Rows found in the journals of dead processes.",
                    [&counts, number] { return number(counts.rows_adopted.load()); });
    hub.add_counter("ledger_write_failures_total", "Transactions of the ledger that failed and were repeated.",
                    [&counts, number] { return number(counts.failures.load()); });
    hub.add_gauge("ledger_lag_seconds", "Age of the oldest row that is not in the database yet.",
                  [&counts] { return static_cast<double>(counts.lag_ms.load()) / 1000; });
    hub.add_gauge("journal_bytes", "Size of the journal.", [this, number] { return number(journal_.bytes()); });
    hub.add_gauge("open_attempts", "Attempts upstream that the journal holds as open.",
                  [this, number] { return number(journal_.open_attempts()); });
    const auto sum = [this](auto member) {
        return [this, member] {
            double total = 0;
            for (const auto* account : budgets_.accounts()) total += static_cast<double>(account->view().*member);
            return total;
        };
    };
    using view = governance::budget_view;
    constexpr double pico = static_cast<double>(base::pico_per_dollar);
    hub.add_gauge("budget_held_dollars", "Held on budgets for requests under way; 0 when there are none.",
                  [held = sum(&view::held)] { return held() / pico; });
    hub.add_gauge("budget_leased_dollars", "What this replica may spend of hard budgets.",
                  [leased = sum(&view::lease)] { return leased() / pico; });
    hub.add_gauge("budget_requests_waiting", "Requests that wait for a budget.", sum(&view::waiting));
    hub.add_gauge("budget_holds", "Holds on budgets: requests under way times the budgets that apply to them.",
                  sum(&view::holds));
}

}  // namespace app
