// The calls of SQS that we make, as functions: JSON in, JSON out, batches with their partial failures. Failures are
// those of the port. Thread rule: any thread.
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "aws/client.hpp"
#include "queue/queue.hpp"
#include "queue/sqs_address.hpp"

namespace queue {

class sqs_failure : public failure {
public:
    sqs_failure(bool retryable, std::string name, const std::string& what)
        : failure(retryable, what), code(std::move(name)) {}
    std::string code;  // aws::failure's
    bool is_of_missing_queue() const;
};

class sqs_calls {
public:
    explicit sqs_calls(const options& settings);

    const sqs_address& where() const { return where_; }
    static constexpr std::size_t batch_max = 10;  // entries of one call, Amazon's

    // One call. An empty answer is an empty object: some servers of tests answer an empty receive so.
    boost::json::object call(std::string_view operation, const boost::json::object& body,
                             const aws::call_limits& limits = {});

    // Nothing: there is no such queue.
    std::optional<std::string> find_url(std::string_view name);
    // All attributes of a queue; numbers are texts.
    boost::json::object attributes(std::string_view url);
    std::vector<delivery> receive(std::string_view url, std::size_t count, std::chrono::seconds wait,
                                  std::chrono::seconds hidden_for);
    // One batch of up to batch_max entries; `describe` fills in the entry of an index. Entries that the service failed
    // to do are sent again. What is left: entries that it refused or failed to do to the last.
    struct refusal {
        std::size_t index = 0;
        std::string code;
        bool may_retry = false;
    };
    std::vector<refusal> batch(std::string_view operation, std::string_view url, std::size_t count,
                               const std::function<void(std::size_t, boost::json::object&)>& describe);
    // As the port's. Throws only when none was taken.
    std::vector<std::size_t> send(std::string_view url, std::span<const message> messages);
    // How many were there to be changed; those that are unknown by now are none.
    std::size_t extend(std::string_view url, std::span<const std::string> receipts, std::chrono::seconds hidden_for);
    std::size_t remove(std::string_view url, std::span<const std::string> receipts);

    bool back_off(std::uint32_t attempts_done) { return client_.back_off(attempts_done); }
    void stop() { client_.stop(); }

private:
    std::size_t of_receipts(std::string_view operation, std::string_view url, std::span<const std::string> receipts,
                            const std::function<void(boost::json::object&)>& describe);

    const options settings_;
    const sqs_address where_;
    aws::client client_;
};

// The dead-letter queue that a queue's attributes name, and after how many receives; empty: it has none.
struct redrive_policy {
    std::string dead_name;
    std::uint64_t receives_max = 0;
};
redrive_policy policy_of(const boost::json::object& attributes);

// A number among attributes; 0 when there is none.
std::uint64_t number_of(const boost::json::object& attributes, std::string_view name);

}  // namespace queue
