// A receiver of webhooks on this machine: a thread a connection, which answers each POST with what the test says.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "database_fixture.hpp"

namespace contract {

class webhook_receiver {
public:
    struct request {
        std::string head;
        std::string body;

        std::string header(std::string_view name) const {
            const std::string start = "\r\n" + std::string(name) + ": ";
            const std::size_t at = head.find(start);
            if (at == std::string::npos) return {};
            return head.substr(at + start.size(), head.find("\r\n", at + 2) - at - start.size());
        }
        std::string id() const { return header("webhook-id"); }
    };
    using answer = std::function<std::string(const request&)>;

    static std::string status(int number, std::string_view more = "") {
        return "HTTP/1.1 " + std::to_string(number) + " Said\r\ncontent-length: 0\r\n" + std::string(more) + "\r\n";
    }

    explicit webhook_receiver(
        answer say = [](const request&) { return status(204); }, std::uint16_t port = 0)
        : say_(std::move(say)), fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        const int on = 1;
        ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        socklen_t size = sizeof address;
        if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(fd_, 256) != 0 ||
            ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
            throw std::runtime_error("a receiver cannot listen");
        port_ = ntohs(address.sin_port);
        threads_.emplace_back([this] { accept(); });
    }
    ~webhook_receiver() {
        release();
        ::shutdown(fd_, SHUT_RDWR);
        threads_.front().join();
        {
            const std::lock_guard lock(mutex_);
            for (const int peer : peers_) ::shutdown(peer, SHUT_RDWR);
        }
        threads_.pop_front();
        for (auto& thread : threads_) thread.join();
        ::close(fd_);
    }
    webhook_receiver(const webhook_receiver&) = delete;
    webhook_receiver& operator=(const webhook_receiver&) = delete;

    std::uint16_t port() const { return port_; }
    std::string url(std::string_view path = "/hook") const {
        return "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
    }
    // Requests are taken, and answered after `release` only.
    void hold() {
        const std::lock_guard lock(mutex_);
        holding_ = true;
    }
    void release() {
        const std::lock_guard lock(mutex_);
        holding_ = false;
        changed_.notify_all();
    }
    bool wait_for(std::size_t count) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, milliseconds(20'000 * time_scale()), [&] { return requests_.size() >= count; });
    }
    std::vector<request> requests() const {
        const std::lock_guard lock(mutex_);
        return requests_;
    }
    std::vector<std::string> ids() const {
        std::vector<std::string> found;
        for (const auto& each : requests()) found.push_back(each.id());
        std::ranges::sort(found);
        return found;
    }
    std::size_t most_at_once() const {
        const std::lock_guard lock(mutex_);
        return most_at_once_;
    }

private:
    void accept() {
        for (;;) {
            const int peer = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
            if (peer < 0) return;
            const std::lock_guard lock(mutex_);
            peers_.push_back(peer);
            threads_.emplace_back([this, peer] { serve(peer); });
        }
    }
    void serve(int peer) {
        std::string got;
        char piece[4'096];
        for (;;) {
            const std::size_t end = got.find("\r\n\r\n");
            request asked;
            std::size_t body = 0;
            if (end != std::string::npos) {
                asked.head = got.substr(0, end + 2);
                for (char& c : asked.head) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
                body = std::stoul("0" + asked.header("content-length"));
                asked.head = got.substr(0, end + 2);
            }
            if (end == std::string::npos || got.size() < end + 4 + body) {
                const ssize_t size = ::recv(peer, piece, sizeof piece, 0);
                if (size <= 0) break;
                got.append(piece, static_cast<std::size_t>(size));
                continue;
            }
            asked.body = got.substr(end + 4, body);
            got.erase(0, end + 4 + body);
            std::string text;
            {
                std::unique_lock lock(mutex_);
                requests_.push_back(asked);
                most_at_once_ = std::max(most_at_once_, ++at_once_);
                changed_.notify_all();
                changed_.wait(lock, [this] { return !holding_; });
                --at_once_;
                text = say_(asked);
            }
            if (::send(peer, text.data(), text.size(), MSG_NOSIGNAL) < 0) break;
        }
        const std::lock_guard lock(mutex_);
        std::erase(peers_, peer);
        ::close(peer);
    }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    const answer say_;
    std::vector<request> requests_;
    std::vector<int> peers_;
    std::size_t at_once_ = 0;
    std::size_t most_at_once_ = 0;
    bool holding_ = false;
    int fd_;
    std::uint16_t port_ = 0;
    std::list<std::thread> threads_;  // the first one accepts
};

}  // namespace contract
