#include "queue/sqs_address.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "queue/queue.hpp"

namespace queue {
namespace {

constexpr std::string_view dead_suffix = "-dead";
constexpr std::size_t name_bytes_max = 80;  // Amazon's

bool is_name(std::string_view text) {
    return !text.empty() && text.size() + dead_suffix.size() <= name_bytes_max && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
}

std::string_view checked_name(std::string_view text) {
    if (text.ends_with(".fifo")) throw failure(false, "QUEUE_URL must name a standard queue, not a FIFO queue");
    if (!is_name(text)) {
        throw failure(false,
                      "QUEUE_URL must be `embedded`, or an SQS queue's URL or name (1 to 75 letters, digits, - and _)");
    }
    return text;
}

std::string_view last_segment(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::string_view region_in(std::string_view host) {
    std::string_view before;
    while (!host.empty()) {
        const std::string_view label = host.substr(0, host.find('.'));
        host.remove_prefix(std::min(host.size(), label.size() + 1));
        const bool is_sqs = before == "sqs" || before == "sqs-fips";
        if (is_sqs && std::ranges::count(label, '-') >= 2) return label;              // eu-west-1, us-gov-west-1
        if (label == "queue" && std::ranges::count(before, '-') >= 2) return before;  // eu-west-1.queue.amazonaws.com
        before = label;
    }
    return {};
}

sqs_address address_of(const options& settings) {
    const bool is_url = settings.url.find("://") != std::string::npos;
    try {
        if (!is_url) {
            const std::string name(checked_name(settings.url));
            return {name, {}, aws::service_of(settings.aws, "sqs", "1.0", aws::region_of(settings.aws))};
        }
        const auto parts = aws::split_url(settings.url);
        if (!parts) throw failure(false, fmt::format("QUEUE_URL {}", parts.error()));
        const std::string name(checked_name(last_segment(parts->path)));
        const std::string_view found = region_in(parts->host);
        const std::string_view region = found.empty() ? aws::region_of(settings.aws) : found;
        return {name, settings.url, aws::service_of(settings.aws, "sqs", "1.0", region, parts->origin())};
    } catch (const aws::failure& problem) {
        throw failure(false, problem.what());
    }
}

std::string dead_name_of(std::string_view name) { return std::string(name).append(dead_suffix); }

std::string sibling_url(std::string_view url, std::string_view name) {
    return std::string(url.substr(0, url.rfind('/') + 1)).append(name);
}

}  // namespace queue
