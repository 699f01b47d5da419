// The audit log: /admin/v1/audit.
#include <boost/json/string.hpp>

#include "admin/endpoint.hpp"
#include "admin/members.hpp"
#include "admin/routes.hpp"
#include "admin/views.hpp"

namespace admin {
namespace {

constexpr std::int64_t entries_default = 100;
constexpr std::int64_t entries_max = 1'000;

}  // namespace

base::result<reply> list_audit(const request& asked, workbench& bench) {
    members given(asked);
    const std::int64_t after = given.count("after").value_or(0);
    const auto limit = static_cast<std::uint32_t>(given.count("limit", 1, entries_max).value_or(entries_default));
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto entries = bench.tenants.audit_after(after, limit);
    boost::json::array all;
    for (const auto& entry : entries) all.emplace_back(view_of(entry));
    boost::json::value last = nullptr;
    if (!entries.empty()) last = entries.back().seq;
    const bool has_more = entries.size() == limit && !bench.tenants.audit_after(entries.back().seq, 1).empty();
    return reply_of(page_of(std::move(all), has_more, std::move(last)));
}

base::result<reply> verify_audit(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto verdict = bench.tenants.verify_audit();
    boost::json::value broken_at = nullptr;
    if (verdict.broken_at) broken_at = *verdict.broken_at;
    return reply_of({{"entries", verdict.entries},
                     {"whole", !verdict.broken_at},
                     {"broken_at", std::move(broken_at)},
                     {"why", boost::json::string(verdict.why)}});
}

}  // namespace admin
