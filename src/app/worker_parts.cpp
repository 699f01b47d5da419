#include "app/worker_parts.hpp"

#include <fmt/format.h>

#include "app/open_database.hpp"

namespace app {
namespace {

using telemetry::level;

constexpr std::string_view embedded = "embedded";

std::chrono::seconds hidden_for(const config::settings& settings) {
    return std::chrono::ceil<std::chrono::seconds>(settings.queue.hidden_for);
}

// Nobody is at the other end but ourselves: a job that waits for the database must not be taken for a slow client.
http::server_options inside(http::server_options outside) {
    outside.write_idle_timeout = std::chrono::hours(24);
    outside.body_idle_timeout = std::chrono::hours(24);
    return outside;
}

}  // namespace

worker_parts::worker_parts(const config::settings& settings, job_parts& jobs, std::string replica, bool works,
                           telemetry::hub& hub)
    : settings_(settings),
      replica_(std::move(replica)),
      store_(jobs.store()),
      hub_(hub),
      inside_(inside(settings.server)) {
    queue_ = queue::open(settings.queue);
    const bool heard = works || settings.queue.url != embedded;
    announcer_ = std::make_unique<worker::announcer>(
        store_, *queue_,
        worker::announcer::options{.rules = settings.jobs, .hidden_for = hidden_for(settings), .sends = heard}, hub);
    if (works) {
        pool_ = std::make_unique<worker::pool>(worker::pool::parts{.store = store_,
                                                                   .queue = *queue_,
                                                                   .courier = *announcer_,
                                                                   .rules = settings.jobs,
                                                                   .hidden_for = hidden_for(settings),
                                                                   .quota = quota_,
                                                                   .log = hub});
    }
    jobs.on_change([this](jobs::change::what kind, const std::string& job_id, job_parts::origin where) {
        on_change(kind, job_id, where);
    });
    if (!heard) {
        hub.log(level::info, "jobs_wait",
                {{"what", "this process carries no jobs out"},
                 {"cure", "run `claude-proxy worker` on the same database, or `serve --with-worker`"}});
    }
}

worker_parts::~worker_parts() { stop(); }

void worker_parts::on_change(jobs::change::what kind, const std::string& job_id, job_parts::origin where) {
    using what = jobs::change::what;
    // Of a job that came in elsewhere the queue tells one worker; all of them need not look.
    if (kind == what::submitted && where == job_parts::origin::this_replica) {
        announcer_->announce(job_id);
        if (pool_) pool_->look();  // nobody is nearer
    } else if (kind == what::cancel_asked && pool_) {
        pool_->cancel(job_id);
    }
}

void worker_parts::start(std::span<const seat> seats, http::server_load& load) {
    announcer_->start();
    if (!pool_) return;
    std::vector<worker::lane*> lanes;
    for (const auto& each : seats) {
        lanes_.push_back(worker::lane{.reactor = each.reactor,
                                      .parts = each.parts,
                                      .store = store_,
                                      .rules = settings_.jobs,
                                      .http = inside_,
                                      .load = load,
                                      .counts = shared_});
        lanes.push_back(&lanes_.back());
    }
    pool_->start(std::move(lanes));
    batches_ = std::make_unique<worker::batch_lane>(worker::batch_lane::parts{.reactor = seats.front().reactor,
                                                                              .gateway = seats.front().parts,
                                                                              .store = store_,
                                                                              .rules = settings_.jobs,
                                                                              .looks = settings_.resources,
                                                                              .database = settings_.database,
                                                                              .replica = replica_,
                                                                              .now = clock_ms});
    seats.front().reactor.post([this] { batches_->start(); });
    add_lane_metrics(hub_);
    hub_.log(level::info, "working",
             {{"concurrency", fmt::to_string(settings_.jobs.concurrency)},
              {"queue", settings_.queue.url == embedded ? std::string(embedded) : "sqs"}});
}

void worker_parts::stop_claiming() {
    if (pool_) pool_->stop_claiming();
    if (batches_) batches_->stop_gathering();
    announcer_->stop_looking();
}

void worker_parts::hand_back() {
    if (pool_) pool_->hand_back();
}

bool worker_parts::busy() const {
    if (batches_ && batches_->is_gathering()) return true;
    return pool_ && (pool_->running() > 0 || shared_.requests_under_way.load() > 0);
}

void worker_parts::stop() {
    if (pool_) pool_->stop();
    if (batches_) batches_->stop();
    announcer_->stop();
}

void worker_parts::add_metrics(telemetry::hub& hub) {
    const auto number = [](const auto& value) { return [&value] { return static_cast<double>(value.load()); }; };
    const auto& seen = announcer_->counts();
    hub.add_gauge("jobs", "Jobs of all replicas by status, as last counted.", number(seen.queued),
                  {"status", "queued"});
    hub.add_gauge("jobs", "", number(seen.running), {"status", "running"});
    hub.add_gauge("jobs", "", number(seen.dead), {"status", "dead"});
    hub.add_gauge("jobs_oldest_queued_seconds", "Age of the oldest queued job; 0: there is none.", [&seen] {
        const auto since = seen.oldest_queued_at.load();
        return since == 0 ? 0.0 : static_cast<double>(std::max<std::int64_t>(clock_ms() - since, 0)) / 1000;
    });
    hub.add_gauge("jobs_clock_ahead_seconds", "How far this process's clock is before the database's (PostgreSQL).",
                  [&seen] { return static_cast<double>(seen.clock_ahead_ms.load()) / 1000; });
    hub.add_gauge("queue_messages", "Messages in the queue, as last seen.", number(seen.queue_waiting),
                  {"state", "waiting"});
    hub.add_gauge("queue_messages", "", number(seen.queue_in_flight), {"state", "in_flight"});
    hub.add_gauge("queue_messages", "", number(seen.queue_dead), {"state", "dead"});
    const auto& queue = queue_->counts();
    hub.add_counter("queue_sent_total", "Jobs announced to the queue.", number(queue.sent));
    hub.add_counter("queue_received_total", "Messages received.", number(queue.received));
    hub.add_counter("queue_failures_total", "Calls of the queue that failed.", number(queue.failures));
    hub.add_counter("jobs_swept_total", "What sweeps of this replica found.", number(seen.requeued),
                    {"what", "lease_lost"});
    hub.add_counter("jobs_swept_total", "", number(seen.died), {"what", "dead"});
    hub.add_counter("jobs_swept_total", "", number(seen.expired), {"what", "expired"});
    hub.add_counter("jobs_swept_total", "", number(seen.deleted), {"what", "deleted"});
    hub.add_counter(
        "job_holds_repaired_total",
        "Budgets whose money for queued jobs and batches was wrong, and was put right by a sweep of this replica.",
        number(seen.holds_repaired));
    if (!pool_) return;
    const auto& counts = pool_->counts();
    hub.add_gauge("jobs_running_here", "Jobs that this process runs.",
                  [this] { return static_cast<double>(pool_->running()); });
    hub.add_gauge("jobs_log_bytes_waiting", "Bytes of events that are not committed yet.",
                  number(shared_.log_bytes_waiting));
    hub.add_counter("jobs_claimed_total", "Jobs claimed by this process.", number(counts.claimed));
    hub.add_histogram("job_start_seconds", "From a job's submit to its first claim.", counts.start_seconds);
    for (std::size_t i = 0; i < counts.endings.size(); ++i) {
        hub.add_counter("job_attempts_total", "Attempts of this process that the store has the end of, by outcome.",
                        number(counts.endings[i]),
                        {"outcome", std::string(worker::name_of(static_cast<jobs::ending::way>(i)))});
    }
    hub.add_counter("job_attempts_total", "", number(counts.leases_lost), {"outcome", "lost"});
    hub.add_counter("job_attempts_total", "", number(counts.abandoned), {"outcome", "abandoned"});
    constexpr const char* why = "Attempts that ended in waiting, by what they wait for.";
    hub.add_counter("job_waits_total", why, number(counts.waits_limit), {"for", "limit"});
    hub.add_counter("job_waits_total", why, number(counts.waits_budget), {"for", "budget"});
    hub.add_counter("job_waits_total", why, number(counts.waits_upstream), {"for", "upstream"});
    hub.add_counter("job_waits_total", why, number(counts.waits_gateway), {"for", "gateway"});
    hub.add_counter("job_claims_paused_total", "Claims put off because of the upstream's limits.",
                    number(counts.paused));
    hub.add_counter("upstream_refusals_total", "Answers of the upstream that said `not now`.",
                    [this] { return static_cast<double>(quota_.rate_limited()); }, {"status", "429"});
    hub.add_counter("upstream_refusals_total", "", [this] { return static_cast<double>(quota_.overloaded()); },
                    {"status", "529"});
}

void worker_parts::add_lane_metrics(telemetry::hub& hub) {
    const auto& counts = batches_->counts();
    const auto add = [&hub](std::string_view name, std::string_view help, const std::atomic<std::uint64_t>& count,
                            std::string_view label, std::string_view value) {
        hub.add_counter(std::string(name), std::string(help), [&count] { return static_cast<double>(count.load()); },
                        {std::string(label), std::string(value)});
    };
    add("job_batches_total", "Batches of the batch lane, by what became of them here.", counts.made, "outcome", "made");
    add("job_batches_total", "", counts.doubtful, "outcome", "doubtful");
    add("job_batches_total", "", counts.refused, "outcome", "refused");
    add("job_batches_total", "", counts.found_again, "outcome", "found_again");
    add("job_batches_total", "", counts.never_made, "outcome", "never_made");
    add("job_batches_total", "", counts.settled, "outcome", "settled");
    add("job_batches_total", "", counts.gone, "outcome", "gone");
    constexpr std::string_view help =
        "Requests in batches, by their result; dropped: nobody waited for it, or it came a second time.";
    add("job_batch_requests_total", help, counts.succeeded, "result", "succeeded");
    add("job_batch_requests_total", "", counts.errored, "result", "errored");
    add("job_batch_requests_total", "", counts.undone, "result", "undone");
    add("job_batch_requests_total", "", counts.dropped, "result", "dropped");
}

}  // namespace app
