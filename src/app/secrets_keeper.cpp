#include "app/secrets_keeper.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "app/secret_changes.hpp"

namespace app {
namespace {

using telemetry::level;
using clock = std::chrono::steady_clock;

std::int64_t monotonic_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(clock::now().time_since_epoch()).count();
}

std::string_view text_of(settings_source::trouble what) {
    switch (what) {
        case settings_source::trouble::away:
            return "away";
        case settings_source::trouble::refused:
            return "refused";
        case settings_source::trouble::broken:
            break;
    }
    return "broken";
}

std::string list_of(const std::vector<std::string_view>& names) { return fmt::format("{}", fmt::join(names, ", ")); }

}  // namespace

secrets_keeper::secrets_keeper(settings_source& from, settings_source::reading in_force, telemetry::hub& hub)
    : from_(from), hub_(hub), in_force_(std::move(in_force)) {
    counts_.read_at_ms = monotonic_ms();
    counts_.version_at_ms = in_force_.version.made_at_ms;
}

secrets_keeper::~secrets_keeper() { stop(); }

void secrets_keeper::on(std::string_view name, applier take_up) { appliers_.emplace(name, std::move(take_up)); }

void secrets_keeper::add_metrics() {
    const auto of = [](const auto& count) { return [&count] { return static_cast<double>(count.load()); }; };
    hub_.add_counter("secrets_reads_total", "Readings of the secrets since the start, by how they ended.",
                     of(counts_.read), {"outcome", "read"});
    hub_.add_counter("secrets_reads_total", "", of(counts_.failed), {"outcome", "failed"});
    hub_.add_counter("secrets_changed_total", "Secrets that were taken up while the process ran.", of(counts_.changed));
    hub_.add_gauge("secrets_age_seconds", "Since the secrets were last read.",
                   [this] { return static_cast<double>(monotonic_ms() - counts_.read_at_ms.load()) / 1000; });
    hub_.add_gauge("secrets_version_timestamp_seconds",
                   "When the version of the secret in force was made; 0: they come from the environment.",
                   [this] { return static_cast<double>(counts_.version_at_ms.load()) / 1000; });
    hub_.add_gauge("secrets_waiting_for_restart", "Secrets that changed and are taken up by a restart only.",
                   of(counts_.wait_for_restart));
}

void secrets_keeper::start() {
    thread_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "secrets");
        run();
    });
}

void secrets_keeper::look_now() {
    {
        const std::lock_guard held(guard_);
        asked_ = true;
    }
    changed_.notify_one();
}

void secrets_keeper::stop() {
    {
        const std::lock_guard held(guard_);
        stopping_ = true;
    }
    changed_.notify_one();
    from_.stop();
    if (thread_.joinable()) thread_.join();
}

void secrets_keeper::run() {
    const auto& rules = in_force_.settings.secrets;
    const bool on_timer = !rules.id.empty();
    auto due = clock::now() + rules.refresh;
    std::unique_lock held(guard_);
    for (;;) {
        const auto is_time = [this] { return stopping_ || asked_; };
        if (on_timer) {
            changed_.wait_until(held, due, is_time);
        } else {
            changed_.wait(held, is_time);
        }
        if (stopping_) return;
        const cause why = std::exchange(asked_, false) ? cause::hangup : cause::timer;
        held.unlock();
        due = clock::now() + rules.refresh;  // from the beginning of a look: a slow one does not make them rarer
        look(why);
        held.lock();
    }
}

void secrets_keeper::look(cause why) {
    // Tries end before the next look is due, so that a trouble is told and counted in its time.
    auto read = from_.read(config::purpose::serve,
                           std::min(settings_source::refresh_patience, in_force_.settings.secrets.refresh));
    if (stopping_) return;
    if (!read) return failed(read.error(), why);
    if (auto problems = problems_of_reading(in_force_.settings, read->settings); !problems.empty())
        return failed({settings_source::trouble::broken, true, std::move(problems)}, why);
    read_well(std::move(*read), why);
}

void secrets_keeper::failed(const settings_source::failure& problem, cause why) {
    ++counts_.failed;
    const bool is_told = trouble_ == problem.what && why == cause::timer;
    trouble_ = problem.what;
    if (is_told) return;
    hub_.log(level::error, "secrets_unreadable",
             {{"trouble", std::string(text_of(problem.what))},
              {"what", fmt::format("{}", fmt::join(problem.problems, " "))},
              {"effect", "the secrets in force stay"}});
}

void secrets_keeper::read_well(settings_source::reading read, cause why) {
    ++counts_.read;
    counts_.read_at_ms = monotonic_ms();
    if (std::exchange(trouble_, std::nullopt)) hub_.log(level::info, "secrets_readable_again");
    if (read.ignored != in_force_.ignored && !read.ignored.empty())
        hub_.log(level::warn, "setting", {{"what", read.settings.warnings.back()}});
    in_force_.ignored = std::move(read.ignored);

    const secret_changes found = changes_between(in_force_.settings, read.settings);
    // First all of them: a secret and the one before it, for example, are in force together or not at all.
    for (const std::string_view name : found.at_once) config::take_secret(name, read.settings, in_force_.settings);
    for (const std::string_view name : found.at_once) {
        if (const auto taker = appliers_.find(name); taker != appliers_.end()) taker->second(in_force_.settings);
    }
    counts_.changed += found.at_once.size();
    counts_.wait_for_restart = found.after_restart.size();
    const bool is_new = in_force_.version != read.version;
    in_force_.version = std::move(read.version);
    counts_.version_at_ms = in_force_.version.made_at_ms;
    if (is_new || !found.at_once.empty() || why == cause::hangup) {
        hub_.log(level::info, "secrets_read",
                 {{"from", from_.name()},
                  {"version", in_force_.version.short_id()},
                  {"changed", found.at_once.empty() ? "nothing" : list_of(found.at_once)},
                  {"other_settings", "read at start only"}});
    }
    tell_of_restart(found.after_restart);
}

void secrets_keeper::tell_of_restart(const std::vector<std::string_view>& names) {
    if (names == told_of_restart_) return;
    told_of_restart_ = names;
    if (names.empty()) {
        hub_.log(level::info, "secrets_need_no_restart");
        return;
    }
    const bool pepper = std::ranges::find(names, "CLAUDE_PROXY_KEY_PEPPER") != names.end();
    hub_.log(pepper ? level::error : level::warn, "secrets_need_restart",
             {{"names", list_of(names)},
              {"effect", pepper ? "not taken up; a start with another pepper ends all keys and changes the secrets of "
                                  "webhooks: put the old one back unless that is wanted"
                                : "not taken up: the ones in force stay until the next start"}});
}

}  // namespace app
