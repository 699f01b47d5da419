// A whole Messages answer as the stream that would have given it: for jobs whose answer came in one piece out of a
// batch, so that who follows such a job sees what any other job shows. One delta a text, thinking or input; every value
// keeps its spelling. Put together again (message_assembly.hpp) the events are the same message.
//
// Plain functions of bytes: no I/O, no clock, free to call from any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace anthropic {

// message_start to message_stop, without ids. Errors: upstream_protocol_error (no JSON object with a list of blocks).
base::result<std::string> events_of_message(std::string_view message);

}  // namespace anthropic
