// Submitting a durable job by `Prefer: respond-async` on POST /v1/messages (RFC 7240): the exact Messages body.
#pragma once

#include "gateway/exchange.hpp"

namespace gateway {

bool prefers_async(const http::request_head& head);

// The whole endpoint: a job with the defaults of POST /v1/jobs. The key needs the scope of jobs too.
net::task<void> submit_message(exchange& x, service& s, const http::request_head& head);

}  // namespace gateway
