#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "queue/sqs.hpp"

namespace queue {
namespace {

namespace json = boost::json;

constexpr std::chrono::seconds dead_kept_for{1'209'600};  // 14 days, Amazon's longest
constexpr std::chrono::seconds waits_for{20};
constexpr std::uint32_t looks_max = 6;  // a queue that was just made is there for all of SQS within a second

std::string seconds_text(std::chrono::milliseconds time) {
    return fmt::format("{}", std::chrono::ceil<std::chrono::seconds>(time).count());
}

// Idempotent: Amazon gives the URL of a queue with these very attributes.
std::string made(sqs_calls& calls, std::string_view name, json::object attributes) {
    attributes["SqsManagedSseEnabled"] = "true";
    const auto answer = calls.call("CreateQueue", {{"QueueName", name}, {"Attributes", std::move(attributes)}});
    const auto* const url = answer.if_contains("QueueUrl");
    if (!url || !url->is_string()) throw failure(true, "AmazonSQS.CreateQueue: the answer has no QueueUrl");
    return std::string(url->get_string());
}

std::string arn_of(sqs_calls& calls, std::string_view url) {
    for (std::uint32_t looks = 1;; ++looks) {
        try {
            const auto all = calls.attributes(url);
            const auto* const arn = all.if_contains("QueueArn");
            if (arn && arn->is_string()) return std::string(arn->get_string());
            throw failure(true, "AmazonSQS.GetQueueAttributes: the answer has no QueueArn");
        } catch (const sqs_failure& problem) {
            if (!problem.is_of_missing_queue() || looks == looks_max) throw;
            calls.back_off(looks);
        }
    }
}

// The attribute RedrivePolicy; the dead-letter queue is made when it is not there.
std::string policy_with(sqs_calls& calls, std::string_view dead_name, std::uint32_t receives_max,
                        std::vector<std::string>& done) {
    auto url = calls.find_url(dead_name);
    if (!url) {
        url = made(calls, dead_name, {{"MessageRetentionPeriod", seconds_text(dead_kept_for)}});
        done.push_back(fmt::format("The dead-letter queue {} was made.", dead_name));
    }
    return json::serialize(json::object{{"deadLetterTargetArn", arn_of(calls, *url)},
                                        {"maxReceiveCount", fmt::format("{}", receives_max)}});
}

}  // namespace

std::vector<std::string> create_sqs(const options& settings) {
    sqs_calls calls(settings);
    const std::string& name = calls.where().name;
    const std::string dead_name = dead_name_of(name);
    std::vector<std::string> done;
    const auto found = calls.find_url(name);
    if (!found) {
        const std::string policy = policy_with(calls, dead_name, settings.receives_max, done);
        made(calls, name,
             {{"RedrivePolicy", policy},
              {"VisibilityTimeout", seconds_text(settings.hidden_for)},
              {"ReceiveMessageWaitTimeSeconds", seconds_text(waits_for)}});
        done.push_back(fmt::format("The queue {} was made; after {} receives a message goes to {}.", name,
                                   settings.receives_max, dead_name));
        return done;
    }
    // Of a queue that is there only the missing is added: whoever made it otherwise had a reason.
    const auto policy = policy_of(calls.attributes(*found));
    if (policy.dead_name.empty()) {
        const std::string made_policy = policy_with(calls, dead_name, settings.receives_max, done);
        calls.call("SetQueueAttributes",
                   {{"QueueUrl", *found}, {"Attributes", json::object{{"RedrivePolicy", made_policy}}}});
        done.push_back(fmt::format("The queue {} was there; from now on a message goes to {} after {} receives.", name,
                                   dead_name, settings.receives_max));
        return done;
    }
    done.push_back(fmt::format("The queue {} is there; after {} receives a message goes to {}.", name,
                               policy.receives_max, policy.dead_name));
    if (policy.receives_max != settings.receives_max) {
        done.push_back(
            fmt::format("The settings want {} receives; the queue was left as it is.", settings.receives_max));
    }
    return done;
}

}  // namespace queue
