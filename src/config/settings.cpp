#include "config/settings.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/nearest.hpp"
#include "config/table.hpp"
#include "config/yaml_file.hpp"
#include "upstream/origin.hpp"

namespace config {
namespace {

constexpr std::string_view prefix = "CLAUDE_PROXY_";

// A value and, when it comes from the file, where it stands there: " (proxy.yaml line 3)".
struct found_value {
    std::string text;
    std::string where{};
};
using found_values = std::map<std::string, found_value, std::less<>>;
using problems_of = std::vector<std::string>;

const table::row* find_row(std::string_view name) {
    const auto rows = table::rows();
    const auto found = std::ranges::find(rows, name, &table::row::name);
    return found == rows.end() ? nullptr : &*found;
}

std::string upper(std::string_view text) {
    std::string made(text);
    for (char& c : made) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return made;
}

// The name of a setting in the YAML file.
std::string yaml_key(std::string_view name) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    std::string made(name);
    for (char& c : made) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return made;
}

std::string suggestion(std::string_view asked, std::span<const std::string_view> names) {
    const std::string_view like = base::nearest(asked, names);
    return like.empty() ? "`claude-proxy serve --help` lists all of them" : fmt::format("perhaps {} was meant", like);
}

// Kubernetes tells every container of a namespace where its services are, in variables that begin with the service's
// name; one called `claude-proxy` is likely. They are nobody's mistake.
bool is_service_link(std::string_view name, std::string_view value) {
    const std::string_view rest = name.substr(prefix.size());
    if (rest == "SERVICE_HOST" || rest == "SERVICE_PORT" || rest.starts_with("SERVICE_PORT_")) return true;
    const bool link = value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
    if (rest == "PORT") return link;
    constexpr std::string_view port = "PORT_";
    return rest.starts_with(port) && rest.size() > port.size() && rest[port.size()] >= '0' && rest[port.size()] <= '9';
}

void take_environment(const environment& given, found_values& values, problems_of& problems) {
    std::vector<std::string_view> names;
    for (const auto& row : table::rows()) names.push_back(row.name);
    for (const auto& [name, value] : given) {
        if (find_row(name)) {
            // Empty means unset: compose files and unit files cannot leave a variable out.
            if (!value.empty()) values.emplace(name, found_value{value});
        } else if (name.starts_with(prefix) && !is_service_link(name, value)) {
            problems.push_back(fmt::format("{} is not a setting; {}.", name, suggestion(name, names)));
        }
    }
}

// Of the environment's names only secrets: what else stands in the secret has been told by who read it.
void take_secrets(const environment& secret, found_values& values, std::vector<std::string>& warnings) {
    for (const auto& [name, value] : secret) {
        if (!is_secret(name) || value.empty()) continue;
        if (!values.emplace(name, found_value{value, " (in the secret)"}).second) {
            warnings.push_back(
                fmt::format("{} is in the environment and in the secret: the environment wins, and rotating it in the "
                            "secret changes nothing.",
                            name));
        }
    }
}

void take_file(found_values& values, problems_of& problems) {
    const auto named = values.find("CLAUDE_PROXY_CONFIG");
    if (named == values.end()) return;
    const std::string path = named->second.text;
    const auto entries = read_yaml_file(path);
    if (!entries) {
        for (const auto& problem : entries.error())
            problems.push_back(fmt::format("CLAUDE_PROXY_CONFIG: {} {}.", path, problem));
        return;
    }
    std::vector<std::string> keys;
    for (const auto& row : table::rows()) {
        if (row.name != "CLAUDE_PROXY_CONFIG") keys.push_back(yaml_key(row.name));
    }
    const std::vector<std::string_view> known(keys.begin(), keys.end());
    for (const auto& entry : *entries) {
        if (std::ranges::find(known, entry.key) == known.end()) {
            problems.push_back(fmt::format("CLAUDE_PROXY_CONFIG: {} line {}: `{}` is not a setting; {}.", path,
                                           entry.line, entry.key, suggestion(entry.key, known)));
            continue;
        }
        const std::string bare = upper(entry.key);
        const std::string name = find_row(bare) ? bare : std::string(prefix) + bare;
        if (!entry.value.empty())
            values.emplace(name, found_value{entry.value, fmt::format(" ({} line {})", path, entry.line)});
    }
}

// What no single value can tell.
void check_together(settings& made, purpose use, problems_of& problems) {
    const auto warn = [&made](std::string text) { made.warnings.push_back(std::move(text)); };
    constexpr std::size_t key_bytes_min = 16;  // a random key of 16 characters has 80 bits and more

    if (made.tls_cert_file.empty() != made.tls_key_file.empty()) {
        problems.emplace_back(
            "CLAUDE_PROXY_TLS_CERT_FILE and CLAUDE_PROXY_TLS_KEY_FILE belong together; set both or neither.");
    }
    if (made.listen.port != 0 && made.listen.port == made.admin_listen.port &&
        made.listen.host == made.admin_listen.host) {
        problems.emplace_back("CLAUDE_PROXY_ADMIN_LISTEN must differ from CLAUDE_PROXY_LISTEN; give it another port.");
    }
    if (use == purpose::administer) return;
    if (made.jobs.heartbeat_every * 3 > made.jobs.lease) {
        problems.emplace_back(
            "CLAUDE_PROXY_JOBS_HEARTBEAT_EVERY must be a third of CLAUDE_PROXY_JOBS_LEASE or less: one lost heartbeat "
            "must not lose a job.");
    }
    if (const auto origin = upstream::parse_origin(made.upstream.url)) {
        const bool credential = !made.upstream.credentials.empty();
        if (origin->tls && !credential) {
            problems.emplace_back(
                "ANTHROPIC_API_KEY is not set; set it to your Anthropic key, or start with `make run`, which uses the "
                "simulator "
                "when there is no key.");
        } else if (!credential) {
            warn("ANTHROPIC_API_KEY is not set; requests go upstream without a credential.");
        } else if (!origin->tls && !is_loopback(origin->host)) {
            warn(
                "CLAUDE_PROXY_UPSTREAM_URL is http to another host: the upstream credential travels in clear; use "
                "https.");
        }
    }
    if (made.gateway.api_keys.empty())
        warn(
            "there is no static key (CLAUDE_PROXY_API_KEYS): clients need one made by `claude-proxy keys create`, or a "
            "JWT.");
    const auto weak = [](const base::secret& key) { return key.reveal().size() < key_bytes_min; };
    if (const auto count = std::ranges::count_if(made.gateway.api_keys, weak); count > 0) {
        warn(fmt::format(
            "CLAUDE_PROXY_API_KEYS has {} shorter than {} characters, which can be guessed; use long random keys.",
            count == 1 ? "a key" : fmt::format("{} keys", count), key_bytes_min));
    }
    if (!made.admin_key.empty() && weak(made.admin_key)) {
        warn(fmt::format(
            "CLAUDE_PROXY_ADMIN_KEY is shorter than {} characters and can be guessed; use a long random key.",
            key_bytes_min));
    }
    if (!is_loopback(made.listen.host) && made.tls_cert_file.empty()) {
        warn(
            "CLAUDE_PROXY_LISTEN is reachable from other hosts without TLS: keys and conversations travel in clear; "
            "set "
            "CLAUDE_PROXY_TLS_CERT_FILE and CLAUDE_PROXY_TLS_KEY_FILE, or put a proxy that speaks TLS in front.");
    }
    if (!is_loopback(made.admin_listen.host)) {
        warn("CLAUDE_PROXY_ADMIN_LISTEN is reachable from other hosts: whoever reaches it reads the metrics.");
    }
}

}  // namespace

std::span<const setting_help> all_settings() {
    struct help_texts {
        std::vector<std::string> defaults;
        std::vector<setting_help> list;
    };
    static const help_texts made = [] {
        help_texts texts;
        settings fresh;
        for (const auto& row : table::rows()) texts.defaults.push_back(table::show(row, fresh));
        for (const auto& row : table::rows())
            texts.list.push_back({row.name, texts.defaults[texts.list.size()], row.meaning});
        return texts;
    }();
    return made.list;
}

std::expected<settings, std::vector<std::string>> load(const environment& given, purpose use,
                                                       const environment& secret) {
    settings made;
    made.log.form = isatty(STDERR_FILENO) == 1 ? telemetry::format::text : telemetry::format::json;
    found_values values;
    problems_of problems;
    take_environment(given, values, problems);
    take_secrets(secret, values, made.warnings);
    take_file(values, problems);
    bool all_read = true;
    for (const auto& row : table::rows()) {
        const auto value = values.find(row.name);
        if (value == values.end()) continue;
        if (const auto done = table::read(row, value->second.text, made); !done) {
            problems.push_back(fmt::format("{}{} {}.", row.name, value->second.where, done.error()));
            all_read = false;
        }
    }
    made.queue.aws = made.aws;
    if (all_read) check_together(made, use, problems);  // else it would complain about defaults
    if (!problems.empty()) return std::unexpected(std::move(problems));
    return made;
}

}  // namespace config
