// What the store reads: statements of their own, on any connection. All throw database::failure. `team_id` empty: any.
#pragma once

#include <exception>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "database/connection.hpp"
#include "jobs/store.hpp"

namespace jobs::reads {

std::optional<summary> find(database::connection& on, const std::string& id, const std::string& team_id);
std::optional<std::vector<summary>> list(database::connection& on, const filter& which);
std::optional<std::pair<summary, std::string>> result(database::connection& on, const std::string& id,
                                                      const std::string& team_id);
std::vector<store::log_news> logs(database::connection& on, std::span<const store::log_wish> wishes,
                                  std::size_t bytes_max);
std::vector<attempt_entry> history(database::connection& on, const std::string& id);
std::vector<store::running_job> to_cancel(database::connection& on, std::span<const store::running_job> held);
counts_by_status count(database::connection& on);
std::map<std::string, std::uint64_t, std::less<>> open_by_team(database::connection& on);

// What `look` finds, as the answer of a call; nothing is not_found. Whoever waits must hear of an end, whatever it
// throws: `unavailable`, or `refused` with the reason told when to look again would not help.
template <class Value, class Look, class Refused>
std::pair<outcome, Value> answer_of(const Look& look, const Refused& refused) {
    try {
        if (std::optional<Value> found = look()) return {outcome::done, std::move(*found)};
        return {outcome::not_found, Value()};
    } catch (const database::failure& problem) {
        if (problem.kind != database::failure_kind::invalid) return {outcome::unavailable, Value()};
        refused(problem.what());
    } catch (const std::exception& problem) {
        refused(problem.what());
    }
    return {outcome::refused, Value()};
}

}  // namespace jobs::reads
