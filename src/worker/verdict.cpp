#include "worker/verdict.hpp"

#include <algorithm>

#include "anthropic/error_body.hpp"
#include "base/error.hpp"

namespace worker {
namespace {

std::optional<base::errc> kind_named(std::string_view reason) {
    if (reason.empty()) return std::nullopt;
    for (int i = 0; i <= static_cast<int>(base::errc_last); ++i) {
        const auto kind = static_cast<base::errc>(i);
        if (base::facts_of(kind).reason == reason) return kind;
    }
    return std::nullopt;
}

// No default: a new kind of error without a row is a warning.
fate fate_of_ours(base::errc kind) {
    using enum base::errc;
    switch (kind) {
        case shutting_down:
            return fate::handed_back;
        case requests_per_minute:
        case input_tokens_per_minute:
        case output_tokens_per_minute:
        case concurrent_requests:
        case budget_exhausted:
        case budget_contended:
        case budget_set_aside:
        case budget_unavailable:
        case ledger_full:
        case directory_stale:
        case database_unavailable:
        case too_many_connections:
        case in_flight_bytes_exhausted:
        case jobs_full:
        case jobs_unavailable:
        case resources_unavailable:
        case too_many_followers:
        case upstream_unresolved:  // nothing was sent: the upstream is away, as with a 529
        case upstream_connect_failed:
        case upstream_connect_timeout:
        case upstream_tls_failed:
            return fate::waiting;
        case request_timeout:
        case client_left:
        case slow_reader:
        case internal:
        case database_refused:
        case upstream_head_timeout:
        case upstream_first_content_timeout:
        case upstream_idle_timeout:
        case upstream_total_timeout:
        case upstream_cut:
        case upstream_protocol_error:
        case upstream_error_event:
        case upstream_unavailable:
        case job_failed:
            return fate::retry;
        case bad_framing:
        case head_too_large:
        case http_version_unsupported:
        case body_too_large:
        case invalid_json:
        case duplicate_field:
        case missing_field:
        case credential_missing:
        case credential_invalid:
        case credential_expired:
        case permission_denied:
        case model_not_allowed:
        case address_not_allowed:
        case idempotency_conflict:
        case invalid_argument:
        case not_found:
        case conflict:
        case route_unknown:
        case method_not_allowed:
        case job_not_found:
        case job_not_finished:
        case job_conflict:
        case job_cancelled:
        case job_expired:
            return fate::failed;
    }
    return fate::retry;
}

fate fate_of_status(int status) {
    if (status == 429 || status == 529) return fate::waiting;
    // 401: the credential that the upstream does not take is the operator's, not the job's; a dead job can be redriven.
    if (status == 401 || status == 408) return fate::retry;
    return status >= 400 && status < 500 ? fate::failed : fate::retry;
}

}  // namespace

fate fate_of(const attempt_facts& how) {
    if (how.complete) return fate::succeeded;
    if (const auto ours = kind_named(how.reason)) return fate_of_ours(*ours);
    const bool began = how.status == 200;
    if (began && how.type.empty()) return fate::retry;  // it just ended
    const fate by_status = fate_of_status(began ? anthropic::status_of_type(how.type) : how.status);
    return how.content && by_status == fate::waiting ? fate::retry : by_status;
}

std::int64_t run_after_of(const jobs::options& rules, const delay_facts& facts) {
    constexpr std::uint32_t doublings_max = 20;
    const std::int64_t first = std::max<std::int64_t>(rules.backoff_first.count(), 1);
    const std::int64_t longest = std::max<std::int64_t>(rules.backoff_max.count(), first);
    const double jitter = std::clamp(facts.jitter, 0.0, 1.0);
    double wait = 0;
    if (facts.retry_after && facts.retry_after->count() > 0) {
        wait = static_cast<double>(facts.retry_after->count()) * 1'000 * (1 + jitter / 10);
    } else {
        const std::uint32_t doublings = std::min(std::max(facts.attempt, 1u) - 1, doublings_max);
        wait =
            std::min(static_cast<double>(first) * static_cast<double>(1u << doublings), static_cast<double>(longest)) *
            (0.5 + jitter / 2);
    }
    const auto bounded = std::min(static_cast<std::int64_t>(wait), longest);
    return std::min(facts.now_ms + bounded, std::max(facts.expires_at_ms, facts.now_ms));
}

}  // namespace worker
