// One connection to Redis, blocking, with timeouts: for a thread of its own, never a reactor's.
//
// A failure is a sentence, and after one the connection is of no use: throw it away. Thread rule: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "redis/options.hpp"

struct redisContext;

namespace redis {

struct address {
    std::string host;
    std::uint16_t port = 6379;
    std::string user{};  // empty: the default user
    base::secret password{};
    std::uint32_t database = 0;
};

// errc::invalid_argument with a sentence that does not repeat the URL: it may carry a password.
base::result<address> parse_address(std::string_view url);
// Where a new connection goes: to the options' `live_url` as it is now, else to `otherwise`.
address address_now(const options& settings, const address& otherwise);

// What one command brought: a text, whole numbers or texts, or an error of its own, which leaves the connection as it
// is. What a subscription brings is texts.
struct reply {
    std::string text{};
    std::vector<std::int64_t> numbers{};
    std::vector<std::string> texts{};
    std::string error{};
};

template <class T>
using outcome = std::expected<T, std::string>;

class connection {
public:
    // Connects, says who we are and chooses the database.
    static outcome<connection> open(const address& to, std::chrono::milliseconds timeout);

    // Adds a command to those that go out with the next `read`. The views are copied.
    outcome<void> add(std::span<const std::string_view> words);
    // The next reply, in the order of the commands.
    outcome<reply> read();
    // One command and its reply; an error of the command is a failure too.
    outcome<reply> run(std::span<const std::string_view> words);

    // For a subscription: sends what was added; reads once what has come, and takes replies that are whole, without
    // waiting. Wait for `descriptor` to be readable first, once nothing is left to take.
    int descriptor() const;
    outcome<void> flush();
    outcome<void> fill();
    outcome<std::optional<reply>> take();

private:
    struct closer {
        void operator()(redisContext* context) const;
    };
    explicit connection(redisContext* context) : context_(context) {}
    std::string failure() const;

    std::unique_ptr<redisContext, closer> context_;
};

}  // namespace redis
