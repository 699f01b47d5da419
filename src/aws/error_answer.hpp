// What an answer that is no success says: the error's name and message, and whether the call may be tried again.
// Plain functions of bytes.
#pragma once

#include <string>
#include <string_view>

namespace aws {

struct error_answer {
    std::string code;     // without its namespace: "QueueDoesNotExist"; empty: the answer names none
    std::string message;  // one line of printable ASCII, at most message_bytes_max
    static constexpr std::size_t message_bytes_max = 300;
};

// JSON (`__type`, `message`) and XML (`<Code>`, `<Message>`) as the services write them; of anything else, such as the
// page of a proxy in between, the message is its beginning.
error_answer read_error(std::string_view body);

// Throttling, 5xx and what the services call their own fault.
bool is_retryable(long status, std::string_view code);
// The credentials were good once: others may be there by now.
bool is_of_old_credentials(std::string_view code);

}  // namespace aws
