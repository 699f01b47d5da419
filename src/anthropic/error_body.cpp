#include "anthropic/error_body.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "anthropic/json_text.hpp"
#include "anthropic/raw_json.hpp"

namespace anthropic {
namespace {

// What a client reads when the place of the error had nothing better to say.
std::string_view sentence(base::errc kind) {  // no default: a new kind without a sentence is a warning
    using enum base::errc;
    switch (kind) {
        case bad_framing:
            return "The request is not well-formed HTTP/1.1, so its end cannot be known for sure.";
        case head_too_large:
            return "The request line and headers are too large.";
        case http_version_unsupported:
            return "This HTTP version is not supported; use HTTP/1.1.";
        case request_timeout:
            return "The request did not arrive in time.";
        case body_too_large:
            return "The request body is larger than this route accepts.";
        case invalid_json:
            return "The request body is not valid JSON.";
        case duplicate_field:
            return "A field occurs more than once in the request body.";
        case missing_field:
            return "A required field is missing in the request body.";
        case credential_missing:
            return "No credential was sent; put your key into `x-api-key` or `authorization: Bearer`.";
        case credential_invalid:
            return "The credential is not valid here.";
        case credential_expired:
            return "The key has expired or was revoked.";
        case permission_denied:
            return "The key may not do this.";
        case model_not_allowed:
            return "The key may not use this model.";
        case address_not_allowed:
            return "The key may not be used from this address.";
        case idempotency_conflict:
            return "The same Idempotency-Key was used with another body.";
        case invalid_argument:
            return "A member of the request is not as it must be.";
        case not_found:
            return "There is no such thing.";
        case conflict:
            return "The name is taken.";
        case job_not_found:
            return "There is no such job.";
        case job_not_finished:
            return "The job has not ended yet.";
        case job_conflict:
            return "The job's state does not allow that.";
        case job_failed:
            return "The job has failed.";
        case job_cancelled:
            return "The job was cancelled.";
        case job_expired:
            return "The job was not started before it expired.";
        case jobs_full:
            return "The team has as many queued and running jobs as it may.";
        case requests_per_minute:
            return "The limit of requests per minute is reached.";
        case input_tokens_per_minute:
            return "The limit of input tokens per minute is reached.";
        case output_tokens_per_minute:
            return "The limit of output tokens per minute is reached.";
        case concurrent_requests:
            return "The limit of concurrent requests is reached.";
        case budget_exhausted:
            return "The budget is exhausted.";
        case budget_contended:
            return "The rest of the budget is held by requests under way; try again shortly.";
        case budget_set_aside:
            return "The rest of the budget is held for queued jobs and batches.";
        case budget_unavailable:
            return "The budget cannot be read at the moment; try again shortly.";
        case ledger_full:
            return "The gateway cannot account for more requests at the moment; try again shortly.";
        case directory_stale:
            return "The gateway has not been able to look at its keys for too long; try again shortly.";
        case database_unavailable:
            return "The gateway's database cannot be reached; try again shortly.";
        case database_refused:
            return "The gateway's database refused this; the gateway's log says why.";
        case jobs_unavailable:
            return "Jobs cannot be stored or read at the moment; try again shortly.";
        case too_many_followers:
            return "The gateway has as many followers of jobs as it may; try again shortly.";
        case resources_unavailable:
            return "Whose this is cannot be looked up at the moment; try again shortly.";
        case route_unknown:
            return "There is nothing at this path.";
        case method_not_allowed:
            return "This path does not answer to that method.";
        case client_left:
            return "The client closed the connection before the answer was complete.";
        case slow_reader:
            return "The client read the answer too slowly.";
        case too_many_connections:
            return "The gateway has too many connections open; try again shortly.";
        case in_flight_bytes_exhausted:
            return "The gateway holds too many request bytes at the moment; try again shortly.";
        case shutting_down:
            return "The gateway is shutting down; try again shortly.";
        case internal:
            return "Something went wrong inside the gateway.";
        case upstream_unresolved:
            return "The name of the upstream could not be resolved.";
        case upstream_connect_failed:
            return "The upstream could not be reached.";
        case upstream_connect_timeout:
            return "The upstream did not accept a connection in time.";
        case upstream_tls_failed:
            return "No trusted TLS connection to the upstream could be made.";
        case upstream_head_timeout:
            return "The upstream did not begin to answer in time.";
        case upstream_first_content_timeout:
            return "The upstream began its answer but sent no content in time.";
        case upstream_idle_timeout:
            return "The upstream fell silent in the middle of its answer.";
        case upstream_total_timeout:
            return "The answer took longer than the gateway allows.";
        case upstream_cut:
            return "The upstream closed the connection before its answer was complete.";
        case upstream_protocol_error:
            return "The upstream's answer is not well-formed HTTP.";
        case upstream_error_event:
            return "The upstream reported an error before any content.";
        case upstream_unavailable:
            return "The upstream is not available at the moment.";
    }
    return "Something went wrong inside the gateway.";
}

}  // namespace

std::string error_body(const base::error& error, std::string_view request_id) {
    const auto facts = base::facts_of(error.kind);
    std::string body = fmt::format(R"({{"type":"error","error":{{"type":"{}","message":")", facts.type);
    append_escaped(body, error.detail.empty() ? sentence(error.kind) : error.detail);
    body += fmt::format(R"(","details":{{"reason":"{}"}}}},"request_id":)", facts.reason);
    if (request_id.empty()) {
        body += "null}";
        return body;
    }
    body += '"';
    append_escaped(body, request_id);
    body += "\"}";
    return body;
}

std::string error_event(const base::error& error, std::string_view request_id) {
    return fmt::format("event: error\ndata: {}\n\n", error_body(error, request_id));
}

std::string_view error_in(std::string_view envelope) { return find_member(envelope, "error").value_or(envelope); }

int status_of_type(std::string_view error_type) {
    static constexpr std::pair<std::string_view, int> statuses[] = {
        {"invalid_request_error", 400}, {"authentication_error", 401}, {"billing_error", 402},
        {"permission_error", 403},      {"not_found_error", 404},      {"conflict_error", 409},
        {"request_too_large", 413},     {"rate_limit_error", 429},     {"api_error", 500},
        {"timeout_error", 504},         {"overloaded_error", 529},
    };
    const auto* const found = std::ranges::find(statuses, error_type, &std::pair<std::string_view, int>::first);
    return found == std::end(statuses) ? 500 : found->second;
}

std::string_view ping_event() { return "event: ping\ndata: {\"type\": \"ping\"}\n\n"; }

}  // namespace anthropic
