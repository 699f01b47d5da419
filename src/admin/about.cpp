// What is in force on this replica: /admin/v1/prices, /admin/v1/config.
#include <boost/json/string.hpp>

#include "admin/endpoint.hpp"
#include "admin/members.hpp"
#include "admin/routes.hpp"
#include "admin/views.hpp"

namespace admin {

base::result<reply> show_prices(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    if (!bench.prices) return base::fail(base::errc::not_found, "No price table is in force.");
    return reply_of(
        {{"id", boost::json::string(bench.prices->id())}, {"yaml", boost::json::string(bench.prices->yaml())}});
}

base::result<reply> show_config(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    if (!bench.config) return base::fail(base::errc::not_found, "The settings are not known here.");
    return reply{.body = bench.config()};
}

}  // namespace admin
