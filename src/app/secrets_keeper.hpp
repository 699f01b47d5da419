// Reads the secrets again while a process runs, and has those that changed taken up without a request noticing: every
// CLAUDE_PROXY_SECRETS_REFRESH where they come from AWS Secrets Manager, and on SIGHUP wherever they come from.
//
// What cannot be read, or must not be used (secret_changes.hpp), changes nothing: the secrets in force stay, for as
// long as it takes. That is logged once when it begins, once when it becomes another trouble, once when it is over, and
// measured; the process stays ready.
//
// One thread reads and calls the appliers. Thread rule: made, started and stopped by one thread; `look_now` by any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "app/settings_source.hpp"
#include "telemetry/telemetry.hpp"

namespace app {

class secrets_keeper {
public:
    // Has what changed taken up: posts it to the reactors, or keeps it for new connections. Called on the keeper's
    // thread with the settings that are in force from now on; must not throw.
    using applier = std::function<void(const config::settings& in_force)>;

    // `from` and `hub` outlive this object.
    secrets_keeper(settings_source& from, settings_source::reading in_force, telemetry::hub& hub);
    ~secrets_keeper();
    secrets_keeper(const secrets_keeper&) = delete;
    secrets_keeper& operator=(const secrets_keeper&) = delete;

    // Before `start`. One for each secret that is taken up at once.
    void on(std::string_view name, applier take_up);
    void add_metrics();
    void start();
    void look_now();  // SIGHUP
    void stop();      // no applier is called afterwards

private:
    enum class cause : std::uint8_t { timer, hangup };

    void run();
    void look(cause why);
    void failed(const settings_source::failure& problem, cause why);
    void read_well(settings_source::reading read, cause why);
    void tell_of_restart(const std::vector<std::string_view>& names);

    settings_source& from_;
    telemetry::hub& hub_;
    std::map<std::string, applier, std::less<>> appliers_;

    // Of the keeper's thread, once it runs.
    settings_source::reading in_force_;
    std::optional<settings_source::trouble> trouble_;
    std::vector<std::string_view> told_of_restart_;

    struct counts {
        std::atomic<std::uint64_t> read{0};
        std::atomic<std::uint64_t> failed{0};
        std::atomic<std::uint64_t> changed{0};
        std::atomic<std::int64_t> read_at_ms{0};     // of the last good reading; monotonic
        std::atomic<std::int64_t> version_at_ms{0};  // when the version in force was made, since 1970
        std::atomic<std::uint64_t> wait_for_restart{0};
    };
    counts counts_;

    std::mutex guard_;  // of the rest
    std::condition_variable changed_;
    bool asked_ = false;
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

}  // namespace app
