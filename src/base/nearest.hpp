// The known name that a misspelt one most likely means, for messages such as "did you mean `x`?".
// Plain functions of values; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace base {

// Insertions, removals and replacements of one character that make `b` out of `a`.
std::size_t edit_distance(std::string_view a, std::string_view b);
// The name most like `asked`, or nothing when none is like it.
std::string_view nearest(std::string_view asked, std::span<const std::string_view> names);

}  // namespace base
