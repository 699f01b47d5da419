#include "jobs/webhook_deliveries.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace jobs {
namespace {

using database::integer_of;
using database::text_of;
using database::value;

constexpr std::array<std::string_view, 3> state_names = {"waiting", "delivered", "given_up"};
constexpr std::size_t error_bytes_max = 300;

std::uint32_t small(const value& number) { return static_cast<std::uint32_t>(integer_of(number)); }

// Conditions with their parameters, in the order in which they are added.
class conditions {
public:
    explicit conditions(std::vector<value> first = {}) : parameters_(std::move(first)) {}
    // `text` has "{}" where the parameter stands.
    void add(std::string_view text, value parameter) {
        parameters_.push_back(std::move(parameter));
        text_ += fmt::format(" AND {}", fmt::format(fmt::runtime(text), fmt::format("${}", parameters_.size())));
    }
    const std::string& text() const { return text_; }
    std::span<const value> parameters() const { return parameters_; }

private:
    std::vector<value> parameters_;
    std::string text_;
};

void add_filter(conditions& where, const delivery_filter& which) {
    if (!which.id.empty()) where.add("id = {}", which.id);
    if (!which.job_id.empty()) where.add("job_id = {}", which.job_id);
    if (!which.team_id.empty()) where.add("team_id = {}", which.team_id);
    if (which.state) where.add("state = {}", std::string(name_of(*which.state)));
}

}  // namespace

std::string_view name_of(delivery_state what) { return state_names[static_cast<std::size_t>(what)]; }

std::optional<delivery_state> delivery_state_named(std::string_view name) {
    const auto found = std::ranges::find(state_names, name);
    if (found == state_names.end()) return std::nullopt;
    return static_cast<delivery_state>(found - state_names.begin());
}

std::vector<claimed_delivery> claim_deliveries(database::connection& on, std::string_view claimant,
                                               const claim_bounds& bounds, std::span<const destination> not_to,
                                               time_ms now, time_ms until) {
    // A long row of deliveries to one destination hides the others only from this claim: the next one excludes it.
    constexpr std::int64_t looked_at_max = 500;
    std::vector<value> parameters = {now,
                                     looked_at_max,
                                     std::string(claimant),
                                     until,
                                     static_cast<std::int64_t>(bounds.count),
                                     static_cast<std::int64_t>(bounds.per_destination)};
    std::string excluded;
    for (const auto& each : not_to.first(std::min(not_to.size(), excluded_max))) {
        parameters.emplace_back(each.team_id + " " + each.endpoint);
        excluded += fmt::format("{}${}", excluded.empty() ? "" : ", ", parameters.size());
    }
    if (!excluded.empty()) excluded = fmt::format(" AND team_id || ' ' || endpoint NOT IN ({})", excluded);
    // Replicas that look at the same time pass by each other's rows; SQLite lets one write at a time.
    const std::string_view passing_by = on.kind() == database::engine::postgres ? "FOR UPDATE SKIP LOCKED" : "";
    const auto rows = on.query(
        fmt::format(
            "WITH front AS (SELECT id, team_id, endpoint, next_at FROM claude_proxy.webhook_deliveries "
            "WHERE state = 'waiting' AND next_at <= $1 AND claimed_until <= $1{} ORDER BY next_at LIMIT $2), "
            "placed AS (SELECT id, next_at, ROW_NUMBER() OVER (PARTITION BY team_id, endpoint ORDER BY next_at) AS "
            "place FROM front), "
            "due AS (SELECT id FROM placed WHERE place <= $6 ORDER BY next_at LIMIT $5), "
            "taken AS (SELECT id FROM claude_proxy.webhook_deliveries WHERE id IN (SELECT id FROM due) "
            "AND state = 'waiting' AND claimed_until <= $1 {}) "
            "UPDATE claude_proxy.webhook_deliveries SET claimed_by = $3, claimed_until = $4, updated_at = $1 "
            "WHERE id IN (SELECT id FROM taken) "
            "RETURNING id, job_id, team_id, endpoint, url, body, tries, next_at",
            excluded, passing_by),
        std::span<const value>(parameters));
    std::vector<claimed_delivery> claimed;
    for (const auto& row : rows) {
        claimed.push_back({.id = text_of(row[0]),
                           .job_id = text_of(row[1]),
                           .to = {text_of(row[2]), text_of(row[3])},
                           .url = text_of(row[4]),
                           .body = text_of(row[5]),
                           .tries = small(row[6]),
                           .next_at = integer_of(row[7]),
                           .claimed_until = until});
    }
    std::ranges::sort(claimed, {}, &claimed_delivery::next_at);
    return claimed;
}

std::size_t mark_deliveries(database::connection& on, std::string_view claimant, std::span<const delivery_mark> marks,
                            time_ms now) {
    std::size_t held = 0;
    database::transaction whole(on);
    for (const auto& mark : marks) {
        // The end of the claim tells this claim from a later one of the same claimant.
        const std::string who(claimant);
        if (!mark.tried) {
            held += on.execute(
                "UPDATE claude_proxy.webhook_deliveries SET claimed_by = '', claimed_until = 0, next_at = $1, "
                "updated_at = $2 WHERE id = $3 AND claimed_by = $4 AND claimed_until = $5 AND state = 'waiting'",
                {mark.next_at, now, mark.id, who, mark.claimed_until});
            continue;
        }
        held += on.execute(
            "UPDATE claude_proxy.webhook_deliveries SET claimed_by = '', claimed_until = 0, next_at = $1, "
            "updated_at = $2, state = $6, tries = tries + 1, last_status = $7, last_error = $8 "
            "WHERE id = $3 AND claimed_by = $4 AND claimed_until = $5 AND state = 'waiting'",
            {mark.next_at, now, mark.id, who, mark.claimed_until, std::string(name_of(mark.state)),
             static_cast<std::int64_t>(mark.status), mark.error.substr(0, error_bytes_max)});
    }
    whole.commit();
    return held;
}

std::size_t give_up_deliveries(database::connection& on, time_ms since, time_ms now) {
    return on.execute(
        "UPDATE claude_proxy.webhook_deliveries SET state = 'given_up', updated_at = $2, claimed_by = '', "
        "claimed_until = 0, last_error = CASE WHEN last_error = '' THEN 'waited too long' ELSE last_error END "
        "WHERE state = 'waiting' AND next_at <= $2 AND claimed_until <= $2 AND created_at < $1 AND replayed_at < $1",
        {since, now});
}

std::uint64_t count_waiting_deliveries(database::connection& on) {
    const auto rows = on.query("SELECT COUNT(*) FROM claude_proxy.webhook_deliveries WHERE state = 'waiting'");
    return static_cast<std::uint64_t>(integer_of(rows.at(0).at(0)));
}

std::vector<delivery_entry> list_deliveries(database::connection& on, const delivery_filter& which,
                                            std::string_view after_id, std::uint32_t limit) {
    conditions where({static_cast<std::int64_t>(limit)});
    add_filter(where, which);
    if (!after_id.empty()) {
        where.add("(created_at, id) < (SELECT created_at, id FROM claude_proxy.webhook_deliveries WHERE id = {})",
                  std::string(after_id));
    }
    const auto rows = on.query(
        fmt::format("SELECT id, job_id, team_id, endpoint, url, event, state, tries, next_at, last_status, last_error, "
                    "created_at, updated_at, replayed_at FROM claude_proxy.webhook_deliveries WHERE TRUE{} "
                    "ORDER BY created_at DESC, id DESC LIMIT $1",
                    where.text()),
        where.parameters());
    std::vector<delivery_entry> found;
    for (const auto& row : rows) {
        const auto state = delivery_state_named(text_of(row[6]));
        if (!state) throw database::failure(database::failure_kind::invalid, "a delivery's state is not understood");
        const time_ms replayed_at = integer_of(row[13]);
        found.push_back({.id = text_of(row[0]),
                         .job_id = text_of(row[1]),
                         .to = {text_of(row[2]), text_of(row[3])},
                         .url = text_of(row[4]),
                         .event = text_of(row[5]),
                         .state = *state,
                         .tries = small(row[7]),
                         .next_at = integer_of(row[8]),
                         .last_status = small(row[9]),
                         .last_error = text_of(row[10]),
                         .created_at = integer_of(row[11]),
                         .updated_at = integer_of(row[12]),
                         .replayed_at = replayed_at == 0 ? std::nullopt : std::optional(replayed_at)});
    }
    return found;
}

std::size_t replay_deliveries(database::connection& on, const delivery_filter& which, time_ms now) {
    conditions where({now});
    add_filter(where, which);
    return on.execute(
        fmt::format("UPDATE claude_proxy.webhook_deliveries SET state = 'waiting', tries = 0, next_at = $1, "
                    "replayed_at = $1, updated_at = $1, claimed_by = '', claimed_until = 0 WHERE claimed_until <= $1{}",
                    where.text()),
        where.parameters());
}

}  // namespace jobs
