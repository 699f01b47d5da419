#include "app/http_call.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <memory>

#include "base/released_by.hpp"

namespace app {
namespace {

constexpr std::size_t body_bytes_max = 64 << 20;
constexpr long connect_seconds = 10;

using easy_ptr = std::unique_ptr<CURL, base::released_by<curl_easy_cleanup>>;
using header_ptr = std::unique_ptr<curl_slist, base::released_by<curl_slist_free_all>>;

struct transfer {
    const http_call& what;
    CURL* easy;
    http_answer answer{};
    bool ended = false;  // by `take`
};

std::size_t take(char* data, std::size_t, std::size_t size, void* into) {
    auto& of = *static_cast<transfer*>(into);
    long status = 0;
    curl_easy_getinfo(of.easy, CURLINFO_RESPONSE_CODE, &status);
    if (of.what.take && status / 100 == 2) {
        if (of.what.take({data, size})) return size;
        of.ended = true;
        return size + 1;  // anything but `size` ends the transfer
    }
    if (of.answer.body.size() + size > body_bytes_max) return size + 1;
    of.answer.body.append(data, size);
    return size;
}

}  // namespace

http_answer call(const http_call& what) {
    const easy_ptr easy(curl_easy_init());
    if (!easy) return {.status = 0, .problem = "out of memory", .body = {}};
    transfer under_way{.what = what, .easy = easy.get()};
    header_ptr headers;
    const auto add = [&headers](const std::string& line) {
        if (auto* const longer = curl_slist_append(headers.get(), line.c_str())) {
            static_cast<void>(headers.release());
            headers.reset(longer);
        }
    };
    for (const auto& line : what.headers) add(line);
    if (what.key) add(fmt::format("x-api-key: {}", what.key->reveal()));
    curl_easy_setopt(easy.get(), CURLOPT_URL, what.url.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy.get(), CURLOPT_FOLLOWLOCATION, 0L);  // the key goes where it was told to go, nowhere else
    curl_easy_setopt(easy.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(easy.get(), CURLOPT_CONNECTTIMEOUT, connect_seconds);
    curl_easy_setopt(easy.get(), CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy.get(), CURLOPT_LOW_SPEED_TIME, what.silence_seconds);
    curl_easy_setopt(easy.get(), CURLOPT_USERAGENT, "claude-proxy/" CLAUDE_PROXY_VERSION);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &under_way);
    if (what.body) {
        curl_easy_setopt(easy.get(), CURLOPT_POST, 1L);
        curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(what.body->size()));
        curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, what.body->data());
        add("content-type: application/json");
    }
    curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
    const CURLcode code = curl_easy_perform(easy.get());
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &under_way.answer.status);
    if (code != CURLE_OK && !under_way.ended) under_way.answer.problem = curl_easy_strerror(code);
    return std::move(under_way.answer);
}

}  // namespace app
