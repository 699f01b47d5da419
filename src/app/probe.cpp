// `claude-proxy probe`: asks the process of these settings how it is, over its admin listener. For health checks in
// images that have no other program to ask with, so it needs neither a database nor a credential.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/admin_words.hpp"
#include "app/http_call.hpp"

namespace app {
namespace {

constexpr long silence_seconds_max = 3;  // a process that accepts and does not answer is not well

// A listener on all addresses is asked on this machine's own.
std::string url_of(const config::address& listener, std::string_view path) {
    std::string host = listener.host;
    if (host == "0.0.0.0") host = "127.0.0.1";
    if (host == "::") host = "::1";
    if (host.find(':') != std::string::npos) host = fmt::format("[{}]", host);
    return fmt::format("http://{}:{}{}", host, listener.port, path);
}

int probe(const config::settings& settings, bool ready) {
    if (settings.admin_listen.port == 0) {
        fmt::print(stderr, "claude-proxy: CLAUDE_PROXY_ADMIN_LISTEN names no port: nobody knows where to ask\n");
        return 2;
    }
    const std::string url = url_of(settings.admin_listen, ready ? "/ready" : "/health");
    const auto answer = call({.url = url, .silence_seconds = silence_seconds_max});
    if (answer.status == 0 || !answer.problem.empty()) {
        fmt::print(stderr, "claude-proxy: {}: {}\n", url, answer.problem);
        return 1;
    }
    fmt::print("{} {}\n", answer.status, answer.body);
    return answer.status == 200 ? 0 : 1;
}

}  // namespace

void add_probe(CLI::App& app, chosen_command& chosen) {
    CLI::App* const word = app.add_subcommand(
        "probe", "Ask the process on CLAUDE_PROXY_ADMIN_LISTEN whether it is alive: exit code 0 when it is, else 1");
    const auto ready = std::make_shared<bool>(false);
    word->add_flag("--ready", *ready, "Ask whether new work is welcome instead: no longer once it drains");
    word->callback(
        [&chosen, ready] { chosen = [ready](const config::settings& settings) { return probe(settings, *ready); }; });
}

}  // namespace app
