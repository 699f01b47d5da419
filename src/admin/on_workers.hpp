// Work that blocks, done on a thread of database::workers while the reactor's coroutine waits.
#pragma once

#include <chrono>
#include <functional>

#include "admin/endpoint.hpp"
#include "database/workers.hpp"
#include "http/connection.hpp"
#include "telemetry/telemetry.hpp"

namespace admin {

// The outcome of `work`, which gets a connection of the thread's own. Errors of its own: database_unavailable (no
// database, no room in the queue, or no outcome after `at_most`: then the work does not begin any more, but if it had
// begun it may still be done), conflict, internal (the log has the reason), shutting_down.
// `work` must own what it refers to, but for `hub`: it may outlive the wait, the reactor and the listener.
net::task<base::result<reply>> on_workers(http::connection& client, database::workers& workers, telemetry::hub& hub,
                                          std::chrono::milliseconds at_most,
                                          std::function<base::result<reply>(database::connection&)> work);

}  // namespace admin
