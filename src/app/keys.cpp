// `claude-proxy keys`.
#include <fmt/format.h>

#include <boost/json/string.hpp>

#include "app/admin_words.hpp"
#include "app/tables.hpp"

namespace app {
namespace {

using enum word_kind;

constexpr word_option owner{"--owner", "owner", text, "The person or program that uses it"};
constexpr word_option models{"--model", "models", texts, "A model pattern that the key may use; repeat it for more"};
constexpr word_option scopes{"--scope", "scopes", texts,
                             "A kind of route that it may use: messages, count_tokens, models, batches, files, skills, "
                             "other or *; repeat it for more"};
constexpr word_option ip_ranges{"--ip", "ip_ranges", texts, "An address or range it may come from; repeat it for more"};
constexpr word_option tags{"--tag", "tags", texts, "A tag on each of its ledger rows; repeat it for more"};
constexpr word_option metadata{"--metadata", "metadata", json, "A JSON object of your own"};
constexpr word_option expires{"--expires", "expires_at", text, "When it ends: 90d, 2027-01-01 or never"};
constexpr word_option role{"--role", "role", text,
                           "client (the default), or viewer, operator or admin: a key for the admin API"};
constexpr word_option one_id{"ID", "", text, "The key's id (key_...)", true};

constexpr word_option create_options[] = {
    {"--name", "name", text, "A name to know it by", true},
    {"--team", "team", text, "Name or id of its team; a name that is new makes the team"},
    owner,
    {"--budget", "budgets", texts, "What the key may spend, such as 50/month; repeat it for other periods"},
    {"--rpm", "requests_per_minute", count, "Requests a minute of the key"},
    {"--itpm", "input_tokens_per_minute", count, "Input tokens a minute of the key"},
    {"--otpm", "output_tokens_per_minute", count, "Output tokens a minute of the key"},
    {"--concurrent", "concurrent_requests", count, "Requests of the key at the same time"},
    models,
    scopes,
    ip_ranges,
    tags,
    metadata,
    expires,
    role};
constexpr word_option list_options[] = {{"--team", "team", text, "Only those of this team"},
                                        {"--with-revoked", "with_revoked", flag, "Also revoked ones"},
                                        {"--after", "after_id", text, "Only those behind this id"},
                                        {"--limit", "limit", count, "At most so many, 1 to 1000"}};
constexpr word_option show_options[] = {one_id};
constexpr word_option update_options[] = {
    one_id, {"--name", "name", text, "Another name"}, owner, models, scopes, ip_ranges, tags, metadata, expires, role};
constexpr word_option rotate_options[] = {
    one_id,
    {"--overlap", "overlap", text, "How long the secret before it still works, such as 1h (the default) or 0s"}};

base::result<void> never_is_null(boost::json::object& members) {
    const auto* const at = members.if_contains("expires_at");
    if (at && at->as_string() == "never") members["expires_at"] = nullptr;
    return {};
}

void print_key(const boost::json::object& answer) { fmt::print("{}", members_text(answer)); }

void print_new_key(const boost::json::object& answer) {
    fmt::print("{}\nThis is the only time the key is shown.\n", members_text(answer));
}

void print_keys(const boost::json::object& answer) {
    constexpr column columns[] = {{"ID", "id"},
                                  {"NAME", "name"},
                                  {"TEAM", "team"},
                                  {"ROLE", "role"},
                                  {"OWNER", "owner"},
                                  {"MODELS", "models"},
                                  {"CREATED", "created_at"},
                                  {"EXPIRES", "expires_at"},
                                  {"REVOKED", "revoked_at"}};
    fmt::print("{}", table_text(answer.at("data").as_array(), columns, "There are no keys."));
}

constexpr admin_word words[] = {
    {"create", "Make a key; its secret is shown this once", "POST", "/admin/v1/keys", create_options, print_new_key,
     never_is_null},
    {"list", "List keys", "GET", "/admin/v1/keys", list_options, print_keys, nullptr, "after_id"},
    {"show", "Show one key", "GET", "/admin/v1/keys/{}", show_options, print_key},
    {"update", "Change a key; what is not given stays", "PATCH", "/admin/v1/keys/{}", update_options, print_key,
     never_is_null},
    {"rotate", "Give a key another secret", "POST", "/admin/v1/keys/{}/rotate", rotate_options, print_new_key},
    {"revoke", "End a key at once and for good", "POST", "/admin/v1/keys/{}/revoke", show_options, print_key},
};

}  // namespace

void add_keys(CLI::App& app, chosen_command& chosen) {
    add_group(app, "keys", "Make, list, change, rotate and revoke keys", words, chosen);
}

}  // namespace app
