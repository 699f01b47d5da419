// The name of a member as it stands inside a JSON object, `,"name":`, made by the compiler: a line of the log has some
// thirty of them, a row of the ledger a dozen. For names that need no escapes.
#pragma once

#include <cstddef>
#include <string_view>

namespace base {

class member_name {
public:
    template <std::size_t Size>
    consteval member_name(const char (&name)[Size]) : size_(Size + 3) {
        static_assert(Size + 3 <= sizeof text_);
        char* end = text_;
        *end++ = ',';
        *end++ = '"';
        for (std::size_t i = 0; i + 1 < Size; ++i) *end++ = name[i];
        *end++ = '"';
        *end++ = ':';
    }

    std::string_view text() const { return {text_, size_}; }
    std::string_view text_of_first() const { return text().substr(1); }  // without the comma

private:
    char text_[40]{};
    std::size_t size_;
};

}  // namespace base
