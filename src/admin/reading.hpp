// Bytes from the network into paths and members, strictly: whatever two readers could understand differently is
// refused. Plain functions of bytes.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace admin {

// "/admin/v1/teams/a%20b" as {"admin", "v1", "teams", "a b"}. Errors: bad_framing (dot or empty segments, encoded
// slashes, control characters, bytes that are no UTF-8).
base::result<std::vector<std::string>> read_path(std::string_view path);

// "a=b&c=d%20e": every value is a text. Errors: invalid_argument, duplicate_field.
base::result<boost::json::object> read_query(std::string_view query);

// One JSON object, or nothing at all, which is an empty one. Errors: invalid_json (also for more than
// depth_max levels), duplicate_field (on any level).
base::result<boost::json::object> read_body(std::string_view text);

inline constexpr std::size_t body_bytes_max = 1 << 20;
inline constexpr std::size_t depth_max = 16;

}  // namespace admin
