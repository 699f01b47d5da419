#include "aws/client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "aws/error_answer.hpp"

namespace aws {
namespace {

std::string checked_origin(std::string_view setting, const std::string& url) {
    const auto parts = split_url(url);
    if (!parts) throw failure(false, {}, fmt::format("{} {}", setting, parts.error()));
    if (parts->path != "/") throw failure(false, {}, fmt::format("{} must have no path", setting));
    return parts->origin();
}

bool is_region(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

}  // namespace

std::string_view region_of(const options& settings) {
    return settings.region.empty() ? settings.default_region : settings.region;
}

service service_of(const options& settings, std::string_view name, std::string_view json_version,
                   std::string_view region, std::string_view otherwise) {
    if (region.empty()) throw failure(false, {}, "AWS_REGION is not set");
    if (!is_region(region)) throw failure(false, {}, "AWS_REGION must be the name of a region such as eu-west-1");
    service made{std::string(name), std::string(region), {}, std::string(json_version)};
    const bool is_sqs = name == "sqs";
    const auto& own = is_sqs ? settings.endpoint_url_sqs : settings.endpoint_url_secrets_manager;
    if (!own.empty()) {
        made.endpoint = checked_origin(is_sqs ? "AWS_ENDPOINT_URL_SQS" : "AWS_ENDPOINT_URL_SECRETS_MANAGER", own);
    } else if (!settings.endpoint_url.empty()) {
        made.endpoint = checked_origin("AWS_ENDPOINT_URL", settings.endpoint_url);
    } else if (!otherwise.empty()) {
        made.endpoint = otherwise;
    } else {
        made.endpoint =
            fmt::format("https://{}.{}.amazonaws.com{}", name, region, region.starts_with("cn-") ? ".cn" : "");
    }
    return made;
}

client::client(const options& settings, credential_chain::clock now)
    : settings_(settings), http_(settings), credentials_(settings, http_, std::move(now)) {}

std::string client::json_call(const service& at, std::string_view operation, const std::string& body,
                              const call_limits& limits) {
    const std::uint32_t attempts_max = limits.attempts_max != 0 ? limits.attempts_max : settings_.attempts_max;
    for (std::uint32_t attempt = 1;; ++attempt) {
        const auto who = credentials_.current();
        const signing sign{at.region, at.name, who->key_id, who->secret};
        http_request request{.method = "POST",
                             .url = at.endpoint + "/",
                             .headers = {fmt::format("Content-Type: application/x-amz-json-{}", at.json_version),
                                         fmt::format("X-Amz-Target: {}", operation)},
                             .body = body,
                             .timeout = settings_.call_timeout + limits.waits,
                             .sign = &sign,
                             .ends_at_stop = limits.ends_at_stop};
        if (!who->session_token.empty())
            request.headers.push_back(fmt::format("X-Amz-Security-Token: {}", who->session_token.reveal()));
        auto answer = http_.ask(request);
        if (answer && answer->status / 100 == 2) return std::move(answer->body);
        failure problem(true, {}, {});
        if (answer) {
            auto said = read_error(answer->body);
            bool may_retry = is_retryable(answer->status, said.code);
            if (is_of_old_credentials(said.code) && who->source != "environment") {
                credentials_.forget(who);
                may_retry = true;
            }
            const std::string text = fmt::format("{}: {}{}{} (HTTP {})", operation, said.code,
                                                 said.code.empty() ? "" : ": ", said.message, answer->status);
            problem = failure(may_retry, std::move(said.code), text);
        } else {
            const auto& trouble = answer.error();
            problem = failure(trouble.may_retry, trouble.stopped ? std::string(failure::stopped) : std::string(),
                              fmt::format("{}: no answer of {}: {}", operation, at.endpoint, trouble.why));
        }
        if (!problem.may_retry || problem.code == failure::stopped || attempt >= attempts_max) throw problem;
        if (!back_off(attempt, limits.ends_at_stop)) throw failure(true, std::string(failure::stopped), problem.what());
    }
}

// A random part of a span that doubles, so that replicas that were refused together do not come back together.
bool client::back_off(std::uint32_t attempts_done, bool ends_at_stop) {
    constexpr std::uint32_t doublings_max = 20;
    const auto span = std::min<std::int64_t>(
        settings_.backoff_first.count() << std::min(attempts_done - std::min(attempts_done, 1u), doublings_max),
        settings_.backoff_max.count());
    thread_local std::minstd_rand random{std::random_device{}()};
    std::uniform_int_distribution<std::int64_t> part(span / 2, std::max<std::int64_t>(span, 1));
    return http_.pause(milliseconds(part(random)), ends_at_stop);
}

}  // namespace aws
