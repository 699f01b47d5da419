#include "app/commands.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/admin_words.hpp"
#include "app/doctor.hpp"
#include "app/serve.hpp"
#include "app/settings_source.hpp"

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
        "Settings come from the environment, `.env` in the working directory, the secret of\n"
        "CLAUDE_PROXY_SECRETS and the YAML file of CLAUDE_PROXY_CONFIG, in this order of precedence:\n\n";
    for (const auto& setting : config::all_settings()) {
        text += fmt::format("  {} (default: {})\n      {}\n", setting.name, setting.value.empty() ? "-" : setting.value,
                            setting.meaning);
    }
    return text;
}

// One line a problem, each with the setting and the cure. The exit code of a process whose settings are wrong.
int tell(const settings_source::failure& problem) {
    for (const auto& each : problem.problems) fmt::print(stderr, "claude-proxy: {}\n", each);
    return 2;
}

int examine(settings_source& source, bool json) {
    const auto read = source.read(config::purpose::serve, settings_source::look_patience);
    if (read) return doctor(read->settings, check_secrets(source, read), json);
    if (!read.error().is_of_secret) return tell(read.error());
    const auto rest = source.read_without_secret();
    return rest ? doctor(*rest, check_secrets(source, read), json) : tell(rest.error());
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
    if (version_word->parsed()) {
        fmt::print(fmt::runtime(json ? "{{\"version\":\"{}\"}}\n" : "claude-proxy {}\n"), CLAUDE_PROXY_VERSION);
        return 0;
    }
    settings_source source(config::process_environment());
    if (doctor_word->parsed()) return examine(source, json);
    auto read =
        source.read(chosen ? config::purpose::administer : config::purpose::serve, settings_source::start_patience);
    if (!read) return tell(read.error());
    if (chosen) return chosen(read->settings);
    if (worker_word->parsed()) as = {.answers = false, .works = true};
    return serve(source, std::move(*read), as);
}

}  // namespace app
