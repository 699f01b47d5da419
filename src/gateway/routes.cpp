#include "gateway/routes.hpp"

#include "base/percent.hpp"
#include "http/head.hpp"

namespace gateway {

// messages.cpp
net::task<void> messages(exchange&, service&, const http::request_head&);
net::task<void> count_tokens(exchange&, service&, const http::request_head&);
// batches.cpp
net::task<void> make_batch(exchange&, service&, const http::request_head&);
// models.cpp
net::task<void> models(exchange&, service&, const http::request_head&);
// owned.cpp
net::task<void> list_own(exchange&, service&, const http::request_head&);
net::task<void> own_resource(exchange&, service&, const http::request_head&);
net::task<void> upload(exchange&, service&, const http::request_head&);
// passthrough.cpp
net::task<void> other(exchange&, service&, const http::request_head&);
// job_submit.cpp
net::task<void> submit_job(exchange&, service&, const http::request_head&);
// jobs.cpp
net::task<void> list_jobs(exchange&, service&, const http::request_head&);
net::task<void> show_job(exchange&, service&, const http::request_head&);
net::task<void> job_result(exchange&, service&, const http::request_head&);
net::task<void> cancel_job(exchange&, service&, const http::request_head&);
net::task<void> delete_job(exchange&, service&, const http::request_head&);
// job_events.cpp
net::task<void> job_events(exchange&, service&, const http::request_head&);
// health.cpp
net::task<void> hello(exchange&, service&, const http::request_head&);
net::task<void> health(exchange&, service&, const http::request_head&);
net::task<void> ready(exchange&, service&, const http::request_head&);
net::task<void> not_here(exchange&, service&, const http::request_head&);

namespace {

// The first row that matches wins.
constexpr route routes[] = {
    {"POST", "/v1/messages", "messages", true, messages},
    {"POST", "/v1/messages/count_tokens", "count_tokens", true, count_tokens},
    {"POST", "/v1/messages/batches", "batches", true, make_batch},
    {"GET", "/v1/messages/batches", "batches", true, list_own},
    {"GET", "/v1/messages/batches/{}", "batches", true, own_resource},
    {"DELETE", "/v1/messages/batches/{}", "batches", true, own_resource},
    {"POST", "/v1/messages/batches/{}/cancel", "batches", true, own_resource},
    {"GET", "/v1/messages/batches/{}/results", "batches", true, own_resource},
    {"*", "/v1/messages/batches/**", "batches", true, own_resource},
    {"GET", "/v1/models", "models", true, models},
    {"GET", "/v1/models/{}", "models", true, models},
    {"POST", "/v1/files", "files", true, upload},
    {"GET", "/v1/files", "files", true, list_own},
    {"*", "/v1/files/**", "files", true, own_resource},
    {"POST", "/v1/skills", "skills", true, upload},
    {"GET", "/v1/skills", "skills", true, list_own},
    {"*", "/v1/skills/**", "skills", true, own_resource},
    {"POST", "/v1/jobs", "jobs", true, submit_job},
    {"GET", "/v1/jobs", "jobs", true, list_jobs},
    {"GET", "/v1/jobs/{}", "jobs", true, show_job},
    {"DELETE", "/v1/jobs/{}", "jobs", true, delete_job},
    {"GET", "/v1/jobs/{}/events", "jobs", true, job_events},
    {"GET", "/v1/jobs/{}/result", "jobs", true, job_result},
    {"POST", "/v1/jobs/{}/cancel", "jobs", true, cancel_job},
    // Ours, and not offered: an honest 404 instead of a half-supported forward.
    {"*", "/v1/jobs/**", "jobs", true, not_here},
    {"*", "/v1/chat/**", "chat", true, not_here},
    {"*", "/v1/**", "other", true, other},
    {"HEAD", "/", "hello", false, hello},
    {"HEAD", "/api/hello", "hello", false, hello},
    {"GET", "/health", "health", false, health},
    {"GET", "/ready", "health", false, ready},
};

std::string_view take_segment(std::string_view& path) {
    path.remove_prefix(1);
    const std::size_t end = path.find('/');
    const std::string_view segment = path.substr(0, end);
    path.remove_prefix(segment.size());
    return segment;
}

bool matches(std::string_view pattern, std::string_view path) {
    if (pattern == path) return true;
    while (!pattern.empty() && !path.empty()) {
        const std::string_view wanted = take_segment(pattern);
        if (wanted == "**") return true;
        const std::string_view segment = take_segment(path);
        if (wanted == "{}" ? segment.empty() : wanted != segment) return false;
    }
    return pattern.empty() && path.empty();
}

}  // namespace

routed find_route(std::string_view method, std::string_view path) {
    routed found;
    for (const auto& row : routes) {
        if (!matches(row.pattern, path)) continue;
        if (row.method == method || row.method == "*" || (method == "HEAD" && row.method == "GET")) {
            // A wrong method on a path of our own must not reach the catch-all row behind it.
            if (found.method_not_allowed && row.pattern.ends_with("**")) break;
            return {&row, false};
        }
        found.method_not_allowed = true;
    }
    return found;
}

std::optional<std::string> normal_path(std::string_view path) {
    while (path.starts_with("/v1/v1/")) path.remove_prefix(3);
    std::string decoded;
    decoded.reserve(path.size());
    for (std::size_t i = 0; i < path.size(); ++i) {
        char c = path[i];
        if (c == '%') {
            const int byte = base::escaped_byte(path.substr(i));
            if (byte < 0) return std::nullopt;
            c = static_cast<char>(byte);
            if (c == '/' || c == '\\' || c == '%' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
                return std::nullopt;
            i += 2;
        }
        decoded.push_back(c);
    }
    std::string_view rest = decoded;
    while (!rest.empty()) {
        const bool root = rest == "/" && decoded == "/";
        const std::string_view segment = take_segment(rest);
        if (!root && (segment.empty() || segment == "." || segment == "..")) return std::nullopt;
    }
    return decoded;
}

}  // namespace gateway
