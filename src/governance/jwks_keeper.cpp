#include "governance/jwks_keeper.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/released_by.hpp"

namespace governance {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

using multi_ptr = std::unique_ptr<CURLM, base::released_by<curl_multi_cleanup>>;
using easy_ptr = std::unique_ptr<CURL, base::released_by<curl_easy_cleanup>>;
using header_ptr = std::unique_ptr<curl_slist, base::released_by<curl_slist_free_all>>;

struct answer {
    std::string body;
    std::uint64_t bytes_max = 0;
    bool too_large = false;
};

// For CURLOPT_WRITEFUNCTION. Fewer bytes than given end the transfer.
std::size_t take(char* data, std::size_t, std::size_t size, void* into) {
    auto& taken = *static_cast<answer*>(into);
    if (size > taken.bytes_max - taken.body.size()) {
        taken.too_large = true;
        return size + 1;
    }
    taken.body.append(data, size);
    return size;
}

void prepare(CURL* easy, const jwt_options& options, const curl_slist* headers, answer& into) {
    curl_easy_setopt(easy, CURLOPT_URL, options.jwks_url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");  // which hosts http may reach: problems_of
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);           // a redirect would leave what was configured
    curl_easy_setopt(easy, CURLOPT_PROXY, "");                    // settings have one place; curl reads http_proxy
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (!options.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options.jwks_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.jwks_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // The end of the process and the timeout do not wait for getaddrinfo, which cannot be interrupted.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);  // the next fetch is minutes away
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "claude-proxy");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &into);
}

}  // namespace

struct jwks_keeper::state {
    const jwt_options options;
    const listeners tell;
    multi_ptr multi;

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
        answer taken{.body = {}, .bytes_max = options.jwks_bytes_max};
        const header_ptr headers(curl_slist_append(nullptr, "accept: application/json"));
        const easy_ptr easy(curl_easy_init());
        if (!headers || !easy) throw std::bad_alloc();
        prepare(easy.get(), options, headers.get(), taken);
        if (curl_multi_add_handle(multi.get(), easy.get()) != CURLM_OK) return failed("cannot be asked");
        int running = 1;
        while (running > 0 && !must_stop()) {
            if (curl_multi_perform(multi.get(), &running) != CURLM_OK) break;
            if (running > 0) curl_multi_poll(multi.get(), nullptr, 0, 1'000, nullptr);
        }
        CURLcode code = CURLE_ABORTED_BY_CALLBACK;
        int others = 0;
        if (const CURLMsg* const message = curl_multi_info_read(multi.get(), &others);
            message && message->msg == CURLMSG_DONE)
            code = message->data.result;
        long status = 0;
        curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
        curl_multi_remove_handle(multi.get(), easy.get());
        if (taken.too_large) return failed(fmt::format("answers with more than {} bytes", options.jwks_bytes_max));
        if (code != CURLE_OK) return failed(fmt::format("cannot be read: {}", curl_easy_strerror(code)));
        if (status != 200) return failed(fmt::format("answers with status {}", status));
        return std::move(taken.body);
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
    // Counted and safe to call twice since curl 7.84; never undone: other parts of the process may use curl, too.
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) throw std::runtime_error("curl cannot be initialised");
    state_->multi.reset(curl_multi_init());
    if (!state_->multi) throw std::bad_alloc();
    // The thread is born with every signal blocked: none may interrupt it or, being SIGPIPE, end the process.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    state_->thread = std::thread([own = state_.get()] {
        pthread_setname_np(pthread_self(), "jwks");
        own->run();
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
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
