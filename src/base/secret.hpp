// A string that must never be printed: keys, tokens, passwords. Formatting it gives `***`.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace base {

class secret {
public:
    secret() = default;
    explicit secret(std::string value) : value_(std::move(value)) {}
    // The one way out. Call it where the value is used (a header, a digest), never where it is shown.
    std::string_view reveal() const { return value_; }
    bool empty() const { return value_.empty(); }

private:
    std::string value_;
};

}  // namespace base

template <>
struct fmt::formatter<base::secret> : fmt::formatter<std::string_view> {
    auto format(const base::secret&, format_context& context) const {
        return fmt::formatter<std::string_view>::format("***", context);
    }
};
