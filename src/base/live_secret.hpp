// A secret that may be replaced while the process runs, such as the password that new connections take. Whoever needs
// it asks at the moment of use; what is under way goes on with what it had. Thread rule: any thread; a lock is held for
// a copy, so it is not for a request's path.
#pragma once

#include <mutex>
#include <utility>

#include "base/secret.hpp"

namespace base {

class live_secret {
public:
    explicit live_secret(secret first) : value_(std::move(first)) {}
    live_secret(const live_secret&) = delete;
    live_secret& operator=(const live_secret&) = delete;

    secret now() const {
        const std::lock_guard held(guard_);
        return value_;
    }
    void use(secret next) {
        const std::lock_guard held(guard_);
        value_ = std::move(next);
    }

private:
    mutable std::mutex guard_;
    secret value_;
};

}  // namespace base
