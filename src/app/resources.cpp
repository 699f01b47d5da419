// `claude-proxy resources`.
#include <fmt/format.h>

#include <boost/json/value.hpp>

#include "app/admin_words.hpp"
#include "app/tables.hpp"

namespace app {
namespace {

using enum word_kind;

constexpr word_option claim_options[] = {
    {"--id", "id", text, "The id of a batch, file, skill or container", true},
    {"--team", "team", text, "The team that it belongs to from now on, by name or id", true}};

void print_one(const boost::json::object& answer) { fmt::print("{}", members_text(answer)); }

constexpr admin_word words[] = {
    {"claim", "Give an id that was made past this gateway to a team", "POST", "/admin/v1/resources", claim_options,
     print_one},
};

}  // namespace

void add_resources(CLI::App& app, chosen_command& chosen) {
    add_group(app, "resources", "Give batches, files and skills to teams", words, chosen);
}

}  // namespace app
