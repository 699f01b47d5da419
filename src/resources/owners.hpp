// Which team made a thing that lives upstream: a batch, a file, a skill, a container. All teams share the upstream's
// account, so that nothing but this tells them apart.
//
// An id has one owner for good, so what is known in memory stays right; what is not known there is asked of the
// database, by a thread with a connection of its own. While the database is away a known id goes on working, an unknown
// one is `unavailable`, and new ids are remembered and written later. Thread rule: construction and destruction by one
// thread; the rest by any, without blocking. `done` is called once, on the thread of the owners or at once, must be
// short and must not call back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "database/connection.hpp"
#include "resources/options.hpp"

namespace resources {

using time_ms = std::int64_t;

enum class kind : std::uint8_t { batch, file, skill, container };
std::string_view name_of(kind what);
std::optional<kind> kind_named(std::string_view name);
std::optional<kind> kind_of_id(std::string_view id);  // by its prefix

struct made {
    std::string id;
    kind what = kind::file;
    std::string team_id;
    std::string key_id;
};

enum class finding : std::uint8_t { mine, not_mine, unavailable };

struct found {
    finding what = finding::unavailable;
    std::string id{};  // the first one that is not the team's, or that nobody knows; empty for `mine`
};

// Each may be left out. Called on the thread of the owners.
struct owners_reports {
    std::function<void(std::string_view why)> on_outage;  // once, when the database cannot be reached
    std::function<void()> on_recovery;                    // once, when it can again
    std::function<void(const made&)> on_lost;             // unwritten_max is reached: this id will be nobody's
};

class owners {
public:
    // Connects when it is first asked.
    owners(std::unique_ptr<database::connection> on, const options& settings, time_ms (*now)(), owners_reports reports);
    ~owners();  // writes what was recorded, if the database can be reached
    owners(const owners&) = delete;
    owners& operator=(const owners&) = delete;

    // From now on this process knows the owner; `done` hears when the database does. While it is away `done` may hear
    // it late. An id that has an owner keeps it.
    void record(made what, std::function<void()> done);

    // From memory alone; nothing: ask.
    std::optional<finding> look(std::string_view id, std::string_view team_id) const;
    // Whether every one of the ids is the team's.
    void ask(std::vector<std::string> ids, std::string team_id, std::function<void(found)> done);
    // Every id of the team and kind; nothing: the database is away, or there are more than listed_max.
    void list(kind what, std::string team_id, std::function<void(std::optional<std::vector<std::string>>)> done);

    // It is gone upstream: it belongs to nobody from now on.
    void forget(std::string id);

    std::size_t unwritten() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace resources
