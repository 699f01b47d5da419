// While one of these lives, threads are born with every signal blocked: none may interrupt them or, being SIGPIPE, end
// the process. Thread rule: begins and ends on one thread.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace base {

class signals_blocked {
public:
    signals_blocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;

private:
    sigset_t before_;
};

}  // namespace base
