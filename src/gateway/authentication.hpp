// Who asks? The key or token of a request, looked up in memory. Only one that nobody knows yet is asked of the
// database, once, together with others.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "gateway/exchange.hpp"

namespace gateway {

// The head of a request that has to wait, in memory of its own.
struct kept_head {
    std::string bytes;
    http::request_head head;
};

// Sets x.caller. Errors: credential_missing, credential_invalid, credential_expired, permission_denied (an
// administrator's key), address_not_allowed, directory_stale, client_left, shutting_down.
// It may wait: `head` then points into `kept`, because the one that was given is everybody's: the next request of the
// reactor is read into it.
net::task<base::result<void>> authenticate(exchange& x, service& s, const http::request_head*& head,
                                           std::unique_ptr<kept_head>& kept);

// Why a caller that is known is let through nowhere. Nothing: it may be.
std::optional<base::error> unread_rule_refusal(const governance::caller& who);

// What is wrong with a key that was found so; `known` is not asked.
base::error refusal_of(governance::finding what);

}  // namespace gateway
