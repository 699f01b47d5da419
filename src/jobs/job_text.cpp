#include "jobs/job_text.hpp"

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "anthropic/error_body.hpp"
#include "anthropic/json_text.hpp"
#include "base/time_text.hpp"

namespace jobs {
namespace {

std::string quoted(std::string_view text) {
    std::string made = "\"";
    anthropic::append_escaped(made, text);
    return made += '"';
}

std::string time_or_null(std::optional<time_ms> at) {
    return at ? '"' + base::time_text(*at) + '"' : std::string("null");
}

std::string_view stored_or_null(std::string_view json) { return json.empty() ? "null" : json; }

}  // namespace

std::string json_of(const summary& about) {
    std::string made = fmt::format(
        R"({{"id":{},"type":"job","status":"{}","lane":"{}","priority":{},"model":{},"key_id":{})", quoted(about.id),
        name_of(about.state), name_of(about.where), about.priority, quoted(about.model), quoted(about.who.key_id));
    fmt::format_to(std::back_inserter(made), R"(,"metadata":{},"attempt":{},"attempts_max":{},"cancel_requested":{})",
                   stored_or_null(about.metadata), about.attempt, about.attempts_max, about.cancel_asked);
    const bool waits = about.state == status::queued && about.run_after > 0;
    fmt::format_to(std::back_inserter(made),
                   R"(,"created_at":"{}","run_after":{},"started_at":{},"finished_at":{},"expires_at":"{}")",
                   base::time_text(about.created_at),
                   time_or_null(waits ? std::optional(about.run_after) : std::nullopt), time_or_null(about.started_at),
                   time_or_null(about.finished_at), base::time_text(about.expires_at));
    fmt::format_to(std::back_inserter(made), R"(,"webhook":{},"error":{},"usage":{})",
                   about.webhook_url.empty() ? "null" : fmt::format(R"({{"url":{}}})", quoted(about.webhook_url)),
                   stored_or_null(anthropic::error_in(about.error)), stored_or_null(about.usage));
    fmt::format_to(std::back_inserter(made),
                   R"(,"links":{{"events":"/v1/jobs/{0}/events","result":"/v1/jobs/{0}/result"}}}})", about.id);
    return made;
}

}  // namespace jobs
