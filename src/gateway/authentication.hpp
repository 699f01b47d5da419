// Who asks? The key or token of a request, looked up in memory. Only one that nobody knows yet is asked of the
// database, once, together with others.
#pragma once

#include "gateway/exchange.hpp"

namespace gateway {

// Sets x.caller. Errors: credential_missing, credential_invalid, credential_expired, permission_denied (an
// administrator's key), address_not_allowed, directory_stale, client_left, shutting_down.
// It may wait: `head` then points into `kept`, where a copy of it was made.
net::task<base::result<void>> authenticate(exchange& x, service& s, http::request_head& head, std::string& kept);

}  // namespace gateway
