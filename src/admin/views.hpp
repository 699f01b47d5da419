// What the admin API shows of teams, keys, limits, budgets and the audit log. Times are RFC 3339 in UTC, money is
// dollars as a decimal text with the exact pico-dollars beside it. Never a secret. Plain functions of values.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "admin/endpoint.hpp"

namespace admin {

boost::json::object view_of(const governance::team& what);
// `team_name` of its team.
boost::json::object view_of(const governance::key& what, std::string_view team_name);
boost::json::object view_of(const governance::key_secret& what);
// `scope_name`: the name of the team or key that it applies to; empty for root.
boost::json::object view_of(const governance::limit& what, std::string_view scope_name);
boost::json::object view_of(const governance::budget& what, std::string_view scope_name, base::pico_dollars spent,
                            governance::time_ms now);
boost::json::object view_of(const governance::audit_entry& what);

boost::json::value time_value(std::optional<governance::time_ms> at);  // null for none
boost::json::array array_of(std::span<const std::string> texts);

// {"data":[...],"has_more":...,"last_id":...}; `last_id` is what `after_id` of the next page takes, null when empty.
boost::json::object page_of(boost::json::array entries, bool has_more, boost::json::value last_id);

reply reply_of(const boost::json::object& view, int status = 200);
// The same for a call that changed who may do what.
reply changed(const boost::json::object& view, int status = 200);

}  // namespace admin
