// Reads the environment, `.env` and the optional YAML file into each folder's own options struct.
//
// One table in table.cpp lists every setting: environment name, default, meaning and how to parse it. The table makes
// the parser, the list of `serve --help`, the check for unknown `CLAUDE_PROXY_*` names and the check of `.env.example`.
// Order of precedence: real environment, `.env` in the working directory, YAML file (CLAUDE_PROXY_CONFIG; keys are the
// names in lower case without the prefix `claude_proxy_`), default. Thread rule: call before any thread starts.
#pragma once

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
#include "resources/options.hpp"
#include "telemetry/telemetry.hpp"
#include "upstream/options.hpp"

namespace config {

struct address {
    std::string host;        // an IP address or "localhost"
    std::uint16_t port = 0;  // 0: any free port, printed at start
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
    base::secret redis_url;     // REDIS_URL, empty: limits are per replica
    std::string redis_ca_file;  // trusted for a rediss URL, besides the system's anchors
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

// All problems at once, each a sentence that names the variable and the cure.
std::expected<settings, std::vector<std::string>> load(const environment& environment, purpose use = purpose::serve);

// The settings in force as a JSON object of texts by name; secrets that are set are "***".
std::string shown(const settings& from);

}  // namespace config
