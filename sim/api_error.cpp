#include "api_error.hpp"

#include <fmt/format.h>

#include "text.hpp"

namespace sim {

std::string_view error_type_of(int status) {
    switch (status) {
        case 401:
            return "authentication_error";
        case 402:
            return "billing_error";
        case 403:
            return "permission_error";
        case 404:
            return "not_found_error";
        case 409:
            return "conflict_error";
        case 413:
            return "request_too_large";
        case 429:
            return "rate_limit_error";
        case 504:
            return "timeout_error";
        case 529:
            return "overloaded_error";
        default:
            return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

std::string_view error_message_of(int status) {
    switch (status) {
        case 401:
            return "invalid x-api-key";
        case 402:
            return "Your credit balance is too low to access the Anthropic API.";
        case 403:
            return "Your API key does not have permission to use the specified resource.";
        case 404:
            return "Not found";
        case 413:
            return "Request exceeds the maximum size";
        case 429:
            return "This request would exceed your organization's rate limit.";
        case 504:
            return "The request timed out";
        case 529:
            return "Overloaded";
        default:
            return status >= 500 ? "Internal server error" : "Invalid request";
    }
}

std::string error_envelope(std::string_view type, std::string_view message, std::string_view request_id) {
    return fmt::format(R"({{"type":"error","error":{{"type":{},"message":{}}},"request_id":{}}})", quote(type),
                       quote(message), quote_or_null(request_id));
}

}  // namespace sim
