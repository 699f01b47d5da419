// Reads the environment, `.env` and the optional YAML file into each folder's own options struct.
//
// One table in table.cpp lists every setting: environment name, default, meaning and how to parse it. The table makes
// the parser, the list of `serve --help`, the check for unknown `CLAUDE_PROXY_*` names and the check of `.env.example`.
// Order of precedence: real environment, `.env` in the working directory, the members of the secret that
// CLAUDE_PROXY_SECRETS names (secrets only), YAML file (CLAUDE_PROXY_CONFIG; keys are the names in lower case without
// the prefix `claude_proxy_`), default. Nothing is fetched here: who calls brings the environment and the secret's
// members as maps. Thread rule: `process_environment` before any thread starts; the rest is of values, on any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "aws/options.hpp"
#include "base/error.hpp"
#include "base/secret.hpp"
#include "database/options.hpp"
#include "gateway/options.hpp"
#include "governance/jwt_options.hpp"
#include "governance/options.hpp"
#include "http/options.hpp"
#include "jobs/options.hpp"
#include "jobs/webhook_options.hpp"
#include "ledger/options.hpp"
#include "queue/options.hpp"
#include "redis/options.hpp"
#include "resources/options.hpp"
#include "telemetry/telemetry.hpp"
#include "upstream/options.hpp"

namespace config {

struct address {
    std::string host;        // an IP address or "localhost"
    std::uint16_t port = 0;  // 0: any free port, printed at start
};

// Where secrets come from besides environment, `.env` and YAML file.
struct secrets_options {
    std::string id;                             // name or ARN in AWS Secrets Manager; empty: nowhere (`env`)
    std::chrono::milliseconds refresh{60'000};  // how often it is read again
};

struct settings {
    address listen{"127.0.0.1", 8080};
    address admin_listen{"127.0.0.1", 8081};
    std::uint32_t threads = 0;  // reactor threads; 0: number of cores
    std::string tls_cert_file;  // PEM chain; with tls_key_file the public listener speaks TLS
    std::string tls_key_file;
    base::secret admin_key;   // CLAUDE_PROXY_ADMIN_KEY, empty: generated
    base::secret client_key;  // CLAUDE_PROXY_KEY: of `jobs submit` and `jobs watch`, which ask a running gateway
    http::server_options server;
    upstream::options upstream;
    gateway::options gateway;
    database::options database;
    governance::options governance;
    governance::jwt_options jwt;
    ledger::options ledger;
    redis::options redis;  // without a URL limits are per replica
    secrets_options secrets;
    aws::options aws;
    queue::options queue;  // its `aws` is the one above
    jobs::options jobs;
    jobs::webhook_options webhooks;
    resources::options resources;
    std::string prices_file;  // CLAUDE_PROXY_PRICES: overrides of data/prices.yaml
    telemetry::options log;
    std::vector<std::string> warnings;  // to be logged once logging runs
};

struct setting_help {
    std::string_view name;   // environment name
    std::string_view value;  // default, as text
    std::string_view meaning;
};

// Every setting there is, in the order of `.env.example`.
std::span<const setting_help> all_settings();

// Environment as a map, so that tests need no process environment.
using environment = std::map<std::string, std::string, std::less<>>;
environment process_environment();

// Reads KEY=VALUE lines (comments, blank lines, optional `export `, single or double quotes). Error: a sentence with
// the line number.
std::expected<environment, std::string> read_env_file(const std::string& path);

// administer: a subcommand that works on the database only; what serving needs besides may be missing.
enum class purpose : std::uint8_t { serve, administer };

// All problems at once, each a sentence that names the variable and the cure. `secret`: members of the secret.
std::expected<settings, std::vector<std::string>> load(const environment& given, purpose use = purpose::serve,
                                                       const environment& secret = {});

// Secrets among the settings: what the secret may hold. Not who we are for Amazon (AWS_*): that is known before.
bool is_secret(std::string_view name);
// Secrets whose values differ, in the order of the table.
std::vector<std::string_view> changed_secrets(const settings& before, const settings& after);
// One secret's value, from one to the other.
void take_secret(std::string_view name, const settings& from, settings& into);

// The settings in force as a JSON object of texts by name; secrets that are set are "***".
std::string shown(const settings& from);

}  // namespace config
