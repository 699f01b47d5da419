#include "app/job_parts.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace app {
namespace {

using telemetry::level;
using what = jobs::change::what;

constexpr std::string_view channel_name = "claude-proxy:jobs";

// On the channel a change is a letter and the job's id.
constexpr std::pair<char, what> letters[] = {
    {'s', what::submitted}, {'l', what::log}, {'e', what::state}, {'c', what::cancel_asked}};

std::string line_of(const jobs::change& news) {
    for (const auto& [letter, kind] : letters)
        if (kind == news.kind) return letter + news.id;
    return {};
}

}  // namespace

job_parts::job_parts(const config::settings& settings, std::string replica, const jobs::webhook_rules& webhooks,
                     telemetry::hub& hub)
    : settings_(settings),
      hub_(hub),
      store_(std::make_unique<jobs::store>(settings.database, settings.jobs, std::move(replica))),
      tail_(std::make_unique<jobs::tail>(*store_, settings.jobs)),
      desk_(new gateway::job_desk{.store = *store_, .tail = *tail_, .rules = settings.jobs, .webhooks = webhooks}) {
    store_->on_change([this](const jobs::change& news) {
        if (news.kind == what::state && jobs::is_final(news.state)) ++ended_[static_cast<std::size_t>(news.state)];
        tail_->on_change(news);
        for (const auto& also : listeners_) also(news.kind, news.id, origin::this_replica);
        if (channel_) channel_->say(line_of(news));
    });
    store_->on_database([&hub](bool reachable, const std::string& why) {
        if (reachable) {
            hub.log(level::info, "jobs_recovered");
        } else {
            hub.log(level::error, "jobs_unreachable",
                    {{"what", why}, {"effect", "no job is taken or moved on until the database is back"}});
        }
    });
    store_->on_refusal([&hub](const std::string& why) {
        hub.log(level::error, "jobs_refused",
                {{"what", why}, {"effect", "a job was not stored, moved on or read; the database answers"}});
    });
}

job_parts::~job_parts() { finish(); }

void job_parts::start() {
    if (settings_.redis.url.empty()) return;
    auto where = redis::address_of(settings_.redis);
    if (!where) throw std::runtime_error(where.error().detail);
    redis::channel::listeners tell;
    tell.heard = [this](std::string_view line) { heard(line); };
    tell.report = [this](bool connected, std::string_view why) {
        tail_->rely_on_wakes(connected);
        if (connected) {
            hub_.log(level::info, "job_news_available", {{"changes", "told by Redis"}});
        } else {
            hub_.log(level::warn, "job_news_unavailable",
                     {{"what", std::string(why)}, {"changes", "looked for in the database until Redis is back"}});
        }
    };
    channel_ = std::make_unique<redis::channel>(settings_.redis, *where, std::string(channel_name), std::move(tell));
}

void job_parts::heard(std::string_view line) {
    for (const auto& [letter, kind] : letters) {
        if (!line.starts_with(letter)) continue;
        line.remove_prefix(1);
        if (kind == what::log || kind == what::state) tail_->wake(line);
        for (const auto& also : listeners_) also(kind, std::string(line), origin::another);
        return;
    }
}

void job_parts::finish() {
    if (!store_) return;
    tail_->stop();
    store_.reset();
    if (channel_) channel_->stop();  // it stays: its counts are in the last scrape
}

void job_parts::add_metrics(telemetry::hub& hub) {
    const auto of = [](const std::atomic<std::uint64_t>& count) {
        return [&count] { return static_cast<double>(count.load()); };
    };
    hub.add_counter("jobs_submitted_total", "Jobs taken.", of(desk_->submitted));
    hub.add_counter("jobs_repeated_total", "Submits that named a job again by its Idempotency-Key.",
                    of(desk_->repeated));
    hub.add_counter("jobs_refused_total", "Submits that were refused.", of(desk_->refused));
    for (std::size_t i = 0; i < ended_.size(); ++i) {
        const auto state = static_cast<jobs::status>(i);
        if (!jobs::is_final(state)) continue;
        hub.add_counter("jobs_ended_total", "Jobs whose end this replica has written, by their status.", of(ended_[i]),
                        {"status", std::string(jobs::name_of(state))});
    }
    const auto& tail = tail_->counted();
    hub.add_gauge("job_followers", "Open event streams of jobs and waits for their end.", of(tail.followers));
    hub.add_gauge("job_followed", "Jobs that are followed.", of(tail.jobs));
    hub.add_gauge("job_tail_bytes", "Newest pieces of followed logs, kept in memory.", of(tail.kept_bytes));
    hub.add_counter("job_looks_total", "Calls of the database for changes of followed jobs.", of(tail.looks));
    hub.add_counter("job_replays_total", "Calls of the database for followers that are behind.", of(tail.replays));
    if (!channel_) return;
    hub.add_counter("job_news_said_total", "Changes of jobs told to other replicas.", of(channel_->counted().said));
    hub.add_counter("job_news_heard_total", "Changes of jobs that other replicas told.", of(channel_->counted().heard));
}

}  // namespace app
