// Rewrites `results_url` in batch objects to the gateway's own address. Plain function of bytes.
#pragma once

#include <string>
#include <string_view>

namespace gateway {

// Every member "results_url" whose value is a string gets `base` ("https://host") in front of its path from /v1/ on.
// All other bytes stay. Values without /v1/ and null stay.
void rewrite_results_urls(std::string& json, std::string_view base);

}  // namespace gateway
