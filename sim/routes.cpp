// Everything answered under the API's own paths.
#include <fmt/format.h>

#include <algorithm>

#include "exchange.hpp"
#include "handlers.hpp"
#include "state.hpp"

namespace sim {

namespace {

struct route {
    std::string_view method;
    std::string_view pattern;  // {} matches one segment
    void (*handle)(exchange&);
};

// Literal patterns stand before those with a placeholder that would match them too.
constexpr route routes[] = {
    {"POST", "/v1/messages", messages},
    {"POST", "/v1/messages/count_tokens", count_tokens},
    {"GET", "/v1/models", list_models},
    {"GET", "/v1/models/{}", retrieve_model},
    {"POST", "/v1/messages/batches", create_batch},
    {"GET", "/v1/messages/batches", list_batches},
    {"GET", "/v1/messages/batches/{}", retrieve_batch},
    {"DELETE", "/v1/messages/batches/{}", delete_batch},
    {"GET", "/v1/messages/batches/{}/results", batch_results},
    {"POST", "/v1/messages/batches/{}/cancel", cancel_batch},
    {"POST", "/v1/files", upload_file},
    {"GET", "/v1/files", list_files},
    {"GET", "/v1/files/{}", retrieve_file},
    {"DELETE", "/v1/files/{}", delete_file},
    {"GET", "/v1/files/{}/content", download_file},
    {"POST", "/v1/skills", create_skill},
    {"GET", "/v1/skills", list_skills},
    {"GET", "/v1/skills/{}", retrieve_skill},
    {"DELETE", "/v1/skills/{}", delete_skill},
};

bool matches(std::string_view pattern, std::string_view path, std::vector<std::string>& ids) {
    ids.clear();
    for (;;) {
        const auto pattern_end = std::min(pattern.find('/', 1), pattern.size());
        const auto path_end = std::min(path.find('/', 1), path.size());
        const std::string_view wanted = pattern.substr(0, pattern_end);
        const std::string_view given = path.substr(0, path_end);
        if (wanted == "/{}" && given.size() > 1)
            ids.emplace_back(given.substr(1));
        else if (wanted != given)
            return false;
        pattern.remove_prefix(pattern_end);
        path.remove_prefix(path_end);
        if (pattern.empty() || path.empty()) return pattern.empty() && path.empty();
    }
}

void authenticate(exchange& ex) {
    const auto& welcome = ex.world.chosen.api_keys;
    if (ex.key.empty()) {
        throw api_error{.status = 401, .type = "authentication_error", .message = "x-api-key header is required"};
    }
    const bool known =
        welcome.empty() ? !ex.key.starts_with("sk-ant-invalid") : std::ranges::find(welcome, ex.key) != welcome.end();
    if (!known) throw api_error{.status = 401, .type = "authentication_error", .message = "invalid x-api-key"};
}

void check_version(const exchange& ex) {
    const std::string_view version = ex.asked.value("anthropic-version");
    if (version.empty()) throw invalid("anthropic-version: header is required");
    if (version != "2023-06-01" && version != "2023-01-01" && version != "2026-10-21") {
        throw invalid(fmt::format("anthropic-version: \"{}\" is not a valid version", version));
    }
}

}  // namespace

void hello(exchange& ex) { ex.send_json("{}"); }

void dispatch(exchange& ex) {
    const request& asked = ex.asked;
    if ((asked.method == "HEAD" || asked.method == "GET") && (asked.path == "/" || asked.path == "/api/hello"))
        return hello(ex);

    const route* found = nullptr;
    bool path_known = false;
    std::vector<std::string> ids;
    for (const route& one : routes) {
        if (!matches(one.pattern, asked.path, ids)) continue;
        path_known = true;
        if (one.method != asked.method) continue;
        found = &one;
        ex.ids = ids;
        break;
    }
    if (!path_known) throw not_found("Not found");
    if (found == nullptr) throw api_error{.status = 405, .message = "Method Not Allowed"};
    authenticate(ex);
    check_version(ex);
    found->handle(ex);
}

}  // namespace sim
