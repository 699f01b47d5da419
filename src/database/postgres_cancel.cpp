#include "database/postgres_cancel.hpp"

#include <signal.h>

#include <array>
#include <system_error>
#include <thread>

namespace database {

void postgres_cancel::give_up(PGconn* session) {
    if (is_busy_->exchange(true)) {
        PQfinish(session);
        return;
    }
    try {
        // Detached, because PQcancel waits for the other side without a limit of its own and cannot be interrupted: a
        // frozen server, or a pooler before one, would keep it for good. It owns all that it uses, and there is one at
        // most for each connection. The session is closed after it: a pooler forgets whom it belonged to.
        std::thread([session, is_busy = is_busy_] {
            sigset_t all;
            sigfillset(&all);
            pthread_sigmask(SIG_BLOCK, &all, nullptr);
            if (PGcancel* request = PQgetCancel(session); request != nullptr) {
                std::array<char, 256> trouble{};
                PQcancel(request, trouble.data(), trouble.size());
                PQfreeCancel(request);
            }
            PQfinish(session);
            is_busy->store(false);
        }).detach();
    } catch (const std::system_error&) {  // no thread to be had
        PQfinish(session);
        is_busy_->store(false);
    }
}

}  // namespace database
