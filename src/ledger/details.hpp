// The `details` of a ledger row: what is not summed up, as compact JSON. Absent members are empty, false or zero.
// Plain functions; any thread.
#pragma once

#include <string>

#include "ledger/record.hpp"

namespace ledger {

// Appends {"route":...,"stream":true,...}. Names: docs of the admin API's requests/{id}.
void append_details(std::string& to, const attempt_view& of);
void append_number(std::string& to, std::int64_t number);

}  // namespace ledger
