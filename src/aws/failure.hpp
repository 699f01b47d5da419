// A call to one of Amazon's services that did not succeed.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace aws {

class failure : public std::runtime_error {
public:
    // `retryable`: away, throttled, timed out; else the request, the credentials or the settings are wrong.
    failure(bool retryable, std::string name, const std::string& what)
        : std::runtime_error(what), may_retry(retryable), code(std::move(name)) {}
    bool may_retry;
    std::string code;  // the service's name of the error, such as "QueueDoesNotExist"; empty: there was no answer

    static constexpr std::string_view stopped = "Stopped";  // the code of a call that `stop` ended
};

}  // namespace aws
