#include "governance/stored_rows.hpp"

#include <boost/json.hpp>
#include <utility>

namespace governance {
namespace {

std::optional<time_ms> time_in(const database::value& v) {
    return database::is_null(v) ? std::nullopt : std::optional(database::integer_of(v));
}

}  // namespace

std::string json_of(const std::vector<std::string>& list) {
    boost::json::array made(list.begin(), list.end());
    return boost::json::serialize(made);
}

std::string json_of(const std::vector<int>& list) {
    boost::json::array made(list.begin(), list.end());
    return boost::json::serialize(made);
}

std::optional<std::vector<std::string>> strings_of(std::string_view json) {
    std::vector<std::string> list;
    if (json == "[]") return list;  // most lists, and there are many
    boost::system::error_code failed;
    const boost::json::value read = boost::json::parse(json, failed);
    if (failed || !read.is_array()) return std::nullopt;
    for (const auto& item : read.get_array()) {
        if (!item.is_string()) return std::nullopt;
        list.emplace_back(item.get_string());
    }
    return list;
}

std::optional<std::vector<int>> integers_of(std::string_view json) {
    boost::system::error_code failed;
    const boost::json::value read = boost::json::parse(json, failed);
    if (failed || !read.is_array()) return std::nullopt;
    std::vector<int> list;
    for (const auto& item : read.get_array()) {
        if (!item.is_int64() || !std::in_range<int>(item.get_int64())) return std::nullopt;
        list.push_back(static_cast<int>(item.get_int64()));
    }
    return list;
}

database::value value_of(const std::optional<time_ms>& at) {
    return at ? database::value(*at) : database::value(std::monostate());
}

std::optional<team> team_of(const database::row& row) {
    auto models = strings_of(database::text_of(row.at(2)));
    auto tags = strings_of(database::text_of(row.at(3)));
    if (!models || !tags) return std::nullopt;
    return team{.id = database::text_of(row.at(0)),
                .name = database::text_of(row.at(1)),
                .models = std::move(*models),
                .tags = std::move(*tags),
                .metadata = database::text_of(row.at(4)),
                .created_at = database::integer_of(row.at(5)),
                .updated_at = database::integer_of(row.at(6)),
                .archived_at = time_in(row.at(7))};
}

std::optional<key> key_of(const database::row& row) {
    const auto kind = role_named(database::text_of(row.at(4)));
    auto scopes = strings_of(database::text_of(row.at(5)));
    auto models = strings_of(database::text_of(row.at(6)));
    auto ip_ranges = strings_of(database::text_of(row.at(7)));
    auto tags = strings_of(database::text_of(row.at(8)));
    if (!kind || !scopes || !models || !ip_ranges || !tags) return std::nullopt;
    return key{.id = database::text_of(row.at(0)),
               .team_id = database::text_of(row.at(1)),
               .name = database::text_of(row.at(2)),
               .owner = database::text_of(row.at(3)),
               .kind = *kind,
               .scopes = std::move(*scopes),
               .models = std::move(*models),
               .ip_ranges = std::move(*ip_ranges),
               .tags = std::move(*tags),
               .metadata = database::text_of(row.at(9)),
               .expires_at = time_in(row.at(10)),
               .created_at = database::integer_of(row.at(11)),
               .updated_at = database::integer_of(row.at(12)),
               .revoked_at = time_in(row.at(13))};
}

key_secret key_secret_of(const database::row& row) {
    return {.digest = database::text_of(row.at(0)),
            .key_id = database::text_of(row.at(1)),
            .hint = database::text_of(row.at(2)),
            .created_at = database::integer_of(row.at(3)),
            .expires_at = time_in(row.at(4))};
}

std::optional<limit> limit_of(const database::row& row) {
    const auto where = scope_named(database::text_of(row.at(0)));
    if (!where) return std::nullopt;
    return limit{.where = *where,
                 .scope_id = database::text_of(row.at(1)),
                 .model_class = database::text_of(row.at(2)),
                 .amounts = {.requests_per_minute = database::integer_of(row.at(3)),
                             .input_tokens_per_minute = database::integer_of(row.at(4)),
                             .output_tokens_per_minute = database::integer_of(row.at(5)),
                             .concurrent_requests = database::integer_of(row.at(6))}};
}

std::optional<budget> budget_of(const database::row& row) {
    const auto where = scope_named(database::text_of(row.at(1)));
    const auto every = period_named(database::text_of(row.at(3)));
    if (!where || !every) return std::nullopt;
    return budget{.id = database::text_of(row.at(0)),
                  .where = *where,
                  .scope_id = database::text_of(row.at(2)),
                  .every = *every,
                  .limit_pico = database::integer_of(row.at(4)),
                  .hard = database::integer_of(row.at(5)) != 0,
                  .alerts = integers_of(database::text_of(row.at(6))).value_or(std::vector<int>()),
                  .created_at = database::integer_of(row.at(7)),
                  .updated_at = database::integer_of(row.at(8))};
}

}  // namespace governance
