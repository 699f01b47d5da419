#include "app/commands.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/admin_words.hpp"
#include "app/doctor.hpp"
#include "app/probe.hpp"
#include "app/serve.hpp"
#include "config/settings.hpp"

namespace app {

// teams.cpp, keys.cpp, ...: one group of subcommands each
void add_teams(CLI::App&, chosen_command&);
void add_keys(CLI::App&, chosen_command&);
void add_budgets(CLI::App&, chosen_command&);
void add_jobs(CLI::App&, chosen_command&);
void add_usage(CLI::App&, chosen_command&);
void add_audit(CLI::App&, chosen_command&);
void add_prices(CLI::App&, chosen_command&);
void add_migrate(CLI::App&, chosen_command&);
void add_resources(CLI::App&, chosen_command&);

namespace {

std::string settings_help() {
    std::string text =
        "Settings come from the environment, `.env` in the working directory and the YAML file of\n"
        "CLAUDE_PROXY_CONFIG, in this order of precedence:\n\n";
    for (const auto& setting : config::all_settings()) {
        text += fmt::format("  {} (default: {})\n      {}\n", setting.name, setting.value.empty() ? "-" : setting.value,
                            setting.meaning);
    }
    return text;
}

// Settings from the real environment over `.env`; every problem is printed with its variable.
std::optional<config::settings> load_settings(config::purpose use) {
    config::environment environment = config::process_environment();
    constexpr const char* env_file = ".env";
    if (access(env_file, F_OK) == 0) {
        const auto from_file = config::read_env_file(env_file);
        if (!from_file) {
            fmt::print(stderr, "claude-proxy: {}: {}\n", env_file, from_file.error());
            return std::nullopt;
        }
        for (const auto& [name, value] : *from_file) environment.emplace(name, value);
    }
    auto settings = config::load(environment, use);
    if (settings) return std::move(*settings);
    for (const auto& problem : settings.error()) fmt::print(stderr, "claude-proxy: {}\n", problem);
    return std::nullopt;
}

}  // namespace

int run_command(int argc, char** argv) {
    CLI::App app{"claude-proxy: a gateway in front of Claude that passes bytes unchanged and accounts for them"};
    app.require_subcommand(1);
    app.failure_message([](const CLI::App*, const CLI::Error& problem) {
        return fmt::format("claude-proxy: {}; `--help` behind any word tells more\n", problem.what());
    });

    CLI::App* const serve_word = app.add_subcommand("serve", "Run the API until SIGTERM, then drain");
    serve_word->footer(settings_help());
    role as;
    serve_word->add_flag("--with-worker", as.works, "Also carry durable jobs out, as `worker` does");

    CLI::App* const worker_word = app.add_subcommand(
        "worker", "Carry durable jobs out until SIGTERM, then hand back what cannot be finished in the drain time");
    worker_word->footer(
        "The process has no public listener; metrics, /health and /ready are on CLAUDE_PROXY_ADMIN_LISTEN.\n"
        "It takes the same settings as `serve`.");

    bool json = false;
    CLI::App* const doctor_word =
        app.add_subcommand("doctor", "Check settings, ports, limits, DNS, TLS and the upstream credential");
    doctor_word->add_flag("--json", json, "Print the checks as JSON");

    CLI::App* const probe_word = app.add_subcommand(
        "probe", "Ask the process on CLAUDE_PROXY_ADMIN_LISTEN whether it is alive: exit code 0 when it is, else 1");
    bool asks_ready = false;
    probe_word->add_flag("--ready", asks_ready, "Ask whether new work is welcome instead: no longer once it drains");

    CLI::App* const version_word = app.add_subcommand("version", "Print the version");
    version_word->add_flag("--json", json, "Print it as JSON");

    chosen_command chosen;
    for (const auto add :
         {add_migrate, add_keys, add_teams, add_budgets, add_jobs, add_usage, add_audit, add_prices, add_resources})
        add(app, chosen);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& problem) {
        return app.exit(problem) == 0 ? 0 : 2;
    }
    if (probe_word->parsed()) return probe(asks_ready ? probe_question::ready : probe_question::alive);
    if (version_word->parsed()) {
        fmt::print(fmt::runtime(json ? "{{\"version\":\"{}\"}}\n" : "claude-proxy {}\n"), CLAUDE_PROXY_VERSION);
        return 0;
    }
    const auto settings = load_settings(chosen ? config::purpose::administer : config::purpose::serve);
    if (!settings) return 2;
    if (chosen) return chosen(*settings);
    if (worker_word->parsed()) as = {.answers = false, .works = true};
    return doctor_word->parsed() ? doctor(*settings, json) : serve(*settings, as);
}

}  // namespace app
