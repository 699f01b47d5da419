#include "queue/sqs.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "queue/checks.hpp"

namespace queue {
namespace {

// A call of the port; one that throws is counted.
template <class Work>
auto counted(counters& counts, Work work) {
    try {
        return work();
    } catch (const failure&) {
        ++counts.failures;
        throw;
    }
}

}  // namespace

sqs_queue::sqs_queue(const options& settings) : settings_(settings), calls_(settings) { url_ = calls_.where().url; }

std::string sqs_queue::url() {
    const std::lock_guard lock(url_mutex_);
    if (url_.empty()) {
        auto found = calls_.find_url(calls_.where().name);
        if (!found || found->empty()) {
            throw failure(false, fmt::format("there is no queue {}: correct QUEUE_URL, or make the queue with "
                                             "`claude-proxy migrate --with-queue`",
                                             calls_.where().name));
        }
        url_ = std::move(*found);
    }
    return url_;
}

// Empty: the queue has no dead-letter queue.
std::string sqs_queue::dead_url() {
    const std::string own = url();
    const auto policy = policy_of(calls_.attributes(own));
    return policy.dead_name.empty() ? std::string() : sibling_url(own, policy.dead_name);
}

std::vector<std::size_t> sqs_queue::send(std::span<const message> messages) {
    return counted(counts_, [&] {
        check_messages(messages);
        if (messages.empty()) return std::vector<std::size_t>();
        auto not_taken = calls_.send(url(), messages);
        counts_.sent += messages.size() - not_taken.size();
        counts_.not_taken += not_taken.size();
        return not_taken;
    });
}

std::vector<delivery> sqs_queue::receive(std::size_t count, std::chrono::milliseconds at_most) {
    if (stopping_ || count == 0) return {};
    const auto wait =
        std::chrono::ceil<std::chrono::seconds>(std::clamp(at_most, std::chrono::milliseconds(0), wait_max));
    const auto hidden_for = std::chrono::ceil<std::chrono::seconds>(settings_.hidden_for);
    return counted(counts_, [&] {
        try {
            auto taken = calls_.receive(url(), std::min(count, receive_max), wait, hidden_for);
            counts_.received += taken.size();
            return taken;
        } catch (const sqs_failure& problem) {
            if (problem.code != aws::failure::stopped) throw;
            return std::vector<delivery>();
        }
    });
}

void sqs_queue::extend(std::span<const std::string> receipts, std::chrono::seconds hidden_for) {
    counted(counts_, [&] { counts_.extended += receipts.empty() ? 0 : calls_.extend(url(), receipts, hidden_for); });
}

void sqs_queue::remove(std::span<const std::string> receipts) {
    counted(counts_, [&] { counts_.removed += receipts.empty() ? 0 : calls_.remove(url(), receipts); });
}

depth sqs_queue::look() {
    return counted(counts_, [&] {
        const std::lock_guard lock(look_mutex_);
        const auto now = std::chrono::steady_clock::now();
        if (seen_ && now < seen_at_ + settings_.depth_every) return *seen_;
        const std::string own = url();
        const auto all = calls_.attributes(own);
        depth made{.waiting = number_of(all, "ApproximateNumberOfMessages"),
                   .in_flight = number_of(all, "ApproximateNumberOfMessagesNotVisible"),
                   .delayed = number_of(all, "ApproximateNumberOfMessagesDelayed")};
        if (const auto policy = policy_of(all); !policy.dead_name.empty()) {
            const auto dead = calls_.attributes(sibling_url(own, policy.dead_name));
            made.dead = number_of(dead, "ApproximateNumberOfMessages") +
                        number_of(dead, "ApproximateNumberOfMessagesNotVisible");
        }
        seen_ = made;
        seen_at_ = now;
        return made;
    });
}

std::size_t sqs_queue::redrive(std::size_t count) {
    constexpr std::chrono::seconds wait{1};  // without one SQS asks only some of its machines
    constexpr std::chrono::seconds hidden_for{60};
    return counted(counts_, [&] {
        const std::string from = dead_url();
        std::size_t moved = 0;
        while (moved < count && !from.empty()) {
            const auto some = calls_.receive(from, std::min(count - moved, receive_max), wait, hidden_for);
            if (some.empty()) break;
            std::vector<message> messages;
            for (const auto& each : some) messages.push_back({each.body});
            const auto not_taken = calls_.send(url(), messages);
            std::vector<std::string> done;
            for (std::size_t i = 0; i < some.size(); ++i) {
                if (!std::ranges::binary_search(not_taken, i)) done.push_back(some[i].receipt);
            }
            calls_.remove(from, done);  // after the send: a failure in between doubles messages, and loses none
            moved += done.size();
            if (done.empty()) break;
        }
        return moved;
    });
}

void sqs_queue::stop() {
    stopping_ = true;
    calls_.stop();
}

}  // namespace queue
