#include "worker/batch_lane_plan.hpp"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "anthropic/error_body.hpp"
#include "anthropic/event_log.hpp"
#include "anthropic/json_text.hpp"
#include "anthropic/message_events.hpp"
#include "anthropic/raw_json.hpp"
#include "worker/error_text.hpp"
#include "worker/verdict.hpp"

namespace worker {
namespace {

using base::errc;
using way = jobs::ending::way;

constexpr std::string_view default_version = "2023-06-01";

void fail_with(jobs::ending& job, base::error why) {
    job.reason = base::facts_of(why.kind).reason;
    job.error = anthropic::error_body(why, job.request_id);
}

// The answer as the events that a stream would have had, behind what an earlier attempt has left in the log.
bool put_events(jobs::ending& job, std::string_view message, std::uint64_t before) {
    const auto events = anthropic::events_of_message(message);
    if (!events) return false;
    anthropic::event_numbering numbering({.first_id = before + 1});
    if (before > 0) numbering.add(anthropic::restart_event(job.attempt, "retry"), job.last.bytes);
    if (!numbering.feed(*events, job.last.bytes)) {
        job.last.bytes.clear();
        return false;
    }
    numbering.end_stream(job.last.bytes);
    job.last.first_id = before + 1;
    job.last.last_id = numbering.next_id() - 1;
    return true;
}

void retry_by_type(jobs::ending& job, std::string_view envelope, const jobs::options& rules, jobs::time_ms now,
                   double jitter) {
    const error_text said = read_error(envelope);
    job.reason = said.type;
    if (said.is_envelope) {
        job.error = envelope;
    } else {
        fail_with(job, {errc::upstream_protocol_error, "The batch gave the request an error that cannot be read."});
    }
    switch (fate_of(
        {.complete = false, .content = false, .status = 200, .type = said.type, .reason = {}, .retry_after = {}})) {
        case fate::failed:
            job.how = way::failed;
            return;
        case fate::waiting:
            job.how = way::waiting;
            break;
        default:
            job.how = way::retry;
            break;
    }
    job.run_after = run_after_of(rules, {.attempt = job.attempt,
                                         .retry_after = {},
                                         .now_ms = now,
                                         .expires_at_ms = std::numeric_limits<jobs::time_ms>::max(),
                                         .jitter = jitter});
}

}  // namespace

bool is_batch_due(const jobs::options& rules, const waiting_jobs& of, jobs::time_ms now) {
    if (of.count == 0) return false;
    return of.count >= rules.batch_count_min || of.bytes >= rules.batch_bytes_max ||
           now - of.since >= rules.batch_age_max.count();
}

std::string custom_id_of(std::string_view job_id, std::uint32_t attempt) {
    return fmt::format("{}-{}", job_id, attempt);
}

std::optional<std::pair<std::string, std::uint32_t>> read_custom_id(std::string_view custom_id) {
    const auto dash = custom_id.rfind('-');
    if (dash == custom_id.npos || dash == 0) return std::nullopt;
    const auto digits = custom_id.substr(dash + 1);
    std::uint32_t attempt = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), attempt);
    if (read.ec != std::errc() || read.ptr != digits.data() + digits.size()) return std::nullopt;
    return std::pair(std::string(custom_id.substr(0, dash)), attempt);
}

std::string batch_headers(std::string_view stored) {
    std::string version(default_version), beta;
    for (anthropic::raw_cursor member(stored); member.next();) {
        auto value = anthropic::decode_string(member.value()).value_or(std::string());
        if (member.is("anthropic-version") && !value.empty()) version = std::move(value);
        if (member.is("anthropic-beta")) beta = std::move(value);
    }
    std::string made = fmt::format("anthropic-version: {}\r\n", version);
    if (!beta.empty()) made += fmt::format("anthropic-beta: {}\r\n", beta);
    return made;
}

jobs::ending ending_of(const job_facts& of, const request_outcome& how, const jobs::options& rules, jobs::time_ms now,
                       double jitter) {
    jobs::ending job;
    job.id = of.id;
    job.attempt = of.attempt;
    job.request_id = of.request_id;
    if (how.kind == "succeeded" && put_events(job, how.body, of.events)) {
        job.how = way::succeeded;
        job.result = how.body;
        job.usage = usage_of(job.result);
    } else if (how.kind == "succeeded") {
        job.how = way::retry;
        job.run_after = now;
        fail_with(job, {errc::upstream_protocol_error, "The message in the batch's result cannot be read."});
    } else if (how.kind == "errored") {
        retry_by_type(job, how.body, rules, now, jitter);
    } else if (rules.batch_expired_fails) {
        job.how = way::failed;
        fail_with(job, {errc::job_expired, "The batch ended before the request was carried out."});
    } else {
        job.how = way::waiting;
        job.run_after = now;
        job.where = jobs::lane::realtime;
        job.reason = how.kind.empty() ? "no_result" : how.kind;
    }
    return job;
}

}  // namespace worker
