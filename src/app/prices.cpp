// `claude-proxy prices`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <memory>

#include "app/admin_words.hpp"
#include "app/price_file.hpp"

namespace app {
namespace {

struct price_words {
    std::string file{};
    bool json = false;
};

int tell_problems(const std::vector<std::string>& problems) {
    for (const auto& problem : problems) fmt::print(stderr, "claude-proxy: {}\n", problem);
    return 1;
}

int check(const price_words& given) {
    const auto table = load_prices(given.file);
    if (!table) return tell_problems(table.error());
    fmt::print(fmt::runtime(given.json ? "{{\"id\":\"{}\"}}\n" : "The prices can be used; their table is {}.\n"),
               table->id());
    return 0;
}

int show(const config::settings& settings, const price_words& given) {
    const auto table = load_prices(settings.prices_file);
    if (!table) return tell_problems(table.error());
    if (given.json) {
        const boost::json::object all{{"id", boost::json::string(table->id())},
                                      {"yaml", boost::json::string(table->yaml())}};
        fmt::print("{}\n", boost::json::serialize(all));
    } else {
        fmt::print("# price table {}\n{}", table->id(), table->yaml());
    }
    return 0;
}

}  // namespace

void add_prices(CLI::App& app, chosen_command& chosen) {
    CLI::App* const group = app.add_subcommand("prices", "Check a file of prices, show those in force");
    group->require_subcommand(1);
    const auto given = std::make_shared<price_words>();
    CLI::App* const check_word =
        group->add_subcommand("check", "Read a file as CLAUDE_PROXY_PRICES would and say what is wrong with it");
    check_word->add_option("FILE", given->file, "A YAML file in the form of the shipped prices")->required();
    check_word->add_flag("--json", given->json, "Print the table's id as JSON");
    check_word->callback([&chosen, given] { chosen = [given](const config::settings&) { return check(*given); }; });
    CLI::App* const show_word = group->add_subcommand("show", "Print the prices in force");
    show_word->add_flag("--json", given->json, "Print them as JSON");
    show_word->callback(
        [&chosen, given] { chosen = [given](const config::settings& settings) { return show(settings, *given); }; });
}

}  // namespace app
