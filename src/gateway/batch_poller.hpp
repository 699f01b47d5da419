// Looks after callers' batches, one poller a process: asks upstream whether they have ended, puts every result into the
// ledger, and finds out about those of which nobody knows whether they were made. It needs no caller to fetch
// anything. Several processes share the work through the rows (resources/batch_rows.hpp).
//
// Thread rule: the reactor's thread, from `start` on; the tasks end with the reactor (abandon_tasks), before this.
#pragma once

#include "gateway/batch_calls.hpp"
#include "pricing/pricing.hpp"
#include "resources/batch_book.hpp"
#include "resources/owners.hpp"
#include "telemetry/telemetry.hpp"

namespace gateway {

struct batch_poller_parts {
    net::reactor& reactor;
    upstream::client& upstream;
    resources::batch_book& book;
    resources::owners& owners;
    const pricing::price_table& prices;
    telemetry::hub& log;
    resources::time_ms (*now)();
};

class batch_poller {
public:
    explicit batch_poller(const batch_poller_parts& with) : with_(with), calls_(with.reactor, with.upstream) {}
    batch_poller(const batch_poller&) = delete;
    batch_poller& operator=(const batch_poller&) = delete;

    void start();

private:
    net::task<void> run();
    net::task<void> look_at(resources::batch_entry one);
    net::task<bool> settle(net::timer& clock, const resources::batch_entry& one, const batch_calls::sight& seen);
    net::task<bool> write(net::timer& clock, const resources::batch_entry& one,
                          std::shared_ptr<const ledger::row_buffer> rows);
    net::task<bool> give_up(net::timer& clock, const resources::batch_entry& one);
    void warn(const resources::batch_entry& about, std::string_view event, std::string what);

    const batch_poller_parts with_;
    const batch_calls calls_;
    std::uint32_t looking_ = 0;
};

}  // namespace gateway
