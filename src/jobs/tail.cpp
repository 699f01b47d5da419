#include "jobs/tail.hpp"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace jobs {
namespace {

using clock = std::chrono::steady_clock;
using piece_ptr = std::shared_ptr<const log_piece>;

constexpr std::size_t look_wishes_max = 1'000;          // jobs in one call of the store
constexpr std::size_t look_bytes_max = 4 << 20;         // of pieces that one call brings
constexpr std::size_t replays_max = 64;                 // followers served by one call
constexpr std::size_t replay_bytes_max = 64 * 1024;     // for each of them
constexpr std::chrono::milliseconds look_gap{5};        // between two looks: those asked for within it share one
constexpr std::chrono::milliseconds known_here{1'000};  // a job whose news came in process is looked at later
constexpr int rarer_with_wakes = 8;                     // times poll_every, when others tell us

struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

}  // namespace

struct tail::seat {
    followed* job = nullptr;
    std::list<std::shared_ptr<seat>>::iterator place{};  // in job->seats
    interest what = interest::log;
    std::uint64_t cursor = 0;
    std::function<void()> wake{};
    bool armed = false;    // got nothing: wants to be woken
    bool reading = false;  // stands in `behind`, or its portion is being read
    bool lost = false;
    bool left = false;
    std::vector<piece_ptr> mine{};  // read for this follower
};

// `state` and `end` are of one moment; `end` only moves forward.
struct tail::followed {
    std::string id;
    status state = status::queued;
    std::uint64_t end = 0;         // the last event known
    std::deque<piece_ptr> recent;  // without a gap, up to `end`
    std::uint64_t recent_bytes = 0;
    clock::time_point due{};
    std::list<std::shared_ptr<seat>> seats;
};

struct tail::state {
    using seats = std::vector<std::shared_ptr<seat>>;

    state(store& where, const options& how) : from(where), rules(how), next_look(clock::now()) {}

    store& from;
    const options rules;
    counts counted;

    std::mutex mutex;  // everything below
    std::condition_variable changed;
    std::unordered_map<std::string, followed, text_hash, std::equal_to<>> jobs;
    std::unordered_set<std::string> hurried;  // to be looked at before their time
    std::deque<std::shared_ptr<seat>> behind;
    clock::time_point next_look;
    clock::time_point looked{};
    clock::time_point read_again{};  // the database is away: not before
    bool wakes_come = false;
    bool stopping = false;
    std::thread thread;

    void run();
    void look(std::unique_lock<std::mutex>& held, std::vector<std::string> ids);
    void replay(std::unique_lock<std::mutex>& held);
    std::pair<outcome, std::vector<store::log_news>> ask(std::unique_lock<std::mutex>& held,
                                                         std::vector<store::log_wish> wishes, std::size_t bytes_max);
    std::vector<std::string> all_due(clock::time_point now);
    void learn(followed& job, store::log_news& news, seats& awake);
    static void lose(followed& job, seats& awake);
    void append(followed& job, piece_ptr piece);
    void trim(followed& job, std::uint64_t bytes_max);
    void hurry(const std::string& id);
    static void gather(followed& job, seats& awake);
    static void wake_all(std::unique_lock<std::mutex>& held, seats& awake);
};

// Those to be woken now. A follower of the end is not disturbed by each piece.
void tail::state::gather(followed& job, seats& awake) {
    for (const auto& each : job.seats) {
        if (!each->armed || (each->what == interest::end && !is_final(job.state))) continue;
        each->armed = false;
        awake.push_back(each);
    }
}

void tail::state::trim(followed& job, std::uint64_t bytes_max) {
    while (job.recent_bytes > bytes_max) {
        const std::uint64_t bytes = job.recent.front()->bytes.size();
        job.recent_bytes -= bytes;
        counted.kept_bytes -= bytes;
        job.recent.pop_front();
    }
}

// `piece` begins where the log as we know it ends.
void tail::state::append(followed& job, piece_ptr piece) {
    job.end = piece->last_id;
    job.recent_bytes += piece->bytes.size();
    counted.kept_bytes += piece->bytes.size();
    job.recent.push_back(std::move(piece));
    trim(job, std::min(rules.tail_job_bytes_max, rules.tail_bytes_max / jobs.size()));
}

void tail::state::hurry(const std::string& id) {
    hurried.insert(id);
    changed.notify_one();
}

// What a look found. It may be older than what has come in process in the meantime, and cut by its limits: a state
// counts with the last piece that belongs to it.
void tail::state::learn(followed& job, store::log_news& news, seats& awake) {
    const std::uint64_t last = news.pieces.empty() ? 0 : news.pieces.back().last_id;
    for (auto& piece : news.pieces) {
        if (piece.first_id != job.end + 1) continue;
        append(job, std::make_shared<const log_piece>(std::move(piece)));
    }
    const bool cut = is_final(news.state) && last < news.events;
    if (cut) hurried.insert(job.id);
    if (!cut && last == job.end) job.state = news.state;
    gather(job, awake);
}

// It has ended and was deleted between two looks.
void tail::state::lose(followed& job, seats& awake) {
    for (const auto& each : job.seats) {
        each->lost = true;
        if (std::exchange(each->armed, false)) awake.push_back(each);
    }
}

std::pair<outcome, std::vector<store::log_news>> tail::state::ask(std::unique_lock<std::mutex>& held,
                                                                  std::vector<store::log_wish> wishes,
                                                                  std::size_t bytes_max) {
    using answer = std::pair<outcome, std::vector<store::log_news>>;
    held.unlock();
    const auto promised = std::make_shared<std::promise<answer>>();
    auto answered = promised->get_future();
    from.read_logs(std::move(wishes), bytes_max, [promised](outcome how, std::vector<store::log_news> news) {
        promised->set_value({how, std::move(news)});
    });
    answer got = answered.get();
    held.lock();
    if (got.first != outcome::done) ++counted.unavailable;
    return got;
}

void tail::state::look(std::unique_lock<std::mutex>& held, std::vector<std::string> ids) {
    for (std::size_t first = 0; first < ids.size() && !stopping; first += look_wishes_max) {
        const auto now = clock::now();
        std::vector<store::log_wish> wishes;
        for (std::size_t i = first; i < std::min(first + look_wishes_max, ids.size()); ++i) {
            const auto found = jobs.find(ids[i]);
            if (found == jobs.end()) continue;
            found->second.due = now + rules.poll_every * (wakes_come ? rarer_with_wakes : 1);
            wishes.push_back({found->first, found->second.end});
        }
        if (wishes.empty()) continue;
        ++counted.looks;
        auto [how, news] = ask(held, std::move(wishes), look_bytes_max);
        seats awake;
        for (auto& each : news) {
            const auto found = jobs.find(each.id);
            if (found == jobs.end()) continue;
            if (each.gone) {
                lose(found->second, awake);
            } else {
                learn(found->second, each, awake);
            }
        }
        wake_all(held, awake);
    }
}

// Portions for followers whose next pieces are not kept here, of each job one.
void tail::state::replay(std::unique_lock<std::mutex>& held) {
    std::unordered_map<std::string, std::shared_ptr<seat>> served;
    std::deque<std::shared_ptr<seat>> later;
    std::vector<store::log_wish> wishes;
    while (!behind.empty() && wishes.size() < replays_max) {
        auto next = std::move(behind.front());
        behind.pop_front();
        if (next->left) continue;
        if (!served.emplace(next->job->id, next).second) {
            later.push_back(std::move(next));
            continue;
        }
        wishes.push_back({next->job->id, next->cursor});
    }
    behind.insert(behind.begin(), later.begin(), later.end());
    if (wishes.empty()) return;
    ++counted.replays;
    const std::size_t bytes_max = replay_bytes_max * wishes.size();
    auto [how, news] = ask(held, std::move(wishes), bytes_max);
    std::size_t bytes = 0;
    seats awake;
    for (auto& each : news) {
        const auto found = served.find(each.id);
        if (found == served.end()) continue;
        for (auto& piece : each.pieces) {
            bytes += piece.bytes.size();
            found->second->mine.push_back(std::make_shared<const log_piece>(std::move(piece)));
        }
    }
    for (const auto& [id, each] : served) {
        if (each->left) continue;
        if (each->mine.empty() && (how != outcome::done || bytes >= bytes_max)) {
            if (how != outcome::done) read_again = clock::now() + rules.poll_every;
            behind.push_back(each);
            continue;
        }
        each->reading = false;
        each->lost = each->mine.empty();  // it was behind, and there is nothing to read
        each->armed = false;
        awake.push_back(each);
    }
    wake_all(held, awake);
}

void tail::state::wake_all(std::unique_lock<std::mutex>& held, seats& awake) {
    if (awake.empty()) return;
    held.unlock();
    for (const auto& each : awake) each->wake();
    held.lock();
}

std::vector<std::string> tail::state::all_due(clock::time_point now) {
    std::vector<std::string> ids;
    for (const auto& [id, job] : jobs)
        if (!is_final(job.state) && job.due <= now) ids.push_back(id);
    return ids;
}

void tail::state::run() {
    pthread_setname_np(pthread_self(), "job-tail");
    std::unique_lock held(mutex);
    while (!stopping) {
        const auto now = clock::now();
        if (now >= next_look) {
            next_look = now + rules.poll_every;
            look(held, all_due(now));
        } else if (!hurried.empty() && now >= looked + look_gap) {
            looked = now;
            std::vector<std::string> ids(hurried.begin(), hurried.end());
            hurried.clear();
            look(held, std::move(ids));
        } else if (!behind.empty() && now >= read_again) {
            replay(held);
        } else {
            auto until = next_look;
            if (!hurried.empty()) until = std::min(until, looked + look_gap);
            if (!behind.empty()) until = std::min(until, read_again);
            changed.wait_until(held, until);
        }
    }
}

tail::tail(store& from, const options& rules) : state_(std::make_unique<state>(from, rules)) {
    state_->thread = std::thread([this] { state_->run(); });
}

tail::~tail() { stop(); }

void tail::stop() {
    {
        const std::lock_guard held(state_->mutex);
        state_->stopping = true;
    }
    state_->changed.notify_one();
    if (state_->thread.joinable()) state_->thread.join();
}

const tail::counts& tail::counted() const { return state_->counted; }

void tail::on_change(const change& news) {
    state& s = *state_;
    std::unique_lock held(s.mutex);
    const auto found = s.jobs.find(news.id);
    if (found == s.jobs.end()) return;
    followed& job = found->second;
    const bool changes_state = news.kind == change::what::state;
    if (!changes_state && news.kind != change::what::log) return;
    const bool has_piece = news.piece && !news.piece->bytes.empty();
    if (!has_piece && changes_state && !is_final(news.state)) {
        job.state = news.state;
        return;
    }
    if (has_piece && news.piece->last_id <= job.end) return;  // a look was faster
    if (!has_piece || news.piece->first_id != job.end + 1) return s.hurry(job.id);
    s.append(job, news.piece);
    job.state = changes_state ? news.state : status::running;
    job.due = clock::now() + known_here;
    state::seats awake;
    state::gather(job, awake);
    state::wake_all(held, awake);
}

void tail::wake(std::string_view job_id) {
    state& s = *state_;
    const std::lock_guard held(s.mutex);
    const auto found = s.jobs.find(job_id);
    if (found != s.jobs.end() && !is_final(found->second.state)) s.hurry(found->first);
}

void tail::rely_on_wakes(bool they_come) {
    const std::lock_guard held(state_->mutex);
    state_->wakes_come = they_come;
    if (they_come) return;
    for (auto& [id, job] : state_->jobs) job.due = {};  // what was not told since is found at the next look
}

std::unique_ptr<tail::follower> tail::follow(const summary& about, std::uint64_t after, interest what,
                                             std::function<void()> wake) {
    state& s = *state_;
    const std::lock_guard held(s.mutex);
    if (s.counted.followers >= s.rules.followers_max) return nullptr;
    followed& job = s.jobs[about.id];
    if (job.seats.empty()) {
        job.id = about.id;
        job.state = about.state;
        job.end = about.events;
    } else if (job.end < about.events) {
        s.hurry(job.id);
    } else if (job.end == about.events) {
        job.state = about.state;  // redriven, perhaps: that adds no event
    }
    auto taken = std::make_shared<seat>();
    taken->job = &job;
    taken->what = what;
    taken->cursor = after;
    taken->wake = std::move(wake);
    taken->place = job.seats.insert(job.seats.end(), taken);
    ++s.counted.followers;
    s.counted.jobs = s.jobs.size();
    return std::unique_ptr<follower>(new follower(*this, std::move(taken)));
}

tail::follower::~follower() {
    state& s = *owner_.state_;
    const std::lock_guard held(s.mutex);
    followed& job = *seat_->job;
    seat_->left = true;
    job.seats.erase(seat_->place);
    --s.counted.followers;
    if (!job.seats.empty()) return;
    s.trim(job, 0);
    s.jobs.erase(s.jobs.find(job.id));
    s.counted.jobs = s.jobs.size();
}

tail::portion tail::follower::take(std::size_t bytes_max) {
    state& s = *owner_.state_;
    const std::lock_guard held(s.mutex);
    const followed& job = *seat_->job;
    portion out{.pieces = std::move(seat_->mine), .after = seat_->cursor, .state = job.state};
    seat_->mine.clear();
    if (seat_->what == interest::end) {
        seat_->cursor = job.end;
    } else if (out.pieces.empty() && seat_->cursor < job.end) {
        auto next = std::ranges::upper_bound(job.recent, seat_->cursor, {}, &log_piece::last_id);
        if (next != job.recent.end() && (*next)->first_id <= seat_->cursor + 1) {
            for (std::size_t bytes = 0; next != job.recent.end() && bytes < bytes_max; ++next) {
                bytes += (*next)->bytes.size();
                out.pieces.push_back(*next);
            }
        } else if (!seat_->reading && !seat_->lost) {
            seat_->reading = true;
            s.behind.push_back(seat_);
            s.changed.notify_one();
        }
    }
    if (!out.pieces.empty()) seat_->cursor = std::max(seat_->cursor, out.pieces.back()->last_id);
    out.ended = is_final(job.state) && seat_->cursor >= job.end;
    out.lost = seat_->lost && out.pieces.empty() && !out.ended;
    seat_->armed = out.pieces.empty() && !out.ended && !out.lost;
    return out;
}

}  // namespace jobs
