// Ends a statement that took too long on the server too: else it would go on with nobody waiting for it, and keep its
// locks. One per connection. Thread rule: the connection's.
#pragma once

#include <libpq-fe.h>

#include <atomic>
#include <memory>

namespace database {

class postgres_cancel {
public:
    // Takes the session, cancels what it does, and closes it. Never blocks: while the cancelling of an earlier session
    // hangs, this one is just closed.
    void give_up(PGconn* session);

private:
    std::shared_ptr<std::atomic<bool>> is_busy_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace database
