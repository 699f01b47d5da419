// What can go wrong, as values.
//
// An outcome the next caller branches on is a `result<T>`; anything that makes the work pointless (a bug, no memory)
// is an exception. One table, `facts_of`, gives everything else that is known about a kind: there is no second list
// of statuses. Thread rule: values, free to copy and to pass between threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace base {

// The name of an enumerator is the stable `error.details.reason` that clients and operators see.
enum class errc : std::uint8_t {
    // The client's request.
    bad_framing,
    head_too_large,
    http_version_unsupported,
    request_timeout,
    body_too_large,
    invalid_json,
    duplicate_field,
    missing_field,
    credential_missing,
    credential_invalid,
    credential_expired,
    permission_denied,
    model_not_allowed,
    address_not_allowed,
    idempotency_conflict,
    invalid_argument,
    not_found,
    conflict,
    route_unknown,
    method_not_allowed,
    client_left,
    slow_reader,
    // Jobs.
    job_not_found,
    job_not_finished,
    job_conflict,
    job_failed,
    job_cancelled,
    job_expired,
    jobs_full,
    // The caller's limits and budgets.
    requests_per_minute,
    input_tokens_per_minute,
    output_tokens_per_minute,
    concurrent_requests,
    budget_exhausted,
    budget_contended,
    budget_set_aside,
    // Our own limits and state.
    budget_unavailable,
    ledger_full,
    directory_stale,
    database_unavailable,
    database_refused,
    jobs_unavailable,
    too_many_followers,
    resources_unavailable,
    too_many_connections,
    in_flight_bytes_exhausted,
    shutting_down,
    internal,
    // The upstream.
    upstream_unresolved,
    upstream_connect_failed,
    upstream_connect_timeout,
    upstream_tls_failed,
    upstream_head_timeout,
    upstream_first_content_timeout,
    upstream_idle_timeout,
    upstream_total_timeout,
    upstream_cut,
    upstream_protocol_error,
    upstream_error_event,
    upstream_unavailable,
};

inline constexpr errc errc_last = errc::upstream_unavailable;  // for loops over all kinds

// Who has to change something so that it stops happening.
enum class fault : std::uint8_t { client, ours, upstream };

struct error_facts {
    int status;               // HTTP status of our own answer; 499 is never sent, only logged
    std::string_view type;    // `error.type` of Anthropic's envelope (docs/protocol.md, errors)
    std::string_view reason;  // `error.details.reason`, the enumerator's name
    fault whose;
    bool client_may_retry;  // false adds `x-should-retry: false`, which the SDKs obey
};

constexpr error_facts facts_of(errc kind);

struct error {
    errc kind;
    std::string detail{};                 // a sentence for the client and the log; never a secret, never body text
    std::chrono::seconds retry_after{0};  // 0: no `retry-after` header
};

template <class T>
using result = std::expected<T, error>;

inline std::unexpected<error> fail(errc kind, std::string detail = {}, std::chrono::seconds retry_after = {}) {
    return std::unexpected(error{kind, std::move(detail), retry_after});
}

constexpr error_facts facts_of(errc kind) {  // no default: a new kind without a row is a warning
    using enum errc;
    constexpr std::string_view invalid = "invalid_request_error", auth = "authentication_error", api = "api_error",
                               tmo = "timeout_error", overloaded = "overloaded_error", permission = "permission_error",
                               limited = "rate_limit_error";
    // clang-format off: one row a kind
    switch (kind) {
        case bad_framing: return {400, invalid, "bad_framing", fault::client, false};
        case head_too_large: return {431, invalid, "head_too_large", fault::client, false};
        case http_version_unsupported: return {505, invalid, "http_version_unsupported", fault::client, false};
        case request_timeout: return {408, tmo, "request_timeout", fault::client, true};
        case body_too_large: return {413, "request_too_large", "body_too_large", fault::client, false};
        case invalid_json: return {400, invalid, "invalid_json", fault::client, false};
        case duplicate_field: return {400, invalid, "duplicate_field", fault::client, false};
        case missing_field: return {400, invalid, "missing_field", fault::client, false};
        case credential_missing: return {401, auth, "credential_missing", fault::client, false};
        case credential_invalid: return {401, auth, "credential_invalid", fault::client, false};
        case credential_expired: return {401, auth, "credential_expired", fault::client, false};
        case permission_denied: return {403, permission, "permission_denied", fault::client, false};
        case model_not_allowed: return {403, permission, "model_not_allowed", fault::client, false};
        case address_not_allowed: return {403, permission, "address_not_allowed", fault::client, false};
        case idempotency_conflict: return {409, "conflict_error", "idempotency_conflict", fault::client, false};
        case invalid_argument: return {400, invalid, "invalid_argument", fault::client, false};
        case not_found: return {404, "not_found_error", "not_found", fault::client, false};
        case conflict: return {409, "conflict_error", "conflict", fault::client, false};
        case route_unknown: return {404, "not_found_error", "route_unknown", fault::client, false};
        case method_not_allowed: return {405, invalid, "method_not_allowed", fault::client, false};
        case client_left: return {499, api, "client_left", fault::client, true};
        case slow_reader: return {499, api, "slow_reader", fault::client, true};
        case job_not_found: return {404, "not_found_error", "job_not_found", fault::client, false};
        case job_not_finished: return {409, "conflict_error", "job_not_finished", fault::client, true};
        case job_conflict: return {409, "conflict_error", "job_conflict", fault::client, false};
        case job_failed: return {502, api, "job_failed", fault::upstream, false};
        case job_cancelled: return {409, "conflict_error", "job_cancelled", fault::client, false};
        case job_expired: return {504, tmo, "job_expired", fault::client, false};
        case jobs_full: return {429, limited, "jobs_full", fault::client, true};
        case requests_per_minute: return {429, limited, "requests_per_minute", fault::client, true};
        case input_tokens_per_minute: return {429, limited, "input_tokens_per_minute", fault::client, true};
        case output_tokens_per_minute: return {429, limited, "output_tokens_per_minute", fault::client, true};
        case concurrent_requests: return {429, limited, "concurrent_requests", fault::client, true};
        case budget_exhausted: return {429, "billing_error", "budget_exhausted", fault::client, false};
        case budget_contended: return {429, limited, "budget_contended", fault::client, true};
        case budget_set_aside: return {429, "billing_error", "budget_set_aside", fault::client, false};
        case budget_unavailable: return {529, overloaded, "budget_unavailable", fault::ours, true};
        case ledger_full: return {529, overloaded, "ledger_full", fault::ours, true};
        case directory_stale: return {529, overloaded, "directory_stale", fault::ours, true};
        case database_unavailable: return {503, api, "database_unavailable", fault::ours, true};
        case database_refused: return {500, api, "database_refused", fault::ours, true};
        case jobs_unavailable: return {529, overloaded, "jobs_unavailable", fault::ours, true};
        case too_many_followers: return {529, overloaded, "too_many_followers", fault::ours, true};
        case resources_unavailable: return {503, api, "resources_unavailable", fault::ours, true};
        case too_many_connections: return {529, overloaded, "too_many_connections", fault::ours, true};
        case in_flight_bytes_exhausted: return {529, overloaded, "in_flight_bytes_exhausted", fault::ours, true};
        case shutting_down: return {529, overloaded, "shutting_down", fault::ours, true};
        case internal: return {500, api, "internal", fault::ours, true};
        case upstream_unresolved: return {502, api, "upstream_unresolved", fault::upstream, true};
        case upstream_connect_failed: return {502, api, "upstream_connect_failed", fault::upstream, true};
        case upstream_connect_timeout: return {504, tmo, "upstream_connect_timeout", fault::upstream, true};
        case upstream_tls_failed: return {502, api, "upstream_tls_failed", fault::upstream, true};
        case upstream_head_timeout: return {504, tmo, "upstream_head_timeout", fault::upstream, true};
        case upstream_first_content_timeout: return {504, tmo, "upstream_first_content_timeout", fault::upstream, true};
        case upstream_idle_timeout: return {504, tmo, "upstream_idle_timeout", fault::upstream, true};
        case upstream_total_timeout: return {504, tmo, "upstream_total_timeout", fault::upstream, true};
        case upstream_cut: return {502, api, "upstream_cut", fault::upstream, true};
        case upstream_protocol_error: return {502, api, "upstream_protocol_error", fault::upstream, true};
        case upstream_error_event: return {529, overloaded, "upstream_error_event", fault::upstream, true};
        case upstream_unavailable: return {502, api, "upstream_unavailable", fault::upstream, true};
    }
    // clang-format on
    return {500, api, "internal", fault::ours, true};
}

}  // namespace base
