// One connection to Redis, blocking, with timeouts: for a thread of its own, never a reactor's.
//
// A failure is a sentence, and after one the connection is of no use: throw it away. Thread rule: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "redis/wire.hpp"

struct redisReader;

namespace redis {

// What one command brought: a text, whole numbers or texts, or an error of its own, which leaves the connection as it
// is. What a subscription brings is texts.
struct reply {
    std::string text{};
    std::vector<std::int64_t> numbers{};
    std::vector<std::string> texts{};
    std::string error{};
};

class connection {
public:
    // Connects, says who we are and chooses the database. Each step takes `timeout` at most, and so does each wait for
    // a reply afterwards.
    static outcome<connection> open(const address& to, std::chrono::milliseconds timeout);

    // Adds a command to those that go out with the next `read`. The views are copied.
    void add(std::span<const std::string_view> words);
    // The next reply, in the order of the commands.
    outcome<reply> read();
    // One command and its reply; an error of the command is a failure too.
    outcome<reply> run(std::span<const std::string_view> words);

    // For a subscription: sends what was added; reads what has come, and takes replies that are whole, without waiting.
    // Wait for `descriptor` to be readable first, once nothing is left to take.
    int descriptor() const;
    outcome<void> flush();
    outcome<void> fill();
    outcome<std::optional<reply>> take();

private:
    struct closer {
        void operator()(redisReader* reader) const;
    };
    explicit connection(wire over);

    wire wire_;
    std::unique_ptr<redisReader, closer> replies_;
    std::string unsent_;
};

}  // namespace redis
