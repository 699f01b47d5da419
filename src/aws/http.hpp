// Plain HTTP requests over libcurl, on connections that are kept, optionally with Amazon's Signature Version 4.
//
// A request blocks its thread, is bounded in time and size, follows no redirect, verifies TLS and uses no proxy: never
// call it on a reactor. Thread rule: any thread, several at a time; each request under way has a handle of its own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "aws/options.hpp"

namespace aws {

// curl signs the path and the query as they are, without the normal form that Amazon demands: sign only requests for
// `/` without a query.
struct signing {
    std::string region;
    std::string service;
    base::secret key_id;
    base::secret secret;
};

struct http_request {
    std::string method = "GET";
    std::string url{};
    // "name: value" each. Without `Expect:` or any other line that curl takes for "leave this header out": it would be
    // signed and not sent.
    std::vector<std::string> headers{};
    std::string body{};
    milliseconds timeout{0};        // connecting included
    const signing* sign = nullptr;  // null: not signed
    bool ends_at_stop = false;
};

struct http_answer {
    long status = 0;
    std::string body;
};

// Why there is no answer.
struct http_trouble {
    std::string why;
    bool may_retry = true;  // false: the URL or the peer's certificate is wrong
    bool stopped = false;
};

class http {
public:
    // Throws std::runtime_error when curl cannot be initialised.
    explicit http(const options& settings);
    ~http();
    http(const http&) = delete;
    http& operator=(const http&) = delete;

    std::expected<http_answer, http_trouble> ask(const http_request& request);
    // Waits; with `ends_at_stop` only until `stop`. False: stopped.
    bool pause(milliseconds time, bool ends_at_stop);
    // Ends what ends at stop, now and from now on.
    void stop();

private:
    struct line;  // a curl handle with its kept connections
    struct borrowed;
    static constexpr std::size_t idle_lines_max = 16;

    std::unique_ptr<line> take_line();
    void give_back(std::unique_ptr<line> used);
    bool must_stop(const http_request& request) const;

    const options settings_;
    mutable std::mutex mutex_;
    std::condition_variable stopped_;
    bool stopping_ = false;
    std::vector<std::unique_ptr<line>> idle_;
    std::vector<line*> busy_;
};

// "http://host:port" of a URL that has a scheme http or https and a host, and nothing that is no URL of a service
// (user, query, fragment). Nothing for anything else.
struct url_parts {
    std::string scheme, host, port, path;  // the port may be empty; an IPv6 host stands in brackets
    std::string origin() const { return scheme + "://" + host + (port.empty() ? "" : ":" + port); }
};
std::expected<url_parts, std::string> split_url(const std::string& url);

}  // namespace aws
