// A world around the model of the store (model.hpp): submitters, workers, a queue that loses and doubles messages, a
// sweeper, crashes, answers that get lost, and a clock that only moves when it is told to. It says which steps are
// possible, takes one, and checks what must hold after each. For tests only. Thread rule: one thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "jobs/model.hpp"

namespace jobs::model {

// Times are small whole numbers, so that a world has few states: a lease is lost after two ticks.
struct world_size {
    std::size_t jobs = 2;
    std::size_t workers = 2;
    std::uint32_t attempts_max = 2;
    std::uint8_t faults = 2;  // crashes, messages lost or doubled, answers lost
    std::uint8_t cancels = 1;
    std::uint8_t waits = 1;   // endings that count no attempt
    std::uint8_t events = 1;  // that an attempt writes, at most
    time_ms expires_after = 1'000;
    flaw broken = flaw::none;
};

struct step {
    enum class what : std::uint8_t {
        submit,
        submit_and_crash,  // before it was announced
        announce,
        lose_message,
        double_message,
        receive,                   // a worker takes a message and claims
        receive_and_hear_nothing,  // the claim is committed, the worker dies of it
        append,
        heartbeat,
        succeed,
        succeed_and_hear_nothing,
        retry,
        wait,
        stop,  // because it was told that it is cancelled
        crash,
        cancel,
        tick,
        sweep,
    } kind = what::tick;
    std::uint8_t who = 0;  // a job's number, or a worker's
    bool is_fault() const {
        return kind == what::submit_and_crash || kind == what::lose_message || kind == what::double_message ||
               kind == what::receive_and_hear_nothing || kind == what::succeed_and_hear_nothing || kind == what::crash;
    }
};

class world {
public:
    explicit world(const world_size& of) : size_(of), faults_(of.faults), cancels_(of.cancels), waits_(of.waits) {
        store_.lease = 2;
        store_.announce_again = 3;
        store_.retention = 1'000'000;
        store_.broken = of.broken;
        workers_.resize(of.workers);
        messages_.resize(of.jobs);
        submitted_.resize(of.jobs);
        to_announce_.resize(of.jobs);
        for (std::size_t i = 0; i < of.jobs; ++i) names_.push_back("job_" + std::to_string(i));
    }

    std::vector<step> steps(bool with_faults = true) const;
    void take(const step& next);
    // What is wrong; nothing when all is well.
    std::optional<std::string> trouble() const;
    // Two worlds with the same key go on in the same way.
    std::string key() const;
    bool is_over() const;
    // Without more faults and with everybody doing what they can: whether all jobs end within so many rounds.
    bool ends_by_itself(std::size_t rounds) const;

    const database& store() const { return store_; }

private:
    struct worker {
        std::int8_t job = -1;  // -1: idle
        std::uint32_t attempt = 0;
        std::uint64_t events = 0;  // in the log, as far as it knows
        std::uint8_t wrote = 0;    // in this attempt
        bool unheard = false;      // its ending was sent, and no answer came
    };
    std::string name_of_worker(std::size_t number) const { return "w" + std::to_string(number); }
    void let_go(worker& of) { of = worker(); }
    void receive(std::size_t number, bool hears);
    void leave(worker& of, ending::way how, bool hears = true);
    void sweep();

    world_size size_;
    database store_;
    std::vector<worker> workers_;
    std::vector<std::string> names_;
    std::vector<std::uint8_t> messages_;  // by job
    std::vector<bool> submitted_;
    std::vector<bool> to_announce_;
    std::uint8_t faults_, cancels_, waits_;
    time_ms now_ = 1'000;
    std::int64_t given_ = 0;  // money that was held at submits
};

inline std::vector<step> world::steps(bool with_faults) const {
    using what = step::what;
    std::vector<step> made;
    const bool faults = with_faults && faults_ > 0;
    const auto add = [&](what kind, std::size_t who = 0) {
        const step one{kind, static_cast<std::uint8_t>(who)};
        if (faults || !one.is_fault()) made.push_back(one);
    };
    bool has_message = false;
    for (std::size_t i = 0; i < size_.jobs; ++i) {
        if (!submitted_[i]) {
            add(what::submit, i);
            add(what::submit_and_crash, i);
            continue;
        }
        if (to_announce_[i]) add(what::announce, i);
        if (messages_[i] > 0) {
            has_message = true;
            add(what::lose_message, i);
            if (messages_[i] < 2) add(what::double_message, i);
        }
        if (cancels_ > 0 && !is_final(store_.jobs[i].row.state)) add(what::cancel, i);
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        const worker& one = workers_[i];
        if (one.job < 0) {
            if (has_message) {
                add(what::receive, i);
                add(what::receive_and_hear_nothing, i);
            }
            continue;
        }
        add(what::crash, i);
        add(what::succeed, i);
        if (one.unheard) continue;  // it only repeats its ending
        add(what::succeed_and_hear_nothing, i);
        if (one.wrote < size_.events) add(what::append, i);
        add(what::heartbeat, i);
        add(what::retry, i);
        if (waits_ > 0) add(what::wait, i);
        if (store_.jobs[static_cast<std::size_t>(one.job)].row.cancel_asked) add(what::stop, i);
    }
    add(what::tick);
    add(what::sweep);
    return made;
}

inline void world::receive(std::size_t number, bool hears) {
    // The message is a hint: whoever gets one claims whatever comes first.
    const auto message = std::ranges::find_if(messages_, [](std::uint8_t count) { return count > 0; });
    if (message == messages_.end()) return;
    --*message;
    const auto taken = store_.claim(1, lane::realtime, name_of_worker(number), now_);
    if (taken.empty() || !hears) return;
    const auto job = std::ranges::find(names_, taken[0].id) - names_.begin();
    workers_[number] = {.job = static_cast<std::int8_t>(job),
                        .attempt = taken[0].attempt,
                        .events = store_.find(taken[0].id)->log.size()};
}

inline void world::leave(worker& of, ending::way how, bool hears) {
    // The answer is done, or fenced: in both cases the worker is through with it.
    store_.finish(names_[static_cast<std::size_t>(of.job)], of.attempt, how, now_ + 1, of.unheard, now_);
    if (hears) {
        let_go(of);
    } else {
        of.unheard = true;
    }
}

inline void world::sweep() {
    store_.sweep(now_);
    for (const auto& id : store_.unannounced(now_)) {
        auto& count = messages_[static_cast<std::size_t>(std::ranges::find(names_, id) - names_.begin())];
        count = static_cast<std::uint8_t>(std::min(count + 1, 2));
        store_.announced(id, now_);
    }
}

inline void world::take(const step& next) {
    using what = step::what;
    if (next.is_fault()) --faults_;
    switch (next.kind) {
        case what::submit:
        case what::submit_and_crash: {
            // The rows stand in the order of their numbers, whoever came first.
            while (store_.jobs.size() <= next.who) {
                job one;
                one.id = names_[store_.jobs.size()];
                one.row.state = status::expired;  // stands for: not there yet
                store_.jobs.push_back(one);
            }
            job& one = store_.jobs[next.who];
            one = job();
            one.id = names_[next.who];
            one.team = next.who % 2 == 0 ? "even" : "odd";
            one.rank = next.who;
            one.hold = 5;
            one.row.attempts_max = size_.attempts_max;
            one.row.created_at = now_;
            one.row.expires_at = now_ + size_.expires_after;
            store_.held_for_jobs += one.hold;
            given_ += one.hold;
            submitted_[next.who] = true;
            to_announce_[next.who] = next.kind == what::submit;
            return;
        }
        case what::announce:
            to_announce_[next.who] = false;
            messages_[next.who] = static_cast<std::uint8_t>(std::min(messages_[next.who] + 1, 2));
            store_.announced(names_[next.who], now_);
            return;
        case what::lose_message:
            --messages_[next.who];
            return;
        case what::double_message:
            ++messages_[next.who];
            return;
        case what::receive:
        case what::receive_and_hear_nothing:
            receive(next.who, next.kind == what::receive);
            return;
        case what::append: {
            worker& one = workers_[next.who];
            const auto how = store_.append(names_[static_cast<std::size_t>(one.job)], one.attempt, one.events + 1);
            if (how == outcome::done) {
                ++one.events;
                ++one.wrote;
            } else {
                let_go(one);
            }
            return;
        }
        case what::heartbeat: {
            worker& one = workers_[next.who];
            if (!store_.heartbeat(names_[static_cast<std::size_t>(one.job)], one.attempt, now_)) let_go(one);
            return;
        }
        case what::succeed:
        case what::succeed_and_hear_nothing:
            leave(workers_[next.who], ending::way::succeeded, next.kind == what::succeed);
            return;
        case what::retry:
            leave(workers_[next.who], ending::way::retry);
            return;
        case what::wait:
            --waits_;
            leave(workers_[next.who], ending::way::waiting);
            return;
        case what::stop:
            leave(workers_[next.who], ending::way::cancelled);
            return;
        case what::crash:
            let_go(workers_[next.who]);
            return;
        case what::cancel:
            --cancels_;
            store_.cancel(names_[next.who], now_);
            return;
        case what::tick:
            ++now_;
            return;
        case what::sweep:
            sweep();
            return;
    }
}

inline std::optional<std::string> world::trouble() const {
    std::int64_t held = 0;
    for (std::size_t i = 0; i < store_.jobs.size(); ++i) {
        if (!submitted_[i]) continue;
        const job& one = store_.jobs[i];
        const auto& row = one.row;
        const bool over = is_final(row.state);
        if (row.state == status::queued) held += one.hold;
        if (one.results > 1) return one.id + " has two results";
        if ((one.results == 1) != (row.state == status::succeeded)) return one.id + ": a result and another state";
        if (one.results == 1 && one.result_of != row.attempt) return one.id + ": the result of a lost lease has landed";
        if (row.attempts_used > row.attempts_max) return one.id + " was tried too often";
        if (row.attempts_used > row.attempt) return one.id + ": more attempts count than there were";
        std::size_t ends = 0;
        for (std::size_t at = 0; at < one.log.size(); ++at) {
            const auto& event = one.log[at];
            ends += event.last ? 1 : 0;
            if (!event.fresh) return one.id + ": a write of a lost lease has landed";
            if (at > 0 && event.attempt < one.log[at - 1].attempt) return one.id + ": an old attempt wrote late";
            if (at > 0 && one.log[at - 1].last) return one.id + ": its log goes on behind its end";
        }
        if (ends != (over ? 1U : 0U)) return one.id + ": its log does not end when it does";
        if (one.webhooks != ends) return one.id + ": not one webhook for its end";
        if (one.history.size() != row.attempt) return one.id + ": its history has not every attempt";
        for (std::size_t at = 0; at < one.history.size(); ++at) {
            const bool is_open = one.history[at].second.empty();
            const bool may_be = at + 1 == one.history.size() && row.state == status::running;
            if (is_open != may_be) return one.id + ": an attempt that is over is under way, or the other way round";
        }
        if (over && one.hold != 0) return one.id + ": it is over and money is held for it";
    }
    if (held != store_.held_for_jobs) return "the jobs' lease is not what is held for queued jobs";
    if (store_.held_for_jobs + store_.handed_over > given_) return "more money came back than was held";
    return {};
}

inline std::string world::key() const {
    std::string made;
    const auto put = [&](auto number) { made.push_back(static_cast<char>(number)); };
    const auto ahead = [&](time_ms when) { return std::clamp<time_ms>(when - now_, -4, 100); };
    put(faults_);
    put(cancels_);
    put(waits_);
    for (std::size_t i = 0; i < size_.jobs; ++i) {
        put(submitted_[i]);
        put(to_announce_[i]);
        put(messages_[i]);
        if (!submitted_[i]) continue;
        const job& one = store_.jobs[i];
        const auto& row = one.row;
        put(row.state);
        put(row.attempt);
        put(row.attempts_used);
        put(row.cancel_asked);
        put(row.state == status::running ? std::max<time_ms>(ahead(row.lease_until), 0) : 0);
        put(row.run_after > now_ ? ahead(row.run_after) : 0);
        put(row.announced_at == 0 || row.state != status::queued ? -5 : ahead(row.announced_at));
        put(ahead(row.expires_at));
        put(one.hold);
        put(one.results);
        put(one.result_of);
        for (const auto& event : one.log) put(event.attempt * 4 + (event.last ? 2 : 0) + (event.fresh ? 1 : 0));
        for (const auto& [attempt, how] : one.history) put(how.empty() ? '.' : how[0]);
        put('|');
    }
    // Which worker has which number means nothing.
    std::vector<std::string> each;
    for (const worker& one : workers_) {
        each.push_back({static_cast<char>(one.job), static_cast<char>(one.attempt), static_cast<char>(one.events),
                        static_cast<char>(one.wrote), static_cast<char>(one.unheard)});
    }
    std::ranges::sort(each);
    for (const auto& one : each) made += one;
    return made;
}

inline bool world::is_over() const {
    for (std::size_t i = 0; i < size_.jobs; ++i) {
        if (!submitted_[i] || !is_final(store_.jobs[i].row.state)) return false;
    }
    return true;
}

inline bool world::ends_by_itself(std::size_t rounds) const {
    using what = step::what;
    world after = *this;
    for (std::size_t round = 0; round < rounds && !after.is_over(); ++round) {
        for (const auto& next : after.steps(false)) {
            const bool is_work = next.kind == what::submit || next.kind == what::announce ||
                                 next.kind == what::receive || next.kind == what::succeed;
            if (!is_work) continue;
            // An earlier one of this round may have taken the occasion away.
            const bool is_free = next.who < after.workers_.size() && after.workers_[next.who].job < 0;
            if (next.kind == what::receive && !is_free) continue;
            if (next.kind == what::succeed && is_free) continue;
            after.take(next);
        }
        after.take({what::tick, 0});
        after.take({what::sweep, 0});
    }
    return after.is_over();
}

}  // namespace jobs::model
