// What everybody who calls HTTP over libcurl has in common: handles that free themselves, requests that go where they
// were told and nowhere else, answers of bounded size. Whoever needs more sets it on the handle.
// Thread rule: of a handle its own thread; curl_multi_wakeup is for any.
#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/released_by.hpp"

namespace transfer {

using multi_ptr = std::unique_ptr<CURLM, base::released_by<curl_multi_cleanup>>;
using easy_ptr = std::unique_ptr<CURL, base::released_by<curl_easy_cleanup>>;
using list_ptr = std::unique_ptr<curl_slist, base::released_by<curl_slist_free_all>>;

// Before the first handle; again and again is fine. Throws std::runtime_error.
void initialise();
// Throw std::bad_alloc.
multi_ptr new_multi();
easy_ptr new_easy();
void append(list_ptr& to, const std::string& line);

enum class schemes : std::uint8_t { https, http_and_https };
// Where a request goes: no redirect, no proxy but the settings' (there is none), TLS that is verified, by the system's
// anchors and those of `ca_file` (may be empty). Signals are left alone.
void go_straight(CURL* easy, const std::string& url, schemes allowed, const std::string& ca_file);

// The body of the answer, which ends the transfer where it would be longer than `bytes_max`. It outlives the transfer.
struct body {
    std::uint64_t bytes_max = 0;
    std::string text{};
    bool too_large = false;
};
void collect(CURL* easy, body& into);

// One transfer, to its end, or until `must_stop` says so, which is asked once a second and after a curl_multi_wakeup:
// then CURLE_ABORTED_BY_CALLBACK. The handle is not in `multi` any more.
CURLcode carry_out(CURLM* multi, CURL* easy, const std::function<bool()>& must_stop);

}  // namespace transfer
