// The queue in Amazon SQS: a standard queue, over its JSON protocol.
#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "queue/queue.hpp"
#include "queue/sqs_calls.hpp"

namespace queue {

class sqs_queue : public port {
public:
    // Throws failure{false} when the settings cannot be right.
    explicit sqs_queue(const options& settings);

    std::vector<std::size_t> send(std::span<const message> messages) override;
    std::vector<delivery> receive(std::size_t count, std::chrono::milliseconds at_most) override;
    void extend(std::span<const std::string> receipts, std::chrono::seconds hidden_for) override;
    void remove(std::span<const std::string> receipts) override;
    // Asks at most every depth_every; in between it tells what it knows.
    depth look() override;
    std::size_t redrive(std::size_t count) override;
    void stop() override;

private:
    std::string url();
    std::string dead_url();

    const options settings_;
    sqs_calls calls_;
    std::atomic<bool> stopping_{false};
    std::mutex url_mutex_;
    std::string url_;
    std::mutex look_mutex_;
    std::optional<depth> seen_;
    std::chrono::steady_clock::time_point seen_at_{};
};

// `create` of the port's header for an SQS queue.
std::vector<std::string> create_sqs(const options& settings);

}  // namespace queue
