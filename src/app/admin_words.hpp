// Subcommands that do what the admin API does, without HTTP: each asks an endpoint of admin/routes.cpp on the database
// of the settings, so that both accept the same things and refuse them in the same words.
//
// A group of them is a file with a table (teams.cpp, keys.cpp, ...). Every one has --help and --json: then what the API
// would have answered is printed as one line. Thread rule: the main thread.
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <span>
#include <string_view>

#include "admin/endpoint.hpp"
#include "config/settings.hpp"

namespace CLI {
class App;
}

namespace app {

// What the command line chose; gives the process's exit code.
using chosen_command = std::function<int(const config::settings&)>;

enum class word_kind : std::uint8_t {
    text,
    texts,  // may be repeated; an empty text empties the list
    count,
    flag,
    json,  // a JSON object
};

struct word_option {
    std::string_view flag;    // "--name", or a positional argument such as "ID"
    std::string_view member;  // of the request; empty: what stands for "{}" in the path
    word_kind kind = word_kind::text;
    std::string_view help;
    bool required = false;
};

struct admin_word {
    std::string_view name;
    std::string_view help;
    std::string_view method;
    std::string_view path;
    std::span<const word_option> options;
    void (*print)(const boost::json::object& answer);
    // Turns what the command line has into what the endpoint takes, where these differ.
    base::result<void> (*prepare)(boost::json::object& members) = nullptr;
    // The parameter that asks for the next page; then all pages are printed unless --limit was given.
    std::string_view page_parameter{};
    bool prints_pages = false;  // each page as it comes, also with --json: for what may be larger than memory
    // Another exit code than 0 for an answer that is bad news.
    int (*exit_code)(const boost::json::object& answer) = nullptr;
};

void add_group(CLI::App& app, std::string_view name, std::string_view help, std::span<const admin_word> words,
               chosen_command& chosen);
// A subcommand without words below it: `claude-proxy usage`.
void add_word(CLI::App& app, const admin_word& word, chosen_command& chosen);

// Prints an error as one line on standard error. Returns the exit code: 2 for what the caller wrote, else 1.
int tell(const base::error& why);

}  // namespace app
