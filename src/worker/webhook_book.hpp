// What is known of the destinations of webhooks: how many requests are under way to each, and which are left alone
// because they failed too often. A breaker opens after breaker_failures in a row, for a time that doubles each time;
// then one request is let through to try, and its outcome closes the breaker or opens it again.
//
// Times are milliseconds of any steady clock, given by the caller. Thread rule: one thread.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "jobs/webhook_deliveries.hpp"
#include "jobs/webhook_options.hpp"

namespace worker {

class webhook_book {
public:
    explicit webhook_book(const jobs::webhook_options& options) : options_(options) {}

    // A request may begin now; counted as under way. False: too many are, or the breaker is open.
    bool begin(const jobs::destination& to, std::int64_t now);
    // It has ended.
    enum class outcome : std::uint8_t {
        well,
        trouble,
        unknown,  // it was cut short by ourselves
    };
    enum class change : std::uint8_t { none, opened, closed };
    change end(const jobs::destination& to, outcome how, std::int64_t now);

    // To whom nothing may begin now, or so little that taking more from the database is not worth it yet.
    std::vector<jobs::destination> closed_to(std::int64_t now) const;
    std::size_t open_breakers() const;  // those that wait for a successful try included
    std::uint32_t under_way() const { return under_way_; }
    std::size_t destinations() const { return entries_.size(); }

    // Forgets what has had no requests for so long that it does not matter any more. At destinations_max, `begin`
    // forgets whatever has none under way: that costs a few tries that a breaker would have spared.
    void forget(std::int64_t now);
    static constexpr std::size_t destinations_max = 20'000;

private:
    struct entry {
        std::uint32_t under_way = 0;
        std::uint32_t failures = 0;   // in a row
        std::int64_t seen = 0;        // last begin or end
        std::int64_t open_until = 0;  // of an open breaker
        std::int64_t open_for = 0;    // 0: closed
    };
    bool may_begin(const entry& known, std::int64_t now) const;

    const jobs::webhook_options options_;
    std::map<jobs::destination, entry> entries_;
    std::uint32_t under_way_ = 0;
};

}  // namespace worker
