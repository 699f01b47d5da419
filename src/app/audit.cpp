// `claude-proxy audit`.
#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "app/admin_words.hpp"
#include "app/tables.hpp"

namespace app {
namespace {

using enum word_kind;

constexpr word_option list_options[] = {{"--after", "after", count, "Only entries behind this number"},
                                        {"--limit", "limit", count, "At most so many, 1 to 1000"}};
constexpr word_option export_options[] = {{"--after", "after", count, "Only entries behind this number"}};

void print_entries(const boost::json::object& answer) {
    constexpr column columns[] = {{"SEQ", "seq"},       {"AT", "at"},         {"ACTOR", "actor"},    {"ROLE", "role"},
                                  {"ACTION", "action"}, {"TARGET", "target"}, {"DETAILS", "details"}};
    fmt::print("{}", table_text(answer.at("data").as_array(), columns, "There are no entries."));
}

void print_lines(const boost::json::object& answer) {
    for (const auto& entry : answer.at("data").as_array()) fmt::print("{}\n", boost::json::serialize(entry));
}

void print_verdict(const boost::json::object& answer) {
    if (answer.at("whole").as_bool()) {
        fmt::print("The audit log is whole: {} entries.\n", cell_text(answer.at("entries")));
    } else {
        fmt::print("The audit log is broken at entry {}: {}\n", cell_text(answer.at("broken_at")),
                   cell_text(answer.at("why")));
    }
}

int fail_when_broken(const boost::json::object& answer) { return answer.at("whole").as_bool() ? 0 : 1; }

constexpr admin_word words[] = {
    {.name = "list",
     .help = "List what administrators changed",
     .method = "GET",
     .path = "/admin/v1/audit",
     .options = list_options,
     .print = print_entries,
     .page_parameter = "after"},
    {.name = "export",
     .help = "Print every entry as a line of JSON",
     .method = "GET",
     .path = "/admin/v1/audit",
     .options = export_options,
     .print = print_lines,
     .page_parameter = "after",
     .prints_pages = true},
    {.name = "verify",
     .help = "Check the chain of hashes; exit code 1 when it is broken",
     .method = "GET",
     .path = "/admin/v1/audit/verify",
     .options = {},
     .print = print_verdict,
     .exit_code = fail_when_broken},
};

}  // namespace

void add_audit(CLI::App& app, chosen_command& chosen) {
    add_group(app, "audit", "List, export and verify the audit log", words, chosen);
}

}  // namespace app
