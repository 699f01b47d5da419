#include "app/admin_words.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <cstdio>
#include <memory>

#include "app/open_database.hpp"

namespace app {

using base::errc;

namespace {

// What was given for one option.
struct given_value {
    CLI::Option* option = nullptr;
    std::string text{};
    std::vector<std::string> texts{};
    bool flag = false;
};

struct given_words {
    std::vector<given_value> values;
    bool json = false;
};

base::result<boost::json::value> value_of(const word_option& option, const given_value& given, bool for_query) {
    using enum word_kind;
    switch (option.kind) {
        case text:
            return boost::json::string(given.text);
        case flag:
            return for_query ? boost::json::value(boost::json::string(given.flag ? "true" : "false"))
                             : boost::json::value(given.flag);
        case texts: {
            boost::json::array list;
            std::string joined;
            for (const auto& each : given.texts) {
                if (each.empty()) continue;
                list.emplace_back(boost::json::string(each));
                joined += joined.empty() ? each : "," + each;
            }
            return for_query ? boost::json::value(boost::json::string(joined)) : boost::json::value(std::move(list));
        }
        case count: {
            std::int64_t number = 0;
            const char* const end = given.text.data() + given.text.size();
            const auto [stop, problem] = std::from_chars(given.text.data(), end, number);
            if (problem != std::errc() || stop != end)
                return base::fail(errc::invalid_argument, fmt::format("{} must be a whole number.", option.flag));
            return for_query ? boost::json::value(boost::json::string(given.text)) : boost::json::value(number);
        }
        case json: {
            boost::json::error_code problem;
            auto parsed = boost::json::parse(given.text, problem);
            if (problem) return base::fail(errc::invalid_argument, fmt::format("{} must be JSON.", option.flag));
            return parsed;
        }
    }
    return nullptr;
}

// "/admin/v1/keys/{}" in its segments, with `name` in the place of "{}".
std::vector<std::string> segments_of(std::string_view path, std::string_view name) {
    std::vector<std::string> segments;
    while (!path.empty()) {
        path.remove_prefix(1);
        const std::string_view segment = path.substr(0, path.find('/'));
        path.remove_prefix(segment.size());
        segments.emplace_back(segment == "{}" ? name : segment);
    }
    return segments;
}

base::result<admin::reply> ask(const admin_word& word, std::span<const std::string> path, boost::json::object members,
                               opened_database& opened, const config::settings& settings) {
    const auto found = admin::find_route(word.method, path);
    if (!found.row) return base::fail(errc::route_unknown, fmt::format("There is no {} {}.", word.method, word.path));
    governance::administration tenants(*opened.on, *opened.hasher, clock_ms);
    std::unique_ptr<jobs::store> made;  // what was asked of it is committed when it goes
    const auto jobs = [&]() -> jobs::store& {
        if (!made) made = std::make_unique<jobs::store>(settings.database, settings.jobs, opened.by.id);
        return *made;
    };
    admin::workbench bench{*opened.on, tenants, clock_ms, nullptr, [&settings] { return config::shown(settings); },
                           jobs};
    const bool from_query = word.method == "GET" || word.method == "DELETE";
    const admin::request asked{
        .path = found.path, .members = std::move(members), .from_query = from_query, .by = opened.by};
    return found.row->run(asked, bench);
}

// Asks page after page. Gives the last answer, with the entries of all pages unless the word prints each as it comes.
base::result<admin::reply> ask_all(const admin_word& word, std::span<const std::string> path,
                                   boost::json::object members, opened_database& opened,
                                   const config::settings& settings) {
    const bool one_page = word.page_parameter.empty() || members.contains("limit");
    if (one_page) return ask(word, path, std::move(members), opened, settings);
    members["limit"] = "1000";
    boost::json::array all;
    for (;;) {
        auto page = ask(word, path, members, opened, settings);
        if (!page) return page;
        auto answer = boost::json::parse(page->body).as_object();
        if (word.prints_pages) {
            word.print(answer);
        } else {
            for (auto& entry : answer.at("data").as_array()) all.push_back(std::move(entry));
        }
        if (!answer.at("has_more").as_bool()) {
            answer["data"] = std::move(all);
            page->body = boost::json::serialize(answer);
            return page;
        }
        const auto& last = answer.at("last_id");
        members[word.page_parameter] =
            last.is_string() ? last : boost::json::value(boost::json::string(boost::json::serialize(last)));
    }
}

int run(const admin_word& word, const given_words& given, const config::settings& settings) {
    const bool for_query = word.method == "GET" || word.method == "DELETE";
    boost::json::object members;
    std::string name;
    for (std::size_t i = 0; i < word.options.size(); ++i) {
        const auto& option = word.options[i];
        if (given.values[i].option->count() == 0) continue;
        if (option.member.empty()) {
            name = given.values[i].text;
            continue;
        }
        auto value = value_of(option, given.values[i], for_query);
        if (!value) return tell(value.error());
        members[option.member] = std::move(*value);
    }
    if (word.prepare) {
        if (const auto prepared = word.prepare(members); !prepared) return tell(prepared.error());
    }
    auto opened = open_database(settings);
    if (!opened) return tell(opened.error());
    const auto path = segments_of(word.path, name);
    base::result<admin::reply> reply;
    try {
        reply = ask_all(word, path, std::move(members), *opened, settings);
    } catch (const database::failure& problem) {
        return tell({errc::database_unavailable, fmt::format("the database: {}", problem.what())});
    }
    if (!reply) return tell(reply.error());
    if (reply->content_type != "application/json") {
        fmt::print("{}", reply->body);
        return 0;
    }
    const auto answer = boost::json::parse(reply->body).as_object();
    if (given.json && !word.prints_pages) {
        fmt::print("{}\n", reply->body);
    } else if (!word.prints_pages) {
        word.print(answer);
    }
    return word.exit_code ? word.exit_code(answer) : 0;
}

}  // namespace

void add_word(CLI::App& app, const admin_word& word, chosen_command& chosen) {
    CLI::App* const parser = app.add_subcommand(std::string(word.name), std::string(word.help));
    const auto given = std::make_shared<given_words>();
    given->values.resize(word.options.size());
    for (std::size_t i = 0; i < word.options.size(); ++i) {
        const auto& option = word.options[i];
        auto& value = given->values[i];
        const std::string flag(option.flag), help(option.help);
        if (option.kind == word_kind::flag) {
            value.option = parser->add_flag(flag, value.flag, help);
        } else if (option.kind == word_kind::texts) {
            value.option = parser->add_option(flag, value.texts, help)->take_all()->allow_extra_args(false);
        } else {
            value.option = parser->add_option(flag, value.text, help);
        }
        value.option->required(option.required);
    }
    parser->add_flag("--json", given->json, "Print the answer as JSON");
    parser->callback([&chosen, &word, given] {
        chosen = [&word, given](const config::settings& settings) { return run(word, *given, settings); };
    });
}

void add_group(CLI::App& app, std::string_view name, std::string_view help, std::span<const admin_word> words,
               chosen_command& chosen) {
    CLI::App* const group = app.add_subcommand(std::string(name), std::string(help));
    group->require_subcommand(1);
    for (const auto& word : words) add_word(*group, word, chosen);
}

int tell(const base::error& why) {
    const auto facts = base::facts_of(why.kind);
    fmt::print(stderr, "claude-proxy: {}\n", why.detail.empty() ? std::string(facts.reason) : why.detail);
    const bool wrong_words = facts.status == 400;
    return wrong_words ? 2 : 1;
}

}  // namespace app
