// May a failed attempt be repeated by us? A decision of values; the caller acts.
//
// Never once a byte has reached the client. Otherwise (docs/protocol.md, who repeats a call): a pooled connection that
// turned out closed and gave no byte is always worth one fresh connection; a refused connection sent nothing; a stream
// that broke or said `error` before its first content has told the client nothing yet, and is repeated once. A sync
// answer that was cut may have been billed and the SDKs repeat it by themselves, so it is not repeated here.
#pragma once

#include <cstdint>

#include "base/error.hpp"

namespace upstream {

struct attempt {
    std::uint32_t number = 1;  // of this request, from 1
    base::errc failure = base::errc::internal;
    bool reached_client = false;  // a byte of an answer was written downstream
    bool stale = false;           // pooled connection, closed before it gave a byte
    bool stream = false;          // the request asked for a stream
    bool body_repeatable = true;  // false once a streamed upload has begun
};

constexpr bool may_repeat(const attempt& last, std::uint32_t attempts_max) {
    if (last.reached_client || !last.body_repeatable) return false;
    if (last.stale && last.failure == base::errc::upstream_cut) return last.number <= attempts_max;
    if (last.number >= attempts_max) return false;
    switch (last.failure) {
        case base::errc::upstream_connect_failed:
            return true;
        case base::errc::upstream_cut:
        case base::errc::upstream_error_event:
            return last.stream;
        default:
            return false;
    }
}

}  // namespace upstream
