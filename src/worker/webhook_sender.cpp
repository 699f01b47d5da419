#include "worker/webhook_sender.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <unordered_map>

#include "base/signals_blocked.hpp"
#include "transfer/transfer.hpp"

namespace worker {
namespace {

// A request under way. libcurl keeps pointers into it.
struct sending {
    webhook_request what;
    const jobs::webhook_rules& rules;
    const std::size_t bytes_max;
    std::size_t head_bytes = 0;
    std::size_t body_bytes = 0;
    std::string refused{};  // why an address was; the last one's
    transfer::list_ptr headers{};
    transfer::easy_ptr easy = transfer::new_easy();
};

// Fewer bytes than given end the transfer: the rest of the answer is of no interest.
std::size_t pass_over(std::size_t size, std::size_t& so_far, std::size_t most) {
    so_far += size;
    return so_far > most ? size + 1 : size;
}
std::size_t take_head(char*, std::size_t, std::size_t size, void* into) {
    auto& own = *static_cast<sending*>(into);
    return pass_over(size, own.head_bytes, own.bytes_max);
}
std::size_t take_body(char*, std::size_t, std::size_t size, void* into) {
    auto& own = *static_cast<sending*>(into);
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
    auto& own = *static_cast<sending*>(into);
    const auto address = address_of(*resolved);
    const auto problem = address ? own.rules.address_problem(*address) : "of no known family";
    if (problem) {
        own.refused = fmt::format("the address may not be reached: {}", *problem);
        return CURL_SOCKET_BAD;  // libcurl goes on with the next address of the name
    }
    return ::socket(resolved->family, resolved->socktype | SOCK_CLOEXEC, resolved->protocol);
}

void prepare(sending& own, const jobs::webhook_options& options) {
    for (const auto& line : own.what.headers) transfer::append(own.headers, line);
    CURL* const easy = own.easy.get();
    using transfer::schemes;
    transfer::go_straight(easy, own.what.url, options.allow_http ? schemes::http_and_https : schemes::https,
                          options.ca_file);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options.total_timeout.count()));
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

std::string why_none(const sending& own, CURLcode code, const jobs::webhook_options& options) {
    if (code == CURLE_COULDNT_CONNECT && !own.refused.empty()) return own.refused;
    if (code == CURLE_OPERATION_TIMEDOUT) return fmt::format("no answer within {} ms", options.total_timeout.count());
    return curl_easy_strerror(code);  // one of libcurl's own sentences: nothing of the answer is in it
}

webhook_answer answer_of(const sending& own, CURLcode code, const jobs::webhook_options& options) {
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
    transfer::multi_ptr multi;

    std::mutex mutex;  // guards what follows, up to the thread's own
    std::vector<webhook_request> fresh;
    bool stopping = false;

    std::unordered_map<const sending*, std::unique_ptr<sending>> under_way;  // of the thread
    std::thread thread;

    state(const jobs::webhook_options& settings, jobs::webhook_rules which, outcome tell)
        : options(settings), rules(std::move(which)), done(std::move(tell)) {}

    void begin(webhook_request what) {
        auto own = std::make_unique<sending>(std::move(what), rules, options.answer_bytes_max);
        prepare(*own, options);
        if (curl_multi_add_handle(multi.get(), own->easy.get()) != CURLM_OK) throw std::bad_alloc();
        under_way.emplace(own.get(), std::move(own));
    }

    void end(CURL* easy, CURLcode code) {
        sending* ended = nullptr;
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
    transfer::initialise();
    state_->multi = transfer::new_multi();
    curl_multi_setopt(state_->multi.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(options.concurrency));
    const base::signals_blocked here;
    state_->thread = std::thread([own = state_.get()] {
        pthread_setname_np(pthread_self(), "webhook-send");
        own->run();
    });
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
