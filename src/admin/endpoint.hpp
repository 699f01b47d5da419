// The endpoints of the admin API: functions of a request that was read in full, run on a thread that may block.
//
// One file a group (teams.cpp, keys.cpp, ...), one table (routes.cpp). The command line calls the same functions
// without HTTP (app/administer.hpp), so that both accept the same things and refuse them in the same words. Thread
// rule: each call belongs to one thread, the one of its connection.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "database/connection.hpp"
#include "governance/administration.hpp"
#include "jobs/store.hpp"
#include "pricing/pricing.hpp"

namespace admin {

// What was asked. `members` are those of the body's JSON object, or of the query: then every value is a text.
struct request {
    std::vector<std::string> path{};  // what stands for each "{}" of the route
    boost::json::object members{};
    bool from_query = false;
    governance::actor by{};
};

struct reply {
    int status = 200;
    std::string_view content_type = "application/json";
    std::string body{};
    bool changed = false;  // who may do what is another than before: directories must look
};

// What endpoints work with. The connection and the administration are the thread's own.
struct workbench {
    database::connection& on;
    governance::administration& tenants;
    governance::time_ms (*now)();
    const pricing::price_table* prices = nullptr;  // in force; null where nobody needs them
    std::function<std::string()> config{};         // the settings in force as a JSON object, secrets as ***
    std::function<jobs::store&()> jobs{};          // made when it is first asked for
};

// Outcomes that depend on the input are values; database::failure when there is no database.
using endpoint = base::result<reply> (*)(const request&, workbench&);

struct route {
    std::string_view method;
    std::string_view pattern;  // "{}" stands for one path segment
    governance::role least;    // viewer: everybody who may ask here at all
    endpoint run;
    bool reads_much = false;  // may take longer than others
};

struct routed {
    const route* row = nullptr;       // nullptr: no row has this path
    bool method_not_allowed = false;  // a row has the path, none the method
    std::vector<std::string> path{};  // what stands for each "{}"
};

// `path` is decoded and split at its slashes, without an empty first segment. HEAD finds the row of GET.
routed find_route(std::string_view method, std::span<const std::string> path);

}  // namespace admin
