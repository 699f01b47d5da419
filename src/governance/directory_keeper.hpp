// Keeps the directory of this replica up to date: a thread with a connection of its own asks for the generation every
// `directory_poll` and makes a new directory when it has moved. What was known last stays in force while the database
// cannot be reached.
//
//   directory_keeper keeper(database::open(url), settings, static_keys, hasher, live, now);   // throws without
//   database
//   ... give keeper.current() to every reactor ...
//   keeper.start({.on_change = [&](auto made) { for (auto& r : reactors) r.post(...); }, ...});
//
// Thread rule: construction, `start` and destruction by one thread; the rest by any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/secret.hpp"
#include "database/connection.hpp"
#include "governance/directory.hpp"
#include "governance/options.hpp"

namespace governance {

// Called on the keeper's thread; must not throw. Each may be left out.
struct keeper_reports {
    std::function<void(std::shared_ptr<const directory>)> on_change;
    std::function<void(std::string_view why)> on_outage;  // once, when looks begin to fail
    std::function<void()> on_recovery;                    // once, when they succeed again
    // Rows of a new directory that this binary does not understand; their keys are unknown.
    std::function<void(std::span<const std::string> ids)> on_unreadable;
};

class directory_keeper {
public:
    // Loads the first directory at once: throws database::failure. `live` and `hasher` must outlive the keeper.
    directory_keeper(std::unique_ptr<database::connection> on, const options& settings,
                     std::vector<base::secret> static_keys, const key_hasher& hasher, live_parts& live,
                     time_ms (*now)());
    ~directory_keeper();  // waits for a look that is under way; those who still wait for one are told
    directory_keeper(const directory_keeper&) = delete;
    directory_keeper& operator=(const directory_keeper&) = delete;

    void start(keeper_reports reports);

    std::shared_ptr<const directory> current() const;

    // For a key that has the right shape and is unknown: it may be younger than the last look. `done` is called on the
    // keeper's thread after a look that began after this call, also when the look failed. Requests share looks, and
    // there is at most one every 50 ms, so that made-up keys cost the database nothing. False when too many wait
    // already or the keeper does not run: `done` is not called.
    bool refresh_soon(std::function<void()> done);

    // From now on these static keys, with the next look that reaches the database: within directory_poll.
    void use_static_keys(std::vector<base::secret> keys);

    // When the database was last seen to agree with `current`; stale beyond options::staleness_max.
    time_ms last_success_ms() const { return last_success_.load(std::memory_order_relaxed); }

private:
    void run();
    void look();
    void take_static_keys();
    void renew();
    void report_unreadable();

    const std::unique_ptr<database::connection> on_;
    const milliseconds poll_every_;
    const key_hasher& hasher_;
    live_parts& live_;
    time_ms (*const now_)();

    // Of the keeper's thread, once it runs.
    std::vector<base::secret> static_keys_;
    bool static_keys_differ_ = false;  // from those of `current`
    keeper_reports reports_;
    std::vector<std::string> unreadable_;
    bool is_out_ = false;

    std::atomic<time_ms> last_success_{0};
    mutable std::mutex guard_;  // of the rest
    std::condition_variable changed_;
    std::shared_ptr<const directory> current_;
    std::optional<std::vector<base::secret>> next_static_keys_;
    std::vector<std::function<void()>> waiting_;
    bool running_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace governance
