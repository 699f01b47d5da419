#include "app/probe.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "app/http_call.hpp"
#include "config/settings.hpp"

namespace app {
namespace {

constexpr long silence_seconds_max = 3;  // a process that accepts and does not answer is not well

// Where the settings that say so put the admin listener. Error: sentences.
std::expected<config::address, std::vector<std::string>> admin_listener() {
    config::environment all = config::process_environment();
    constexpr const char* env_file = ".env";
    if (access(env_file, F_OK) == 0) {
        const auto from_file = config::read_env_file(env_file);
        if (!from_file) return std::unexpected(std::vector{fmt::format("{}: {}", env_file, from_file.error())});
        for (const auto& [name, value] : *from_file) all.emplace(name, value);
    }
    config::environment its;
    for (const std::string_view name : {"CLAUDE_PROXY_ADMIN_LISTEN", "CLAUDE_PROXY_CONFIG"}) {
        if (const auto found = all.find(name); found != all.end()) its.insert(*found);
    }
    const auto settings = config::load(its, config::purpose::administer);
    if (!settings) return std::unexpected(settings.error());
    if (settings->admin_listen.port == 0) {
        return std::unexpected(std::vector<std::string>{
            "CLAUDE_PROXY_ADMIN_LISTEN names no port, so nobody knows where to ask; give it one."});
    }
    return settings->admin_listen;
}

// A listener on all addresses is asked on this machine's own.
std::string url_of(const config::address& listener, std::string_view path) {
    std::string host = listener.host;
    if (host == "0.0.0.0") host = "127.0.0.1";
    if (host == "::") host = "::1";
    if (host.find(':') != std::string::npos) host = fmt::format("[{}]", host);
    return fmt::format("http://{}:{}{}", host, listener.port, path);
}

}  // namespace

int probe(probe_question question) {
    const auto listener = admin_listener();
    if (!listener) {
        for (const auto& problem : listener.error()) fmt::print(stderr, "claude-proxy: {}\n", problem);
        return 2;
    }
    const std::string url = url_of(*listener, question == probe_question::ready ? "/ready" : "/health");
    const auto answer = call({.url = url, .silence_seconds = silence_seconds_max});
    if (answer.status == 0 || !answer.problem.empty()) {
        fmt::print(stderr, "claude-proxy: {}: {}\n", url, answer.problem);
        return 1;
    }
    fmt::print("{} {}\n", answer.status, answer.body);
    return answer.status == 200 ? 0 : 1;
}

}  // namespace app
