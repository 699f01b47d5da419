#include "worker/webhook_sender.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <thread>
#include <unordered_map>

#include "base/released_by.hpp"

namespace worker {
namespace {

using multi_ptr = std::unique_ptr<CURLM, base::released_by<curl_multi_cleanup>>;
using easy_ptr = std::unique_ptr<CURL, base::released_by<curl_easy_cleanup>>;
using header_ptr = std::unique_ptr<curl_slist, base::released_by<curl_slist_free_all>>;

// A request under way. libcurl keeps pointers into it.
struct transfer {
    webhook_request what;
    const jobs::webhook_rules& rules;
    const std::size_t bytes_max;
    std::size_t head_bytes = 0;
    std::size_t body_bytes = 0;
    std::string refused{};  // why an address was; the last one's
    header_ptr headers{};
    easy_ptr easy{};
};

// Fewer bytes than given end the transfer: the rest of the answer is of no interest.
std::size_t pass_over(std::size_t size, std::size_t& so_far, std::size_t most) {
    so_far += size;
    return so_far > most ? size + 1 : size;
}
std::size_t take_head(char*, std::size_t, std::size_t size, void* into) {
    auto& own = *static_cast<transfer*>(into);
    return pass_over(size, own.head_bytes, own.bytes_max);
}
std::size_t take_body(char*, std::size_t, std::size_t size, void* into) {
    auto& own = *static_cast<transfer*>(into);
    return pass_over(size, own.body_bytes, own.bytes_max);
}

std::optional<jobs::ip_address> address_of(const curl_sockaddr& resolved) {
    jobs::ip_address address{};
    if (resolved.family == AF_INET6 && resolved.addrlen >= sizeof(sockaddr_in6)) {
        const auto& full = reinterpret_cast<const sockaddr_in6&>(resolved.addr);
        std::ranges::copy(full.sin6_addr.s6_addr, address.begin());
        return address;
    }
    if (resolved.family != AF_INET || resolved.addrlen < sizeof(sockaddr_in)) return std::nullopt;
    const auto& full = reinterpret_cast<const sockaddr_in&>(resolved.addr);
    address[10] = address[11] = 0xFF;
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&full.sin_addr);
    std::copy_n(bytes, 4, address.begin() + 12);
    return address;
}

// The one place where a connection begins: whatever name or spelling led here, this is the address.
curl_socket_t open_socket(void* into, curlsocktype, curl_sockaddr* resolved) {
    auto& own = *static_cast<transfer*>(into);
    const auto address = address_of(*resolved);
    const auto problem = address ? own.rules.address_problem(*address) : "of no known family";
    if (problem) {
        own.refused = fmt::format("the address may not be reached: {}", *problem);
        return CURL_SOCKET_BAD;  // libcurl goes on with the next address of the name
    }
    return ::socket(resolved->family, resolved->socktype | SOCK_CLOEXEC, resolved->protocol);
}

void prepare(transfer& own, const jobs::webhook_options& options) {
    for (const auto& line : own.what.headers) {
        curl_slist* const longer = curl_slist_append(own.headers.get(), line.c_str());
        if (!longer) throw std::bad_alloc();
        (void)own.headers.release();
        own.headers.reset(longer);
    }
    CURL* const easy = own.easy.get();
    curl_easy_setopt(easy, CURLOPT_URL, own.what.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, options.allow_http ? "http,https" : "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);  // a redirect would leave what was submitted
    curl_easy_setopt(easy, CURLOPT_PROXY, "");           // or curl reads http_proxy, and the address would be its
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    // Besides the system's, which libcurl reads from its folder of anchors.
    if (!options.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options.total_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // The end of the process and the timeout do not wait for getaddrinfo, which cannot be interrupted.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &own);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(own.what.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, own.what.body.data());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, own.headers.get());
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &own);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &own);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &own);
}

std::string why_none(const transfer& own, CURLcode code, const jobs::webhook_options& options) {
    if (code == CURLE_COULDNT_CONNECT && !own.refused.empty()) return own.refused;
    if (code == CURLE_OPERATION_TIMEDOUT) return fmt::format("no answer within {} ms", options.total_timeout.count());
    return curl_easy_strerror(code);  // one of libcurl's own sentences: nothing of the answer is in it
}

webhook_answer answer_of(const transfer& own, CURLcode code, const jobs::webhook_options& options) {
    constexpr long final_from = 200;  // below: an interim answer
    constexpr long redirect_from = 300, redirect_to = 399;
    long status = 0;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(own.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(own.easy.get(), CURLINFO_RETRY_AFTER, &retry_after);
    // A transfer that broke off behind its head has told its status, unless the head itself was too long.
    const bool has_status = status >= final_from && status < 1'000 && own.head_bytes <= own.bytes_max;
    if (!has_status) return {.status = 0, .error = why_none(own, code, options), .retry_after = {}};
    webhook_answer told{.status = static_cast<std::uint32_t>(status),
                        .error = {},
                        .retry_after = std::chrono::seconds(std::clamp<curl_off_t>(retry_after, 0, 1 << 30))};
    if (status >= redirect_from && status <= redirect_to) {
        told.error = fmt::format("status {}: redirects are not followed", status);
    } else if (!is_delivered(told)) {
        told.error = fmt::format("status {}", status);
    }
    return told;
}

}  // namespace

struct webhook_sender::state {
    const jobs::webhook_options options;
    const jobs::webhook_rules rules;
    const outcome done;
    multi_ptr multi;

    std::mutex mutex;  // guards what follows, up to the thread's own
    std::vector<webhook_request> fresh;
    bool stopping = false;

    std::unordered_map<const transfer*, std::unique_ptr<transfer>> under_way;  // of the thread
    std::thread thread;

    state(const jobs::webhook_options& settings, jobs::webhook_rules which, outcome tell)
        : options(settings), rules(std::move(which)), done(std::move(tell)) {}

    void begin(webhook_request what) {
        auto own = std::make_unique<transfer>(std::move(what), rules, options.answer_bytes_max);
        own->easy.reset(curl_easy_init());
        if (!own->easy) throw std::bad_alloc();
        prepare(*own, options);
        if (curl_multi_add_handle(multi.get(), own->easy.get()) != CURLM_OK) throw std::bad_alloc();
        under_way.emplace(own.get(), std::move(own));
    }

    void end(CURL* easy, CURLcode code) {
        transfer* ended = nullptr;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &ended);
        const auto found = under_way.find(ended);
        if (found == under_way.end()) return;
        webhook_answer told = answer_of(*ended, code, options);
        const std::uint64_t number = ended->what.number;
        curl_multi_remove_handle(multi.get(), easy);
        under_way.erase(found);
        done(number, std::move(told));
    }

    // False: the end has come.
    bool take_fresh() {
        std::vector<webhook_request> taken;
        {
            const std::lock_guard lock(mutex);
            if (stopping) return false;
            taken.swap(fresh);
        }
        for (auto& each : taken) begin(std::move(each));
        return true;
    }

    void run() {
        while (take_fresh()) {
            int running = 0;
            curl_multi_perform(multi.get(), &running);
            int others = 0;
            bool ended_some = false;
            while (const CURLMsg* const message = curl_multi_info_read(multi.get(), &others)) {
                if (message->msg != CURLMSG_DONE) continue;
                end(message->easy_handle, message->data.result);
                ended_some = true;
            }
            if (!ended_some) curl_multi_poll(multi.get(), nullptr, 0, 1'000, nullptr);
        }
        for (const auto& [own, owned] : under_way) curl_multi_remove_handle(multi.get(), own->easy.get());
        under_way.clear();
    }
};

webhook_sender::webhook_sender(const jobs::webhook_options& options, jobs::webhook_rules rules, outcome done)
    : state_(std::make_unique<state>(options, std::move(rules), std::move(done))) {
    // Counted and safe to call twice since curl 7.84; never undone: other parts of the process use curl, too.
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) throw std::runtime_error("curl cannot be initialised");
    state_->multi.reset(curl_multi_init());
    if (!state_->multi) throw std::bad_alloc();
    curl_multi_setopt(state_->multi.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(options.concurrency));
    // The thread is born with every signal blocked: none may interrupt it or, being SIGPIPE, end the process.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    state_->thread = std::thread([own = state_.get()] {
        pthread_setname_np(pthread_self(), "webhook-send");
        own->run();
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

webhook_sender::~webhook_sender() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
    }
    curl_multi_wakeup(state_->multi.get());
    state_->thread.join();
}

void webhook_sender::send(webhook_request what) {
    {
        const std::lock_guard lock(state_->mutex);
        state_->fresh.push_back(std::move(what));
    }
    curl_multi_wakeup(state_->multi.get());
}

}  // namespace worker
