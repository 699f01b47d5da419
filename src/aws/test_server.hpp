// A web server on this machine, for tests: keeps connections, gives every request to a function, and sends the bytes
// that it returns; none: it hangs up.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace aws {

inline std::string http_answer(std::string_view body, std::string_view status = "200 OK", std::string_view more = "") {
    return "HTTP/1.1 " + std::string(status) + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           std::string(more) + "\r\n" + std::string(body);
}

struct test_request {
    std::string method, target, body;
    std::vector<std::pair<std::string, std::string>> headers;  // as they came; names in lower case
    int connection = 0;                                        // counted from 1

    std::string header(std::string_view name) const {
        for (const auto& [is, value] : headers) {
            if (is == name) return value;
        }
        return {};
    }
};

class test_server {
public:
    using handler = std::function<std::string(const test_request&)>;

    explicit test_server(handler answer)
        : answer_(std::move(answer)), fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (fd_ < 0 || bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
            listen(fd_, 16) != 0 || getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
            throw std::runtime_error("no listener");
        port_ = ntohs(address.sin_port);
        accepting_ = std::thread([this] { accept_all(); });
    }
    ~test_server() {
        shutdown(fd_, SHUT_RDWR);
        accepting_.join();
        {
            const std::lock_guard lock(mutex_);
            for (const int peer : peers_) shutdown(peer, SHUT_RDWR);
        }
        for (auto& each : serving_) each.join();
        for (const int peer : peers_) close(peer);
        close(fd_);
    }
    test_server(const test_server&) = delete;
    test_server& operator=(const test_server&) = delete;

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
    std::vector<test_request> requests() const {
        const std::lock_guard lock(mutex_);
        return requests_;
    }
    bool wait_for_requests(std::size_t count) const {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return requests_.size() >= count; });
    }

private:
    void accept_all() {
        for (int connection = 1;; ++connection) {
            const int peer = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
            if (peer < 0) return;
            const std::lock_guard lock(mutex_);
            peers_.push_back(peer);
            serving_.emplace_back([this, peer, connection] { serve(peer, connection); });
        }
    }
    void serve(int peer, int connection) {
        for (std::string bytes;;) {
            test_request request;
            if (!read(peer, bytes, request)) break;
            request.connection = connection;
            {
                const std::lock_guard lock(mutex_);
                requests_.push_back(request);
                changed_.notify_all();
            }
            const std::string answer = answer_(request);
            if (answer.empty()) break;
            for (std::string_view rest = answer; !rest.empty();) {
                const ssize_t size = send(peer, rest.data(), rest.size(), MSG_NOSIGNAL);
                if (size <= 0) return;
                rest.remove_prefix(static_cast<std::size_t>(size));
            }
        }
        shutdown(peer, SHUT_RDWR);
    }
    static bool more(int peer, std::string& bytes) {
        char piece[16'384];
        const ssize_t size = recv(peer, piece, sizeof piece, 0);
        if (size > 0) bytes.append(piece, static_cast<std::size_t>(size));
        return size > 0;
    }
    static bool read(int peer, std::string& bytes, test_request& into) {
        std::size_t end = 0;
        while ((end = bytes.find("\r\n\r\n")) == std::string::npos) {
            if (!more(peer, bytes)) return false;
        }
        std::string_view head = std::string_view(bytes).substr(0, end + 2);
        const auto line = [&head] {
            const auto size = head.find("\r\n");
            const std::string_view found = head.substr(0, size);
            head.remove_prefix(size + 2);
            return found;
        };
        const std::string_view first = line();
        const auto blank = first.find(' '), second = first.rfind(' ');
        into.method = first.substr(0, blank);
        into.target = first.substr(blank + 1, second - blank - 1);
        std::size_t body_bytes = 0;
        while (!head.empty()) {
            const std::string_view each = line();
            const auto colon = each.find(':');
            std::string name(each.substr(0, colon));
            std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(tolower(c)); });
            std::string_view value = each.substr(colon + 1);
            while (value.starts_with(' ')) value.remove_prefix(1);
            if (name == "content-length") std::from_chars(value.data(), value.data() + value.size(), body_bytes);
            into.headers.emplace_back(std::move(name), value);
        }
        bytes.erase(0, end + 4);
        while (bytes.size() < body_bytes) {
            if (!more(peer, bytes)) return false;
        }
        into.body = bytes.substr(0, body_bytes);
        bytes.erase(0, body_bytes);
        return true;
    }

    const handler answer_;
    const int fd_;
    std::uint16_t port_ = 0;
    std::thread accepting_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::vector<test_request> requests_;
    std::vector<int> peers_;
    std::vector<std::thread> serving_;
};

// Opens once: holds the threads that pass it until then.
class gate {
public:
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    void pass() {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::seconds(20), [this] { return open_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
};

}  // namespace aws
