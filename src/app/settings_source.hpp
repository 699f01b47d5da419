// Where the settings of a process come from, to be read as often as is wanted: the real environment, `.env`, the secret
// that CLAUDE_PROXY_SECRETS names in AWS Secrets Manager, the YAML file. config/settings.hpp has the order.
//
// Reading blocks: files, and calls of Amazon within the patience. Which secret it is and how Amazon is reached is known
// from the first reading on and does not change. Thread rule: one thread at a time; `stop` may be called from any.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "app/secret_document.hpp"
#include "config/settings.hpp"

namespace app {

class settings_source {
public:
    // How long a start tries to get at the secret: networks and roles of a fresh container may come later than it.
    static constexpr std::chrono::milliseconds start_patience{30'000};
    static constexpr std::chrono::milliseconds refresh_patience{10'000};
    static constexpr std::chrono::milliseconds look_patience{0};  // one try, of call_timeout
    static constexpr std::chrono::milliseconds call_timeout{5'000};

    struct reading {
        config::settings settings;
        secret_version version{};            // of the secret
        std::vector<std::string> members{};  // that the secret has, by name
        std::vector<std::string> ignored{};  // that it has and that are no secrets of ours
    };
    enum class trouble : std::uint8_t {
        away,     // Secrets Manager does not answer, or not now
        refused,  // it does not give us this secret
        broken,   // the secret, a file or a setting is not what it must be
    };
    struct failure {
        trouble what = trouble::broken;
        bool is_of_secret = false;          // else of the environment or a file
        std::vector<std::string> problems;  // sentences that name the setting or the secret, and the cure
    };

    // `process`: the real environment. `env_file` may be missing.
    explicit settings_source(config::environment process, std::string env_file = ".env");
    ~settings_source();
    settings_source(const settings_source&) = delete;
    settings_source& operator=(const settings_source&) = delete;

    std::expected<reading, failure> read(config::purpose use, std::chrono::milliseconds patience);
    // All but the secret, for whoever wants to say more about a machine than that its secret is missing.
    std::expected<config::settings, failure> read_without_secret() const;
    // "claude-proxy-secrets in eu-west-1"; "the environment".
    std::string name() const;
    // Ends a call of Amazon that is under way, and all to come.
    void stop();

private:
    class secret;

    std::expected<config::environment, failure> environment_now() const;

    const config::environment process_;
    const std::string env_file_;
    bool is_known_ = false;           // which secret it is, or that there is none
    std::unique_ptr<secret> secret_;  // null: none, or nothing has been read
};

}  // namespace app
