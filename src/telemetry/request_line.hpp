// The log line of a finished request, and how loud it is. Plain functions of a record.
#pragma once

#include <string>

#include "telemetry/telemetry.hpp"

namespace telemetry {

// Warn when something has to change on our side or the upstream's: a status of 500 or more, or a reason whose fault is
// not the client's. Else info.
level severity_of(const request_record& finished);

// format_request of telemetry.hpp, appended and with the newline: the writer gathers many lines in one string.
void append_request(std::string& out, const request_record& finished, format form);

}  // namespace telemetry
