#include "governance/jwks_keeper.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "base/signals_blocked.hpp"
#include "transfer/transfer.hpp"

namespace governance {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

void prepare(CURL* easy, const jwt_options& options, const curl_slist* headers, transfer::body& into) {
    // Which hosts http may reach: problems_of.
    transfer::go_straight(easy, options.jwks_url, transfer::schemes::http_and_https, options.ca_file);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options.jwks_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.jwks_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);  // the next fetch is minutes away
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "claude-proxy");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    transfer::collect(easy, into);
}

}  // namespace

struct jwks_keeper::state {
    const jwt_options options;
    const listeners tell;
    transfer::multi_ptr multi;

    mutable std::mutex mutex;  // guards what follows, up to the thread
    std::shared_ptr<const key_set> known;
    std::vector<std::function<void()>> waiting;
    bool stopping = false;
    bool asked = false;     // a fetch is to begin at once
    bool fetching = false;  // one is under way
    clock::time_point began = clock::time_point::min();

    std::string last_body;  // of the keeper's thread
    bool failed_before = false;
    std::thread thread;

    state(const jwt_options& settings, listeners listening) : options(settings), tell(std::move(listening)) {}

    bool must_stop() const {
        const std::lock_guard lock(mutex);
        return stopping;
    }

    // Until `next`, a refresh, or the end. False: the end.
    bool wait(clock::time_point next) {
        for (;;) {
            {
                const std::lock_guard lock(mutex);
                if (stopping) return false;
                const auto now = clock::now();
                if (asked || now >= next) {
                    asked = false;
                    fetching = true;
                    began = now;
                    return true;
                }
            }
            const auto left = std::chrono::ceil<milliseconds>(next - clock::now());
            curl_multi_poll(multi.get(), nullptr, 0, static_cast<int>(std::max<std::int64_t>(left.count(), 0)),
                            nullptr);
        }
    }

    // The body of the answer; else why there is none, or nothing to say when the end has come.
    base::result<std::string> fetch() {
        const auto failed = [](std::string why) {
            return base::fail(base::errc::upstream_unavailable, std::move(why));
        };
        transfer::body taken{.bytes_max = options.jwks_bytes_max};
        transfer::list_ptr headers;
        transfer::append(headers, "accept: application/json");
        const transfer::easy_ptr easy = transfer::new_easy();
        prepare(easy.get(), options, headers.get(), taken);
        const CURLcode code = transfer::carry_out(multi.get(), easy.get(), [this] { return must_stop(); });
        long status = 0;
        curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
        if (taken.too_large) return failed(fmt::format("answers with more than {} bytes", options.jwks_bytes_max));
        if (code != CURLE_OK) return failed(fmt::format("cannot be read: {}", curl_easy_strerror(code)));
        if (status != 200) return failed(fmt::format("answers with status {}", status));
        return std::move(taken.text);
    }

    base::result<void> attempt() {
        auto body = fetch();
        if (!body) return std::unexpected(std::move(body.error()));
        if (current() && *body == last_body) return {};  // the caches in front of these keys stay
        auto parsed = parse_key_set(*body);
        if (!parsed) {
            return base::fail(parsed.error().kind,
                              fmt::format("answers with what is no key set: {}", parsed.error().detail));
        }
        auto fresh = std::make_shared<const key_set>(std::move(*parsed));
        last_body = std::move(*body);
        {
            const std::lock_guard lock(mutex);
            known = fresh;
        }
        if (tell.changed) tell.changed(std::move(fresh));
        return {};
    }

    std::shared_ptr<const key_set> current() const {
        const std::lock_guard lock(mutex);
        return known;
    }

    void call_waiting() {
        std::vector<std::function<void()>> due;
        {
            const std::lock_guard lock(mutex);
            fetching = false;
            due.swap(waiting);
        }
        for (const auto& then : due) {
            if (then) then();
        }
    }

    void run() {
        auto next = clock::now();
        while (wait(next)) {
            const auto outcome = attempt();
            if (must_stop()) break;
            if (!outcome && !failed_before && tell.failing) tell.failing(outcome.error().detail);
            if (outcome && failed_before && tell.recovered) tell.recovered();
            failed_before = !outcome;
            next = clock::now() + (outcome ? options.jwks_refresh : std::min(options.jwks_retry, options.jwks_refresh));
            call_waiting();
        }
        call_waiting();
    }
};

jwks_keeper::jwks_keeper(const jwt_options& options, listeners tell)
    : state_(std::make_unique<state>(options, std::move(tell))) {
    transfer::initialise();
    state_->multi = transfer::new_multi();
    const base::signals_blocked here;
    state_->thread = std::thread([own = state_.get()] {
        pthread_setname_np(pthread_self(), "jwks");
        own->run();
    });
}

jwks_keeper::~jwks_keeper() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
    }
    curl_multi_wakeup(state_->multi.get());
    state_->thread.join();
}

std::shared_ptr<const key_set> jwks_keeper::current() const { return state_->current(); }

bool jwks_keeper::refresh(std::function<void()> then) {
    {
        const std::lock_guard lock(state_->mutex);
        if (state_->stopping || state_->waiting.size() >= waiting_max) return false;
        const bool joins = state_->fetching || state_->asked;
        if (!joins && clock::now() < state_->began + state_->options.jwks_retry) return false;
        state_->waiting.push_back(std::move(then));
        if (joins) return true;
        state_->asked = true;
    }
    curl_multi_wakeup(state_->multi.get());
    return true;
}

}  // namespace governance
