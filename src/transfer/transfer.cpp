#include "transfer/transfer.hpp"

#include <new>
#include <stdexcept>

namespace transfer {
namespace {

// For CURLOPT_WRITEFUNCTION. Another number than was given ends the transfer.
std::size_t take(char* data, std::size_t, std::size_t size, void* into) {
    auto& all = *static_cast<body*>(into);
    if (size > all.bytes_max - all.text.size()) {
        all.too_large = true;
        return size + 1;
    }
    all.text.append(data, size);
    return size;
}

}  // namespace

void initialise() {
    // Counted and safe to call twice since curl 7.84; never undone: other parts of the process use curl, too.
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) throw std::runtime_error("curl cannot be initialised");
}

multi_ptr new_multi() {
    multi_ptr made(curl_multi_init());
    if (!made) throw std::bad_alloc();
    return made;
}

easy_ptr new_easy() {
    easy_ptr made(curl_easy_init());
    if (!made) throw std::bad_alloc();
    return made;
}

void append(list_ptr& to, const std::string& line) {
    curl_slist* const longer = curl_slist_append(to.get(), line.c_str());
    if (!longer) throw std::bad_alloc();
    (void)to.release();
    to.reset(longer);
}

void go_straight(CURL* easy, const std::string& url, schemes allowed, const std::string& ca_file) {
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, allowed == schemes::https ? "https" : "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");  // or curl reads http_proxy
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    // Besides the system's, which libcurl reads from its folder of anchors.
    if (!ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // The end of the process and the timeout do not wait for getaddrinfo, which cannot be interrupted.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
}

void collect(CURL* easy, body& into) {
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &into);
}

CURLcode carry_out(CURLM* multi, CURL* easy, const std::function<bool()>& must_stop) {
    constexpr int look_every_ms = 1'000;
    int running = curl_multi_add_handle(multi, easy) == CURLM_OK ? 1 : 0;
    while (running > 0 && !must_stop()) {
        if (curl_multi_perform(multi, &running) != CURLM_OK) break;
        if (running > 0) curl_multi_poll(multi, nullptr, 0, look_every_ms, nullptr);
    }
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    int others = 0;
    if (const CURLMsg* const message = curl_multi_info_read(multi, &others); message && message->msg == CURLMSG_DONE)
        code = message->data.result;
    curl_multi_remove_handle(multi, easy);  // a connection in the middle of an answer is closed by this
    return code;
}

}  // namespace transfer
