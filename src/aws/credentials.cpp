#include "aws/credentials.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <chrono>
#include <fstream>
#include <iterator>
#include <limits>

#include "base/time_text.hpp"

namespace aws {
namespace {

constexpr std::string_view container_host = "169.254.170.2";  // where AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is
constexpr std::string_view role_folder = "/latest/meta-data/iam/security-credentials/";
constexpr std::size_t token_bytes_max = 16 * 1024;
constexpr int tries_max = 2;

std::int64_t clock_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

bool is_header_value(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; });
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view white = " \t\r\n";
    const auto begin = text.find_first_not_of(white);
    return begin == text.npos ? std::string_view() : text.substr(begin, text.find_last_not_of(white) - begin + 1);
}

// What both endpoints answer. The message never repeats the body: it is made of secrets.
credentials read_credentials(std::string_view body, std::string_view source) {
    const auto unusable = [source](std::string_view why) {
        return failure(true, {}, fmt::format("the {} endpoint for credentials answers {}", source, why));
    };
    boost::system::error_code problem;
    const auto json = boost::json::parse(body, problem);
    if (problem || !json.is_object()) throw unusable("with what is no JSON object");
    const auto& all = json.get_object();
    const auto text = [&all](std::string_view name) {
        const auto* const value = all.if_contains(name);
        return value && value->is_string() ? std::string(value->get_string()) : std::string();
    };
    if (const auto code = text("Code"); !code.empty() && code != "Success") throw unusable("without success");
    credentials made{base::secret(text("AccessKeyId")), base::secret(text("SecretAccessKey")),
                     base::secret(text("Token")), base::parse_time(text("Expiration")), source};
    if (made.key_id.empty() || made.secret.empty()) throw unusable("without a key");
    if (!is_header_value(made.session_token.reveal())) throw unusable("with a token that no header can carry");
    return made;
}

}  // namespace

bool may_give_credentials(const url_parts& endpoint) {
    if (endpoint.scheme == "https") return true;
    in_addr v4{};
    if (inet_pton(AF_INET, endpoint.host.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127) return true;
    return endpoint.host == "localhost" || endpoint.host == "[::1]" || endpoint.host == container_host ||
           endpoint.host == "169.254.170.23" || endpoint.host == "[fd00:ec2::23]";
}

credential_chain::credential_chain(const options& settings, http& over, clock now)
    : settings_(settings), http_(over), now_(now ? std::move(now) : clock_ms) {}

credentials_ptr credential_chain::current() {
    std::unique_lock lock(mutex_);
    const auto is_valid = [this] { return known_ && (!known_->expires_ms || now_() < *known_->expires_ms); };
    if (known_ && now_() < renew_at_ms_) return known_;
    while (renewing_) {
        if (is_valid()) return known_;
        const auto seen = renewals_;
        renewed_.wait(lock, [&] { return renewals_ != seen; });
        if (known_) return known_;
        if (trouble_) throw failure(*trouble_);
        // What came was refused and forgotten before this thread had its turn.
    }
    if (!known_ && trouble_ && now_() < renew_at_ms_) throw failure(*trouble_);
    renewing_ = true;
    lock.unlock();
    credentials_ptr fresh;
    std::optional<failure> trouble;
    try {
        fresh = std::make_shared<const credentials>(fetch());
    } catch (const failure& problem) {
        trouble = problem;
    } catch (const std::exception& problem) {  // the others wait for an end of this renewal, whatever it is
        trouble.emplace(true, std::string(), problem.what());
    }
    lock.lock();
    renewing_ = false;
    ++renewals_;
    const std::int64_t retry_at = now_() + settings_.credentials_retry.count();
    if (fresh) {
        known_ = fresh;
        // Metadata services are known to give what has expired, when they are in trouble, and the services to take it.
        renew_at_ms_ = fresh->expires_ms ? std::max(*fresh->expires_ms - settings_.credentials_ahead.count(), retry_at)
                                         : std::numeric_limits<std::int64_t>::max();
    } else {
        if (!is_valid()) known_ = nullptr;
        renew_at_ms_ = retry_at;
    }
    trouble_ = trouble;
    renewed_.notify_all();
    if (known_) return known_;
    throw failure(*trouble_);
}

void credential_chain::forget(const credentials_ptr& refused) {
    const std::lock_guard lock(mutex_);
    if (known_ != refused || known_->source == "environment" || renewing_) return;
    known_ = nullptr;
    trouble_.reset();
    renew_at_ms_ = 0;
}

credentials credential_chain::fetch() {
    if (!settings_.access_key_id.empty() || !settings_.secret_access_key.empty()) return from_environment();
    if (!settings_.container_relative_uri.empty() || !settings_.container_full_uri.empty()) return from_container();
    constexpr std::string_view yes = "true";
    const bool disabled = std::ranges::equal(settings_.metadata_disabled, yes,
                                             [](char a, char b) { return static_cast<char>(a | 0x20) == b; });
    if (disabled) {
        throw failure(
            false, {},
            "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the container "
            "or the machine a role (AWS_EC2_METADATA_DISABLED is true)");
    }
    return from_instance();
}

credentials credential_chain::from_environment() const {
    if (settings_.access_key_id.empty() || settings_.secret_access_key.empty())
        throw failure(false, {}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together; one of them is not set");
    return {settings_.access_key_id, settings_.secret_access_key, settings_.session_token, {}, "environment"};
}

http_request credential_chain::container_request() const {
    http_request made{.headers = {"Accept: application/json"}, .timeout = settings_.credentials_timeout};
    if (!settings_.container_relative_uri.empty()) {
        if (!settings_.container_relative_uri.starts_with('/'))
            throw failure(false, {}, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin with a slash");
        made.url = fmt::format("http://{}{}", container_host, settings_.container_relative_uri);
    } else {
        made.url = settings_.container_full_uri;
        const auto parts = split_url(made.url.substr(0, made.url.find('?')));
        if (!parts) throw failure(false, {}, fmt::format("AWS_CONTAINER_CREDENTIALS_FULL_URI {}", parts.error()));
        if (!may_give_credentials(*parts)) {
            throw failure(false, {},
                          "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to this machine or to the "
                          "link-local address of ECS or EKS");
        }
    }
    std::string token(settings_.container_authorization.reveal());
    if (!settings_.container_authorization_file.empty()) {  // read each time: it is replaced as time goes on
        std::ifstream file(settings_.container_authorization_file, std::ios::binary);
        token.assign(std::istreambuf_iterator<char>(file), {});
        if (!file || token.size() > token_bytes_max)
            throw failure(true, {}, "the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read");
        token = trimmed(token);
    }
    if (!is_header_value(token)) throw failure(false, {}, "the container's authorization token has a line break");
    if (!token.empty()) made.headers.push_back("Authorization: " + token);
    return made;
}

credentials credential_chain::from_container() {
    return read_credentials(ask(container_request(), "container's"), "container");
}

credentials credential_chain::from_instance() {
    const auto parts = split_url(settings_.metadata_endpoint);
    if (!parts) throw failure(false, {}, fmt::format("AWS_EC2_METADATA_SERVICE_ENDPOINT {}", parts.error()));
    constexpr std::string_view whom = "instance's";
    const std::string origin = parts->origin();
    // A token per renewal, which is some times a day: none has to be kept.
    std::string token;
    try {
        token = ask({.method = "PUT",
                     .url = origin + "/latest/api/token",
                     .headers = {"X-aws-ec2-metadata-token-ttl-seconds: 300"},
                     .timeout = settings_.credentials_timeout},
                    whom);
    } catch (const failure& problem) {
        throw failure(problem.may_retry, problem.code,
                      fmt::format("there are no credentials: neither AWS_ACCESS_KEY_ID nor a container's endpoint is "
                                  "set, and the machine's role cannot be asked for: {}",
                                  problem.what()));
    }
    token = trimmed(token);
    if (token.empty() || !is_header_value(token)) throw failure(true, {}, "the instance's endpoint gives no token");
    http_request request{.url = origin + std::string(role_folder),
                         .headers = {"X-aws-ec2-metadata-token: " + token},
                         .timeout = settings_.credentials_timeout};
    const std::string roles = ask(request, whom);
    const std::string_view role = trimmed(std::string_view(roles).substr(0, roles.find('\n')));
    const auto is_of_a_role = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("+=,.@_-").find(c) != std::string_view::npos;
    };
    if (role.empty() || !std::ranges::all_of(role, is_of_a_role))
        throw failure(false, {}, "the machine has no role: give its instance profile one");
    request.url += role;
    return read_credentials(ask(request, whom), "instance");
}

std::string credential_chain::ask(const http_request& request, std::string_view whom) {
    for (int tried = 1;; ++tried) {
        auto answer = http_.ask(request);
        if (answer && answer->status == 200) return std::move(answer->body);
        const bool may_retry = answer ? answer->status >= 500 || answer->status == 429 : answer.error().may_retry;
        const std::string why = answer ? fmt::format("answers with status {}", answer->status)
                                       : fmt::format("is away: {}", answer.error().why);
        if (!may_retry || tried == tries_max)
            throw failure(may_retry, {}, fmt::format("the {} endpoint for credentials {}", whom, why));
        http_.pause(settings_.backoff_first, false);
    }
}

}  // namespace aws
