#include "anthropic/job_request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "anthropic/json_text.hpp"
#include "anthropic/raw_json.hpp"

namespace anthropic {
namespace {

using base::errc;
using base::fail;

constexpr std::string_view members_are =
    "the members are `request`, `metadata`, `priority`, `lane`, `expires_in` and `webhook`";
constexpr std::size_t shown_bytes_max = 64;  // of a name that a client sent

std::unexpected<base::error> refuse(std::string detail) { return fail(errc::invalid_argument, std::move(detail)); }

base::result<void> check_object(std::string_view body, std::string_view what) {
    const auto checked = check_json(body);
    switch (checked.state) {
        case json_state::whole:
            if (is_object(body)) return {};
            return fail(errc::invalid_json, fmt::format("{} is not a JSON object.", what));
        case json_state::cut:
            return fail(errc::invalid_json,
                        fmt::format("{} is not complete JSON: it ends after {} bytes.", what, body.size()));
        case json_state::broken:
            break;
    }
    return fail(errc::invalid_json,
                fmt::format("{} is not valid JSON: something unexpected stands at byte {}.", what, checked.at));
}

// A whole number in plain digits.
std::optional<std::int64_t> integer(std::string_view text) {
    const bool is_negative = text.starts_with('-');
    const auto count = plain_count(text.substr(is_negative ? 1 : 0));
    if (!count || *count > std::uint64_t{1} << 62) return {};
    const auto value = static_cast<std::int64_t>(*count);
    return is_negative ? -value : value;
}

std::string shown(std::string_view key) {
    const auto name = unescape(key).value_or(std::string());
    const auto prefix = utf8_prefix(name, shown_bytes_max);
    return std::string(prefix) + (prefix.size() < name.size() ? "..." : "");
}

base::result<void> read_metadata(job_request& job, std::string_view value) {
    if (!is_object(value)) return refuse("`metadata` must be an object.");
    if (value.size() > job_request::metadata_bytes_max) {
        return refuse(fmt::format("`metadata` has {} bytes; at most {} are kept, so send less or keep it on your side.",
                                  value.size(), job_request::metadata_bytes_max));
    }
    job.metadata = value;
    return {};
}

base::result<void> read_priority(job_request& job, std::string_view value) {
    const auto priority = integer(value);
    if (!priority || *priority < job_request::priority_min || *priority > job_request::priority_max) {
        return refuse(fmt::format("`priority` must be a whole number from {} to {}.", job_request::priority_min,
                                  job_request::priority_max));
    }
    job.priority = static_cast<int>(*priority);
    return {};
}

base::result<void> read_lane(job_request& job, std::string_view value) {
    const auto lane = decode_string(value);
    if (lane != "realtime" && lane != "batch") return refuse("`lane` must be \"realtime\" or \"batch\".");
    job.lane = lane == "batch" ? job_lane::batch : job_lane::realtime;
    return {};
}

base::result<void> read_expires_in(job_request& job, std::string_view value) {
    const auto seconds = integer(value);
    if (!seconds || *seconds < job_request::expires_in_min.count() || *seconds > job_request::expires_in_max.count()) {
        return refuse(fmt::format("`expires_in` must be a whole number of seconds from {} to {}.",
                                  job_request::expires_in_min.count(), job_request::expires_in_max.count()));
    }
    job.expires_in = std::chrono::seconds(*seconds);
    return {};
}

// What can be told from the text alone; where the name leads is checked when it is called.
base::result<void> check_url(std::string_view url, job_request_rules rules) {
    std::string_view rest = url;
    const auto take = [&](std::string_view scheme) {
        if (!rest.starts_with(scheme)) return false;
        rest.remove_prefix(scheme.size());
        return true;
    };
    if (!take("https://") && !(rules.plain_http_webhooks && take("http://"))) {
        return refuse("`webhook.url` must begin with https://.");
    }
    if (url.size() > job_request::webhook_url_bytes_max) {
        return refuse(fmt::format("`webhook.url` is longer than {} bytes.", job_request::webhook_url_bytes_max));
    }
    const bool is_printable = std::ranges::all_of(url, [](char byte) { return byte > 0x20 && byte < 0x7F; });
    if (!is_printable) return refuse("`webhook.url` has white space or characters that a URL must encode.");
    const auto authority = rest.substr(0, rest.find_first_of("/?#"));
    if (authority.empty() || authority.starts_with(':')) return refuse("`webhook.url` names no host.");
    if (authority.find('@') != authority.npos) {
        return refuse("`webhook.url` must not carry a user or password; calls are signed instead.");
    }
    return {};
}

base::result<void> read_webhook(job_request& job, std::string_view value, job_request_rules rules) {
    if (!is_object(value)) return refuse("`webhook` must be an object: {\"url\": \"https://...\"}.");
    bool has_url = false;
    for (raw_cursor member(value); member.next();) {
        if (!member.is("url")) {
            return refuse(fmt::format("`webhook` has an unknown member `{}`; leave it out, its only member is `url`.",
                                      shown(member.key())));
        }
        if (std::exchange(has_url, true)) {
            return fail(errc::duplicate_field, "`webhook.url` occurs more than once; send it once.");
        }
        auto url = decode_string(member.value());
        if (!url) return refuse("`webhook.url` must be a string.");
        if (auto good = check_url(*url, rules); !good) return good;
        job.webhook_url = std::move(*url);
    }
    if (!has_url) return refuse("`webhook` has no `url`; add one, or leave `webhook` out.");
    return {};
}

}  // namespace

base::result<job_request> read_job_request(std::string_view body, job_request_rules rules) {
    using reader = base::result<void> (*)(job_request&, std::string_view);
    static constexpr std::pair<std::string_view, reader> readers[] = {
        {"metadata", read_metadata},
        {"priority", read_priority},
        {"lane", read_lane},
        {"expires_in", read_expires_in},
    };
    if (auto good = check_object(body, "The request body"); !good) return std::unexpected(good.error());

    job_request job;
    std::vector<std::string> seen;
    bool has_expiry = false;
    for (raw_cursor member(body); member.next();) {
        const auto name = unescape(member.key()).value_or(std::string());
        const auto* const plain = std::ranges::find(readers, name, &std::pair<std::string_view, reader>::first);
        if (plain == std::end(readers) && name != "request" && name != "webhook") {
            const bool is_of_messages = name == "model" || name == "messages" || name == "max_tokens";
            return refuse(
                fmt::format("`{}` is not a member of a job: {}.", shown(member.key()),
                            is_of_messages ? "put the body of the Messages request into `request`" : members_are));
        }
        if (std::ranges::find(seen, name) != seen.end()) {
            return fail(errc::duplicate_field,
                        fmt::format("`{}` occurs more than once in the request body; send it once.", name));
        }
        seen.push_back(name);
        if (name == "request") {
            if (!is_object(member.value())) {
                return refuse("`request` must be an object: the body of a Messages request.");
            }
            job.request = member.value();
            continue;
        }
        if (member.value() == "null") continue;
        const auto good =
            name == "webhook" ? read_webhook(job, member.value(), rules) : plain->second(job, member.value());
        if (!good) return std::unexpected(good.error());
        has_expiry = has_expiry || name == "expires_in";
    }
    if (!has_expiry && job.lane == job_lane::batch) job.expires_in = job_request::expires_in_usual_batch;
    if (job.request.empty()) {
        return fail(errc::missing_field, "`request` is missing; put the body of the Messages request into it.");
    }
    return job;
}

base::result<std::string> streaming_body(std::string_view request) {
    if (auto good = check_object(request, "`request`"); !good) return std::unexpected(good.error());
    std::string body;
    body.reserve(request.size() + std::string_view("\"stream\":true,").size());
    std::size_t copied = 0;
    bool has_members = false;
    for (raw_cursor member(request); member.next();) {
        has_members = true;
        if (!member.is("stream")) continue;
        body += request.substr(copied, member.value_begin() - copied);
        body += "true";
        copied = member.end();
    }
    if (copied == 0) {
        copied = request.find('{') + 1;
        body += request.substr(0, copied);
        body += has_members ? "\"stream\":true," : "\"stream\":true";
    }
    body += request.substr(copied);
    return body;
}

base::result<std::string> batch_params(std::string_view request) {
    if (auto good = check_object(request, "`request`"); !good) return std::unexpected(good.error());
    std::string params;
    params.reserve(request.size());
    std::size_t last_end = 0;  // of the member before, kept or not
    bool has_members = false, has_kept = false;
    for (raw_cursor member(request); member.next(); last_end = member.end()) {
        if (!std::exchange(has_members, true)) params += request.substr(0, member.begin());
        if (member.is("stream")) continue;
        // The comma and the white space that stood before this member.
        if (std::exchange(has_kept, true)) params += request.substr(last_end, member.begin() - last_end);
        params += request.substr(member.begin(), member.end() - member.begin());
    }
    params += request.substr(last_end);
    return params;
}

}  // namespace anthropic
