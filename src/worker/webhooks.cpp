#include "worker/webhooks.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <limits>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "database/connection.hpp"
#include "governance/webhook_secret.hpp"
#include "jobs/webhook_deliveries.hpp"
#include "worker/webhook_book.hpp"
#include "worker/webhook_sender.hpp"
#include "worker/webhook_signature.hpp"

namespace worker {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds ask_again{500};       // after the database has failed
constexpr milliseconds look_again{50};       // after a look, when somebody wakes
constexpr milliseconds sweep_every{10'000};  // for what has waited too long, and for the count of what waits
constexpr milliseconds postpone{5'000};  // a destination that the book refuses, and that the claim could not exclude

constexpr jobs::time_ms never = std::numeric_limits<jobs::time_ms>::max();

jobs::time_ms now_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}
std::int64_t steady_ms() { return std::chrono::duration_cast<milliseconds>(clock::now().time_since_epoch()).count(); }

struct ended {
    std::uint64_t number;
    webhook_answer answer;
};

}  // namespace

struct webhooks::state {
    const jobs::webhook_options options;
    const governance::key_hasher& hasher;
    const std::string replica;
    const webhook_reports tell;
    webhook_counts counts;
    const std::unique_ptr<database::connection> on;

    std::mutex mutex;  // guards what follows, up to the thread's own
    std::condition_variable changed;
    std::vector<ended> answers;
    bool woken = false;
    bool stopping = false;

    // Of the thread.
    webhook_book book;
    std::map<std::uint64_t, jobs::claimed_delivery> under_way;
    std::uint64_t numbers = 0;
    std::vector<jobs::delivery_mark> unmarked;  // bounded: nothing new is taken while there are any
    bool may_have_more = false;                 // the last look found some
    clock::time_point last_look = clock::time_point::min();
    jobs::time_ms due_next = never;  // the soonest of our own tries again: no need to poll for it
    bool in_outage = false;
    clock::time_point next_sweep = clock::now();
    std::mt19937_64 chance{std::random_device{}()};

    std::unique_ptr<webhook_sender> sender;  // null once this is about to end
    std::thread thread;

    state(const database::options& where, const jobs::webhook_options& settings, const governance::key_hasher& secrets,
          std::string name, webhook_reports listening)
        : options(settings),
          hasher(secrets),
          replica(std::move(name)),
          tell(std::move(listening)),
          on(database::open(where)),
          book(settings) {}

    void report(webhook_report what) const {
        if (tell.on_report) tell.on_report(what);
    }

    // --- from an answer to its mark ---

    void take(const jobs::claimed_delivery& sent, const webhook_answer& answer) {
        const std::uint32_t tries = sent.tries + 1;
        const double luck = std::uniform_real_distribution<double>(0, 1)(chance);
        const next_try next = decide(options, answer, tries, luck);
        const auto how = is_in_trouble(answer) ? webhook_book::outcome::trouble : webhook_book::outcome::well;
        const auto change = book.end(sent.to, how, steady_ms());
        const jobs::time_ms next_at = now_ms() + next.wait.count();
        if (next.state == jobs::delivery_state::waiting) due_next = std::min(due_next, next_at);
        unmarked.push_back({.id = sent.id,
                            .claimed_until = sent.claimed_until,
                            .state = next.state,
                            .next_at = next_at,
                            .status = answer.status,
                            .error = answer.error});
        using enum webhook_report::what;
        webhook_report told{.event = delivered,
                            .id = sent.id,
                            .job_id = sent.job_id,
                            .team_id = sent.to.team_id,
                            .endpoint = sent.to.endpoint,
                            .tries = tries,
                            .status = answer.status,
                            .error = answer.error};
        if (next.state == jobs::delivery_state::delivered) {
            ++counts.delivered;
        } else {
            ++counts.failed;
            told.event = failed;
        }
        if (next.state == jobs::delivery_state::given_up) {
            ++counts.given_up;
            told.event = given_up;
        }
        report(told);
        if (change == webhook_book::change::none) return;
        told.event = change == webhook_book::change::opened ? breaker_opened : breaker_closed;
        report(told);
    }

    void take_answers() {
        std::vector<ended> taken;
        {
            const std::lock_guard lock(mutex);
            taken.swap(answers);
        }
        for (const auto& [number, answer] : taken) {
            const auto found = under_way.find(number);
            if (found == under_way.end()) continue;
            take(found->second, answer);
            under_way.erase(found);
        }
    }

    // --- from the database to the sender ---

    void begin(jobs::claimed_delivery due, const governance::webhook_secrets& secrets) {
        const std::int64_t at_seconds = now_ms() / 1'000;
        const std::array in_force = {secrets.current, secrets.previous};
        webhook_request request{
            .number = ++numbers,
            .url = due.url,
            .headers = {"content-type: application/json", "user-agent: claude-proxy",
                        "expect:", "webhook-id: " + due.id, fmt::format("webhook-timestamp: {}", at_seconds),
                        "webhook-signature: " + webhook_signature(in_force, due.id, at_seconds, due.body)},
            .body = std::move(due.body)};
        due.body.clear();
        under_way.emplace(numbers, std::move(due));
        sender->send(std::move(request));
    }

    // Takes what is due, as much as may be sent at once.
    void claim() {
        const std::size_t room = options.concurrency - book.under_way();
        may_have_more = false;
        if (room == 0) return;
        const jobs::time_ms now = now_ms();
        if (due_next <= now) due_next = never;  // what this does not find, the poll will
        const auto not_to = book.closed_to(steady_ms());
        const jobs::time_ms until = now + options.total_timeout.count() + options.claim_margin.count();
        const jobs::claim_bounds bounds{.count = room, .per_destination = options.endpoint_concurrency};
        auto due = jobs::claim_deliveries(*on, replica, bounds, not_to, now, until);
        may_have_more = !due.empty();
        std::map<std::string, governance::webhook_secrets> secrets;
        for (auto& each : due) {
            // The claim may bring more for one destination than may be under way: the rest stays due.
            if (!book.begin(each.to, steady_ms())) {
                const bool excluded_next_time = not_to.size() < jobs::excluded_max;
                unmarked.push_back({.id = each.id,
                                    .claimed_until = each.claimed_until,
                                    .tried = false,
                                    .next_at = excluded_next_time ? each.next_at : now + postpone.count()});
                continue;
            }
            auto known = secrets.find(each.to.team_id);
            if (known == secrets.end()) {
                known = secrets.emplace(each.to.team_id, secrets_of(each, now)).first;
            }
            begin(std::move(each), known->second);
        }
    }

    // A database that fails here leaves the rest of the claim to its end.
    governance::webhook_secrets secrets_of(const jobs::claimed_delivery& due, jobs::time_ms now) {
        try {
            return governance::webhook_secrets_of(*on, hasher, due.to.team_id, now);
        } catch (const database::failure&) {
            book.end(due.to, webhook_book::outcome::unknown, steady_ms());
            throw;
        }
    }

    void mark() {
        if (unmarked.empty()) return;
        jobs::mark_deliveries(*on, replica, unmarked, now_ms());
        unmarked.clear();
    }

    void sweep() {
        if (clock::now() < next_sweep) return;
        next_sweep = clock::now() + sweep_every;
        book.forget(steady_ms());
        const jobs::time_ms now = now_ms();
        counts.given_up += jobs::give_up_deliveries(*on, now - options.give_up_after.count(), now);
        counts.waiting = jobs::count_waiting_deliveries(*on);
    }

    // One round of work with the database. False: it is in trouble.
    bool work(bool may_claim) {
        try {
            mark();
            if (may_claim) {
                sweep();
                claim();
                mark();  // what the claim brought too much of
            }
        } catch (const database::failure& problem) {
            if (!in_outage && problem.kind != database::failure_kind::busy) {
                in_outage = true;
                if (tell.on_outage) tell.on_outage(problem.what());
            }
            may_have_more = false;
            return false;
        }
        if (in_outage && tell.on_recovery) tell.on_recovery();
        in_outage = false;
        return true;
    }

    // Until there is something to do, or for that long at most; nothing hurries a database that is in trouble. True:
    // this shall end.
    bool wait(milliseconds at_most, bool is_well) {
        std::unique_lock lock(mutex);
        changed.wait_for(lock, at_most, [&] { return stopping || (is_well && (woken || !answers.empty())); });
        // Jobs end in crowds: one look finds all that did in the meantime.
        if (woken && answers.empty()) changed.wait_until(lock, last_look + look_again, [this] { return stopping; });
        woken = false;
        return stopping;
    }

    void run() {
        bool is_well = true;
        for (;;) {
            milliseconds pause = is_well ? options.poll_every : ask_again;
            if (is_well && due_next != never)
                pause = std::clamp(milliseconds(due_next - now_ms()), milliseconds(0), pause);
            if (may_have_more) pause = milliseconds(0);
            if (wait(pause, is_well)) break;
            take_answers();
            last_look = clock::now();
            is_well = work(true);
            show();
        }
        finish();
        show();
    }

    void finish() {
        constexpr int tries_max = 3;  // another transaction may be in the way
        const auto until = clock::now() + options.stop_patience;
        while (!under_way.empty() && clock::now() < until) {
            {
                std::unique_lock lock(mutex);
                changed.wait_until(lock, until, [this] { return !answers.empty(); });
            }
            take_answers();
        }
        sender.reset();
        take_answers();
        // Whether the receivers have got these is not known: they are sent again, under the same ids.
        for (const auto& [number, sent] : under_way) {
            book.end(sent.to, webhook_book::outcome::unknown, steady_ms());
            unmarked.push_back(
                {.id = sent.id, .claimed_until = sent.claimed_until, .tried = false, .next_at = sent.next_at});
        }
        under_way.clear();
        for (int tries = 0; tries < tries_max && !work(false); ++tries) continue;
    }

    void show() {
        counts.under_way = book.under_way();
        counts.breakers_open = book.open_breakers();
    }
};

webhooks::webhooks(const database::options& where, const jobs::webhook_options& options,
                   const jobs::webhook_rules& rules, const governance::key_hasher& hasher, std::string replica,
                   webhook_reports tell)
    : state_(std::make_unique<state>(where, options, hasher, std::move(replica), std::move(tell))) {
    state& own = *state_;
    own.sender = std::make_unique<webhook_sender>(options, rules, [&own](std::uint64_t number, webhook_answer answer) {
        const std::lock_guard lock(own.mutex);
        own.answers.push_back({number, std::move(answer)});
        own.changed.notify_all();
    });
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    own.thread = std::thread([&own] {
        pthread_setname_np(pthread_self(), "webhooks");
        own.run();
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

webhooks::~webhooks() { stop(); }

void webhooks::stop() {
    if (!state_->thread.joinable()) return;
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
        state_->changed.notify_all();
    }
    state_->thread.join();
}

void webhooks::wake() {
    const std::lock_guard lock(state_->mutex);
    state_->woken = true;
    state_->changed.notify_all();
}

const webhook_counts& webhooks::counts() const { return state_->counts; }

}  // namespace worker
