// One request and its answer, as the endpoints of the gateway see it, and the parts of the gateway they work with.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "gateway/answer_book.hpp"
#include "gateway/count_tokens_limit.hpp"
#include "gateway/options.hpp"
#include "gateway/tenancy.hpp"
#include "http/connection.hpp"
#include "ledger/journal.hpp"
#include "resources/batch_book.hpp"
#include "resources/owners.hpp"
#include "telemetry/telemetry.hpp"
#include "upstream/client.hpp"
#include "upstream/quota.hpp"

namespace governance {
class arrived_money;  // job_holds.hpp
}

namespace gateway {

class model_list_cache;
struct job_desk;

// What one reactor's endpoints share. Built by app; everything referenced outlives every request.
struct service {
    const gateway::options& options;
    tenancy& who;
    ledger::lane& journal;
    upstream::client& upstream;
    telemetry::lane& lane;
    telemetry::hub& log;
    model_list_cache& models;
    answer_book& answers;
    count_tokens_limit& counting;
    resources::owners& owners;
    resources::batch_book& batches;
    upstream::quota* quota = nullptr;  // hears of the upstream's limits; null: nobody asks for them
    job_desk* jobs = nullptr;          // set before the first request
};

// The state of one request from its head to its log line; filled by the phases.
struct exchange {
    http::connection& client;
    telemetry::request_record record{};
    std::int64_t began_us = 0;  // monotonic; the request's first byte
    std::int64_t ready_us = 0;  // the whole request was here, before we worked on it
    std::string path{};         // normalised: one /v1 prefix, percent-decoded; what routes match
    bool head_method = false;   // HEAD: answers have no body
    bool http_1_0 = false;      // no chunked coding downstream
    bool counted = false;       // of a job: its submit was the request that a minute's limit counts
    bool answered = false;      // a final status was written, whole or in part
    http::body_reservation reservation{};
    std::shared_ptr<const governance::caller> caller{};  // set once the request is authenticated
    std::string limit_headers{};                         // the caller's own rate limits, for the answer
    std::shared_ptr<governance::arrived_money> money{};  // of a job's request: came with its claim, for its admission
    std::shared_ptr<recorded_answer> recording{};        // others with the same Idempotency-Key may want the answer
    std::function<void(std::string_view)> watch{};       // sees the answer's body as it comes from upstream
    std::string refused_because{};                       // the sentence of our own error, for the ledger

    std::uint64_t elapsed_us() const { return static_cast<std::uint64_t>(net::monotonic_us() - began_us); }
};

// The request line and headers for upstream, without framing, credential and blank line: everything verbatim except
// hop-by-hop fields, host, content-length, expect, accept-encoding (identity) and the caller's credential. Made now,
// because the head is gone after the first wait; our credential comes last, when the connection is there, because it
// may be rotated while a request waits.
std::string upstream_head(const http::request_head& head, upstream::client& upstream);

// The same for another target (path and query).
std::string upstream_head(const http::request_head& head, upstream::client& upstream, std::string_view target);

// "https://host" as the caller sees us: the TLS may end at a load balancer that says so. owned.cpp
std::string public_base(const exchange& x, const http::request_head& head);

// Milliseconds since 1970 at which the request began; the rules of keys, prices and budgets are those of this moment.
std::int64_t began_at_ms(const exchange& x);
// Milliseconds since 1970 now: the beginning, and what the monotonic clock says since. A body may take hours to come:
// money is held, and spent, in the period that it is held in.
std::int64_t now_at_ms(const exchange& x);

// Status line and headers of an answer that go on to the client: verbatim and in order, without hop-by-hop fields, the
// edge's own, the upstream's rate limits, cache-control and framing. Appended to `made`.
void append_passed_headers(exchange& x, const http::response_head& head, std::string& made);

// How long an answer is read on after its client has left. Others may wait for a recorded one.
milliseconds patience_after_leaving(const exchange& x, const service& s);

// Answers with one of our own errors in Anthropic's envelope, or notes it when an answer has begun or nobody listens.
net::task<void> refuse(exchange& x, base::error why);
// A complete answer of our own with a body.
net::task<void> answer(exchange& x, int status, std::string_view extra_headers, std::string_view content_type,
                       std::string_view body);

// Nine characters of the time in milliseconds and 15 random ones behind the prefix: later ids are greater.
std::string new_id(std::string_view prefix, std::chrono::system_clock::time_point at);
std::string new_request_id(std::chrono::system_clock::time_point at);  // behind "req_cp_"

}  // namespace gateway
