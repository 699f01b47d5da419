#include "app/http_call.hpp"

#include <fmt/format.h>

#include <memory>

#include "transfer/transfer.hpp"

namespace app {
namespace {

constexpr std::size_t body_bytes_max = 64 << 20;
constexpr long connect_seconds = 10;

struct calling {
    const http_call& what;
    CURL* easy;
    http_answer answer{};
    bool ended = false;  // by `take`
};

std::size_t take(char* data, std::size_t, std::size_t size, void* into) {
    auto& of = *static_cast<calling*>(into);
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
    const transfer::easy_ptr easy = transfer::new_easy();
    calling under_way{.what = what, .easy = easy.get()};
    transfer::list_ptr headers;
    for (const auto& line : what.headers) transfer::append(headers, line);
    if (what.key) transfer::append(headers, fmt::format("x-api-key: {}", what.key->reveal()));
    transfer::go_straight(easy.get(), what.url, transfer::schemes::http_and_https, {});
    curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 0L);  // on this thread curl may ignore SIGPIPE for us
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
        transfer::append(headers, "content-type: application/json");
    }
    curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
    const CURLcode code = curl_easy_perform(easy.get());
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &under_way.answer.status);
    if (code != CURLE_OK && !under_way.ended) under_way.answer.problem = curl_easy_strerror(code);
    return std::move(under_way.answer);
}

}  // namespace app
