// Anthropic's error envelope (docs/protocol.md), as our own answers and our own `error` events carry it.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace anthropic {

// {"type":"error","error":{"type":T,"message":M,"details":{"reason":R}},"request_id":ID}, JSON-escaped.
std::string error_body(const base::error& error, std::string_view request_id);

// The same as a server-sent event: "event: error\ndata: {...}\n\n".
std::string error_event(const base::error& error, std::string_view request_id);

// The error inside of an envelope, as it stands there; what is no envelope is given back.
std::string_view error_in(std::string_view envelope);

// HTTP status for an `error.type` seen inside a stream before any content (docs/protocol.md); 500 for unknown types.
int status_of_type(std::string_view error_type);

// "event: ping\ndata: {\"type\": \"ping\"}\n\n"
std::string_view ping_event();

}  // namespace anthropic
