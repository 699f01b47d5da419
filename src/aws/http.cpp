#include "aws/http.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "base/released_by.hpp"
#include "transfer/transfer.hpp"

namespace aws {
namespace {

using url_ptr = std::unique_ptr<CURLU, base::released_by<curl_url_cleanup>>;

void sign_with(CURL* easy, const signing& by) {
    curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, fmt::format("aws:amz:{}:{}", by.region, by.service).c_str());
    curl_easy_setopt(easy, CURLOPT_USERNAME, std::string(by.key_id.reveal()).c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, std::string(by.secret.reveal()).c_str());
}

void prepare(CURL* easy, const http_request& request, const options& settings, curl_slist* headers,
             transfer::body& into) {
    transfer::go_straight(easy, request.url, transfer::schemes::http_and_https, settings.ca_bundle);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    if (request.method == "POST") {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                         request.body.c_str());  // not copied: `request` outlives the transfer
    } else if (request.method != "GET") {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
    if (request.sign) sign_with(easy, *request.sign);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(std::min(request.timeout, settings.connect_timeout).count()));
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "claude-proxy");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    transfer::collect(easy, into);
}

bool is_for_good(CURLcode code) {
    return code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
           code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_BAD_FUNCTION_ARGUMENT;
}

}  // namespace

struct http::line {
    transfer::multi_ptr multi = transfer::new_multi();
    transfer::easy_ptr easy = transfer::new_easy();
};

// A line for one request; whatever ends that gives it back.
struct http::borrowed {
    explicit borrowed(http& from) : owner(from), what(from.take_line()) {}
    ~borrowed() { owner.give_back(std::move(what)); }
    borrowed(const borrowed&) = delete;
    borrowed& operator=(const borrowed&) = delete;
    http& owner;
    std::unique_ptr<line> what;
};

http::http(const options& settings) : settings_(settings) {
    transfer::initialise();
    idle_.reserve(idle_lines_max);  // giving back cannot fail
}

http::~http() = default;

std::unique_ptr<http::line> http::take_line() {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<line> found;
    if (!idle_.empty()) {
        found = std::move(idle_.back());
        idle_.pop_back();
    } else {
        found = std::make_unique<line>();
    }
    busy_.push_back(found.get());
    return found;
}

void http::give_back(std::unique_ptr<line> used) {
    const std::lock_guard lock(mutex_);
    std::erase(busy_, used.get());
    if (idle_.size() < idle_lines_max) idle_.push_back(std::move(used));
}

bool http::must_stop(const http_request& request) const {
    if (!request.ends_at_stop) return false;
    const std::lock_guard lock(mutex_);
    return stopping_;
}

std::expected<http_answer, http_trouble> http::ask(const http_request& request) {
    transfer::body into{.bytes_max = settings_.answer_bytes_max};
    transfer::list_ptr headers;
    for (const auto& each : request.headers) transfer::append(headers, each);
    const borrowed on(*this);
    CURL* const easy = on.what->easy.get();
    curl_easy_reset(easy);
    prepare(easy, request, settings_, headers.get(), into);
    const CURLcode code = transfer::carry_out(on.what->multi.get(), easy, [&] { return must_stop(request); });
    http_answer answer;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_easy_reset(easy);  // no secret stays in an idle handle
    if (code == CURLE_OK) {
        answer.body = std::move(into.text);
        return answer;
    }
    if (must_stop(request)) return std::unexpected(http_trouble{.why = "stopped", .stopped = true});
    if (into.too_large) {
        return std::unexpected(
            http_trouble{fmt::format("answers with more than {} bytes", settings_.answer_bytes_max), false});
    }
    return std::unexpected(http_trouble{curl_easy_strerror(code), !is_for_good(code)});
}

bool http::pause(milliseconds time, bool ends_at_stop) {
    std::unique_lock lock(mutex_);
    stopped_.wait_for(lock, time, [&] { return stopping_ && ends_at_stop; });
    return !(stopping_ && ends_at_stop);
}

void http::stop() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stopped_.notify_all();
    for (const line* const each : busy_) curl_multi_wakeup(each->multi.get());
}

std::expected<url_parts, std::string> split_url(const std::string& url) {
    const url_ptr parsed(curl_url());
    if (!parsed) throw std::bad_alloc();
    const auto part = [&](CURLUPart which) {
        char* text = nullptr;
        std::string made;
        if (curl_url_get(parsed.get(), which, &text, 0) == CURLUE_OK) made = text;
        curl_free(text);
        return made;
    };
    if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        return std::unexpected("is no URL");
    url_parts made{part(CURLUPART_SCHEME), part(CURLUPART_HOST), part(CURLUPART_PORT), part(CURLUPART_PATH)};
    if (made.scheme != "http" && made.scheme != "https") return std::unexpected("must begin with http:// or https://");
    if (made.host.empty()) return std::unexpected("has no host");
    for (const CURLUPart more : {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT}) {
        if (!part(more).empty()) return std::unexpected("must be a URL without user, query and fragment");
    }
    return made;
}

}  // namespace aws
