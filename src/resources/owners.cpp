#include "resources/owners.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

namespace resources {
namespace {

constexpr std::size_t looks_max = 65'536;  // requests that wait; each holds a connection, which are fewer
constexpr std::size_t ids_per_query = 64;

constexpr std::array<std::string_view, 4> names = {"batch", "file", "skill", "container"};

bool insert(database::connection& on, const made& what, time_ms now) {
    return !on.query(
                  "INSERT INTO claude_proxy.resources (id, kind, team_id, key_id, created_at)"
                  " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING RETURNING id",
                  {what.id, std::string(name_of(what.what)), what.team_id, what.key_id, now})
                .empty();
}

// Teams by id, in two generations: when the younger one is full, what was not used since goes.
class memory {
public:
    explicit memory(std::size_t entries_max) : half_(std::max<std::size_t>(entries_max / 2, 1)) {}

    const std::string* find(const std::string& id) {
        if (const auto young = young_.find(id); young != young_.end()) return &young->second;
        const auto old = old_.find(id);
        return old == old_.end() ? nullptr : put(id, std::move(old->second));
    }
    const std::string* put(const std::string& id, std::string team) {
        if (young_.size() >= half_) old_ = std::exchange(young_, {});
        return &(young_[id] = std::move(team));
    }
    void erase(const std::string& id) {
        young_.erase(id);
        old_.erase(id);
    }

private:
    const std::size_t half_;
    std::unordered_map<std::string, std::string> young_;
    std::unordered_map<std::string, std::string> old_;
};

struct question {
    std::vector<std::string> ids;
    std::string team_id;
    std::function<void(found)> done;
};
struct list_question {
    kind what;
    std::string team_id;
    std::function<void(std::optional<std::vector<std::string>>)> done;
};
struct unwritten_entry {
    made what;
    time_ms at = 0;
    std::function<void()> done;
};

}  // namespace

std::string_view name_of(kind what) { return names[static_cast<std::size_t>(what)]; }

std::optional<kind> kind_named(std::string_view name) {
    const auto* const found = std::ranges::find(names, name);
    if (found == names.end()) return std::nullopt;
    return static_cast<kind>(found - names.begin());
}

std::optional<kind> kind_of_id(std::string_view id) {
    if (id.starts_with("msgbatch_")) return kind::batch;
    for (const auto what : {kind::file, kind::skill, kind::container}) {
        const auto name = name_of(what);
        if (id.starts_with(name) && id.substr(name.size()).starts_with("_")) return what;
    }
    return std::nullopt;
}

struct owners::state {
    std::unique_ptr<database::connection> on;
    options settings;
    time_ms (*now)();
    owners_reports reports;

    mutable std::mutex mutex{};  // of what follows
    std::condition_variable changed{};
    memory known;
    std::vector<question> questions{};
    std::vector<list_question> lists{};
    std::deque<unwritten_entry> unwritten{};
    std::map<std::string, std::string, std::less<>> unwritten_teams{};  // what memory must not lose
    std::vector<std::string> gone{};
    bool stopping = false;

    bool is_out = false;  // of the thread
    std::thread thread{};

    std::optional<finding> look(const std::string& id, std::string_view team_id);
    void run();
    bool write();
    bool forget(const std::vector<std::string>& ids);
    void answer(std::vector<question>& asked);
    void answer(list_question& asked);
    template <class Work>
    bool try_on(Work work);
};

// Under the lock.
std::optional<finding> owners::state::look(const std::string& id, std::string_view team_id) {
    const std::string* team = nullptr;
    if (const auto waiting = unwritten_teams.find(id); waiting != unwritten_teams.end()) {
        team = &waiting->second;
    } else {
        team = known.find(id);
    }
    if (team == nullptr) return std::nullopt;
    return *team == team_id ? finding::mine : finding::not_mine;
}

template <class Work>
bool owners::state::try_on(Work work) {
    try {
        work();
    } catch (const database::failure& problem) {
        if (!std::exchange(is_out, true) && reports.on_outage) reports.on_outage(problem.what());
        return false;
    }
    if (std::exchange(is_out, false) && reports.on_recovery) reports.on_recovery();
    return true;
}

// Writes what is unwritten, all in one transaction. An insert that is repeated changes nothing.
bool owners::state::write() {
    std::vector<unwritten_entry> taken;
    {
        const std::lock_guard held(mutex);
        taken.assign(unwritten.begin(), unwritten.end());
    }
    if (taken.empty()) return true;
    std::vector<bool> is_ours(taken.size());
    const bool written = try_on([&] {
        database::transaction together(*on);
        for (std::size_t i = 0; i < taken.size(); ++i) is_ours[i] = insert(*on, taken[i].what, taken[i].at);
        together.commit();
    });
    if (!written) return false;
    {
        const std::lock_guard held(mutex);
        unwritten.erase(unwritten.begin(), unwritten.begin() + static_cast<std::ptrdiff_t>(taken.size()));
        for (std::size_t i = 0; i < taken.size(); ++i) {
            unwritten_teams.erase(taken[i].what.id);
            // One that was there may be somebody else's: the next look finds out.
            if (is_ours[i]) known.put(taken[i].what.id, taken[i].what.team_id);
        }
    }
    for (const auto& each : taken) {
        if (each.done) each.done();
    }
    return true;
}

bool owners::state::forget(const std::vector<std::string>& ids) {
    return try_on([&] {
        for (const auto& id : ids) {
            on->execute("UPDATE claude_proxy.resources SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL",
                        {id, now()});
        }
    });
}

void owners::state::answer(std::vector<question>& asked) {
    std::vector<std::string> ids;
    for (const auto& each : asked) ids.insert(ids.end(), each.ids.begin(), each.ids.end());
    std::ranges::sort(ids);
    ids.erase(std::ranges::unique(ids).begin(), ids.end());
    std::unordered_map<std::string, std::string> teams;
    const bool answered = try_on([&] {
        for (std::size_t at = 0; at < ids.size(); at += ids_per_query) {
            const std::size_t count = std::min(ids_per_query, ids.size() - at);
            std::string sql = "SELECT id, team_id FROM claude_proxy.resources WHERE deleted_at IS NULL AND id IN (";
            std::vector<database::value> parameters;
            for (std::size_t i = 0; i < count; ++i) {
                sql += fmt::format("{}${}", i == 0 ? "" : ", ", i + 1);
                parameters.emplace_back(ids[at + i]);
            }
            for (const auto& row : on->query(sql + ")", parameters)) {
                teams.emplace(database::text_of(row[0]), database::text_of(row[1]));
            }
        }
    });
    std::vector<found> answers;
    {
        const std::lock_guard held(mutex);
        for (const auto& [id, team] : teams) known.put(id, team);
        for (const auto& each : asked) {
            found all{finding::mine};
            for (const auto& id : each.ids) {
                // What was recorded while we asked is found in memory.
                const auto one = look(id, each.team_id).value_or(answered ? finding::not_mine : finding::unavailable);
                if (one != finding::mine && all.what != finding::not_mine) all = {one, id};
            }
            answers.push_back(std::move(all));
        }
    }
    for (std::size_t i = 0; i < asked.size(); ++i) asked[i].done(std::move(answers[i]));
}

void owners::state::answer(list_question& asked) {
    std::vector<std::string> ids;
    bool answered = try_on([&] {
        const auto rows = on->query(
            "SELECT id FROM claude_proxy.resources WHERE team_id = $1 AND kind = $2 AND deleted_at IS NULL"
            " ORDER BY created_at DESC LIMIT $3",
            {asked.team_id, std::string(name_of(asked.what)), std::int64_t{settings.listed_max} + 1});
        ids.reserve(rows.size());
        for (const auto& row : rows) ids.push_back(database::text_of(row[0]));
    });
    answered = answered && ids.size() <= settings.listed_max;
    if (answered) {
        const std::lock_guard held(mutex);
        for (const auto& each : unwritten) {
            if (each.what.team_id == asked.team_id && each.what.what == asked.what) ids.push_back(each.what.id);
        }
    }
    asked.done(answered ? std::optional(std::move(ids)) : std::nullopt);
}

void owners::state::run() {
    std::unique_lock held(mutex);
    for (;;) {
        const auto has_questions = [this] { return stopping || !questions.empty() || !lists.empty(); };
        const auto has_work = [&] { return has_questions() || !unwritten.empty() || !gone.empty(); };
        if (is_out) {  // what waits to be written does not hurry a database that is not there
            changed.wait_for(held, settings.retry_every, has_questions);
        } else {
            changed.wait(held, has_work);
        }
        const bool last = stopping;
        auto asked = std::exchange(questions, {});
        auto listed = std::exchange(lists, {});
        auto forgotten = std::exchange(gone, {});
        held.unlock();
        // What is gone goes first: a question behind it must not find it. During an outage nobody waits for that.
        bool is_forgotten = forgotten.empty();
        if (!is_forgotten && !is_out) is_forgotten = forget(forgotten);
        if (!asked.empty()) answer(asked);
        for (auto& each : listed) answer(each);
        if (write() && !is_forgotten) is_forgotten = forget(forgotten);
        held.lock();
        for (const auto& id : forgotten) known.erase(id);  // a question during an outage may have put them back
        if (!is_forgotten) gone.insert(gone.end(), forgotten.begin(), forgotten.end());
        if (last && questions.empty() && lists.empty()) return;
    }
}

owners::owners(std::unique_ptr<database::connection> on, const options& settings, time_ms (*now)(),
               owners_reports reports)
    : state_(new state{.on = std::move(on),
                       .settings = settings,
                       .now = now,
                       .reports = std::move(reports),
                       .known = memory(settings.known_max)}) {
    state_->thread = std::thread([state = state_.get()] {
        pthread_setname_np(pthread_self(), "resources");
        state->run();
    });
}

owners::~owners() {
    {
        const std::lock_guard held(state_->mutex);
        state_->stopping = true;
    }
    state_->changed.notify_one();
    state_->thread.join();
    if (!state_->reports.on_lost) return;
    for (const auto& each : state_->unwritten) state_->reports.on_lost(each.what);
}

void owners::record(made what, std::function<void()> done) {
    const time_ms at = state_->now();
    bool is_anothers = false;
    {
        const std::lock_guard held(state_->mutex);
        const std::string* const owner = state_->known.find(what.id);
        is_anothers = owner != nullptr && *owner != what.team_id;
        if (!is_anothers && !state_->stopping && state_->unwritten.size() < state_->settings.unwritten_max) {
            state_->unwritten_teams.emplace(what.id, what.team_id);
            state_->unwritten.push_back({std::move(what), at, std::move(done)});
            state_->changed.notify_one();
            return;
        }
    }
    if (!is_anothers && state_->reports.on_lost) state_->reports.on_lost(what);
    if (done) done();
}

std::optional<finding> owners::look(std::string_view id, std::string_view team_id) const {
    const std::lock_guard held(state_->mutex);
    return state_->look(std::string(id), team_id);
}

void owners::ask(std::vector<std::string> ids, std::string team_id, std::function<void(found)> done) {
    {
        const std::lock_guard held(state_->mutex);
        if (!state_->stopping && state_->questions.size() < looks_max) {
            state_->questions.push_back({std::move(ids), std::move(team_id), std::move(done)});
            state_->changed.notify_one();
            return;
        }
    }
    done({});
}

void owners::list(kind what, std::string team_id, std::function<void(std::optional<std::vector<std::string>>)> done) {
    {
        const std::lock_guard held(state_->mutex);
        if (!state_->stopping && state_->lists.size() < looks_max) {
            state_->lists.push_back({what, std::move(team_id), std::move(done)});
            state_->changed.notify_one();
            return;
        }
    }
    done(std::nullopt);
}

void owners::forget(std::string id) {
    const std::lock_guard held(state_->mutex);
    state_->known.erase(id);
    if (state_->gone.size() >= state_->settings.unwritten_max) return;  // the upstream knows that it is gone
    state_->gone.push_back(std::move(id));
    state_->changed.notify_one();
}

std::size_t owners::unwritten() const {
    const std::lock_guard held(state_->mutex);
    return state_->unwritten.size();
}

}  // namespace resources
