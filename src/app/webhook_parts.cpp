#include "app/webhook_parts.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace app {
namespace {

using telemetry::level;

jobs::webhook_rules rules_of(const config::settings& settings) {
    auto read = jobs::webhook_rules::read(settings.webhooks);
    if (!read) throw std::runtime_error("CLAUDE_PROXY_WEBHOOK_ALLOW: " + read.error().detail);
    return std::move(*read);
}

}  // namespace

webhook_parts::webhook_parts(const config::settings& settings, const governance::key_hasher& hasher,
                             telemetry::hub& hub)
    : settings_(settings), hasher_(hasher), hub_(hub), rules_(rules_of(settings)) {}

void webhook_parts::start(std::string replica) {
    worker::webhook_reports reports;
    reports.on_report = [this](const worker::webhook_report& what) { report(what); };
    reports.on_outage = [this](std::string_view why) {
        hub_.log(level::error, "webhooks_waiting",
                 {{"what", std::string(why)}, {"effect", "webhooks wait until the database is back"}});
    };
    reports.on_recovery = [this] { hub_.log(level::info, "webhooks_recovered"); };
    running_ = std::make_unique<worker::webhooks>(settings_.database, settings_.webhooks, rules_, hasher_,
                                                  std::move(replica), std::move(reports));
    const auto read = [&counts = running_->counts()](auto member) {
        return [&counts, member] { return static_cast<double>((counts.*member).load()); };
    };
    using counts = worker::webhook_counts;
    hub_.add_counter("webhooks_delivered_total", "Webhooks delivered.", read(&counts::delivered));
    hub_.add_counter("webhook_failures_total", "Tries to deliver a webhook that failed.", read(&counts::failed));
    hub_.add_counter("webhooks_given_up_total", "Webhooks given up: they can be replayed.", read(&counts::given_up));
    hub_.add_gauge("webhooks_waiting", "Webhooks in the database that are to be delivered, of all replicas.",
                   read(&counts::waiting));
    hub_.add_gauge("webhooks_under_way", "Webhooks being sent now.", read(&counts::under_way));
    hub_.add_gauge("webhook_breakers_open", "Endpoints that are left alone for a time because they failed.",
                   read(&counts::breakers_open));
}

void webhook_parts::stop() {
    if (running_) running_->stop();
}

void webhook_parts::wake() {
    if (running_) running_->wake();
}

// Never the URL: its path or query may be a secret of the receiver.
void webhook_parts::report(const worker::webhook_report& what) {
    using enum worker::webhook_report::what;
    const std::string team(what.team_id), endpoint(what.endpoint), error(what.error);
    switch (what.event) {
        case breaker_opened:
            hub_.log(level::warn, "webhook_breaker_opened",
                     {{"team_id", team}, {"endpoint", endpoint}, {"why", error}});
            return;
        case breaker_closed:
            hub_.log(level::info, "webhook_breaker_closed", {{"team_id", team}, {"endpoint", endpoint}});
            return;
        case delivered:
        case failed:
        case given_up:
            break;
    }
    const bool well = what.event == delivered;
    hub_.log(well ? level::info : level::warn,
             well                     ? "webhook_delivered"
             : what.event == given_up ? "webhook_given_up"
                                      : "webhook_failed",
             {{"id", std::string(what.id)},
              {"job_id", std::string(what.job_id)},
              {"team_id", team},
              {"endpoint", endpoint},
              {"tries", fmt::to_string(what.tries)},
              {"status", fmt::to_string(what.status)},
              {"error", error}});
}

}  // namespace app
