// A refusal in upstream's vocabulary. Thrown by handlers, turned into the error envelope by the request frame alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sim {

struct api_error {
    int status = 400;
    std::string type = "invalid_request_error";
    std::string message;
    std::optional<std::uint64_t> retry_after{};
    std::string should_retry{};
};

inline api_error invalid(std::string message) { return {.message = std::move(message)}; }
inline api_error not_found(std::string message) {
    return {.status = 404, .type = "not_found_error", .message = std::move(message)};
}

// The error type that upstream pairs with a status.
std::string_view error_type_of(int status);
std::string_view error_message_of(int status);

// {"type":"error","error":{…},"request_id":…}
std::string error_envelope(std::string_view type, std::string_view message, std::string_view request_id);

}  // namespace sim
