// One HTTP call of the command line to a running gateway. Thread rule: the main thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.hpp"

namespace app {

struct http_call {
    std::string url;
    const base::secret* key = nullptr;   // travels in x-api-key
    std::vector<std::string> headers{};  // "name: value"
    const std::string* body = nullptr;   // with one it is a POST
    // Called with each piece of a 2xx answer's body as it comes; false ends the call. Without it the body is kept.
    std::function<bool(std::string_view)> take{};
    long silence_seconds = 60;  // so long without a byte: the connection is dead
};

struct http_answer {
    long status = 0;      // 0: none came, `problem` says why
    std::string problem;  // also for an answer that broke off
    std::string body;     // of at most 64 MiB
};

http_answer call(const http_call& what);

}  // namespace app
