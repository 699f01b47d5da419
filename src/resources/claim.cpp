#include "resources/claim.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "governance/change.hpp"

namespace resources {
namespace {

constexpr std::size_t id_bytes_max = 128;

bool is_plain(std::string_view id) {
    return id.size() <= id_bytes_max && std::ranges::all_of(id, [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                      c == '-';
           });
}

}  // namespace

base::result<void> claim(database::connection& on, const governance::actor& by, const std::string& id,
                         const std::string& team_id, time_ms now) {
    const auto what = kind_of_id(id);
    if (!what || !is_plain(id)) {
        return base::fail(base::errc::invalid_argument,
                          "`id` must be that of a batch (msgbatch_...), file (file_...), skill (skill_...) or "
                          "container (container_...).");
    }
    return governance::make_change(on, by, now, [&](governance::change& made) -> base::result<void> {
        const auto inserted = made.on.query(
            "INSERT INTO claude_proxy.resources (id, kind, team_id, key_id, created_at)"
            " VALUES ($1, $2, $3, '', $4) ON CONFLICT (id) DO NOTHING RETURNING id",
            {id, std::string(name_of(*what)), team_id, now});
        if (!inserted.empty()) {
            made.record("resource.claim", id, fmt::format(R"({{"team":"{}"}})", team_id));
            return {};
        }
        const auto rows = made.on.query("SELECT team_id FROM claude_proxy.resources WHERE id = $1", {id});
        if (!rows.empty() && database::text_of(rows[0][0]) == team_id) return {};
        return base::fail(base::errc::conflict, "The id belongs to another team, and ids never change their owner.");
    });
}

}  // namespace resources
