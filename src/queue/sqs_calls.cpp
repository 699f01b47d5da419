#include "queue/sqs_calls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <numeric>

#include "aws/error_answer.hpp"
#include "queue/checks.hpp"

namespace queue {
namespace {

namespace json = boost::json;

std::string_view text_of(const json::object& from, std::string_view name) {
    const auto* const value = from.if_contains(name);
    return value && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

std::uint64_t number_in(std::string_view text) {
    std::uint64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

const json::array& list_in(const json::object& from, std::string_view name) {
    static const json::array none;
    const auto* const value = from.if_contains(name);
    return value && value->is_array() ? value->get_array() : none;
}

// Names come with and without this, by the server's age.
std::string_view bare(std::string_view code) {
    constexpr std::string_view old_space = "AWS.SimpleQueueService.";
    if (code.starts_with(old_space)) code.remove_prefix(old_space.size());
    return code;
}

// Of an entry in the answer to a batch; of anything else a number that no entry has.
std::size_t index_of(const json::value& entry) {
    constexpr std::size_t none = sqs_calls::batch_max;
    const std::string_view id = entry.is_object() ? text_of(entry.get_object(), "Id") : std::string_view();
    return id.empty() ? none : static_cast<std::size_t>(number_in(id));
}

// The message has been removed, or is hidden no more: somebody else's by now.
bool is_unknown_receipt(std::string_view code) {
    code = bare(code);
    return code == "ReceiptHandleIsInvalid" || code == "MessageNotInflight" || code == "InvalidParameterValue";
}

}  // namespace

bool sqs_failure::is_of_missing_queue() const {
    return bare(code) == "QueueDoesNotExist" || bare(code) == "NonExistentQueue";
}

sqs_calls::sqs_calls(const options& settings)
    : settings_(settings), where_(address_of(settings)), client_(settings.aws) {}

json::object sqs_calls::call(std::string_view operation, const json::object& body, const aws::call_limits& limits) {
    std::string text;
    try {
        text = client_.json_call(where_.at, fmt::format("AmazonSQS.{}", operation), json::serialize(body), limits);
    } catch (const aws::failure& problem) {
        sqs_failure told(problem.may_retry, problem.code, problem.what());
        if (!told.is_of_missing_queue()) throw told;
        throw sqs_failure(false, problem.code,
                          fmt::format("{}; correct QUEUE_URL, or make the queue with `claude-proxy migrate "
                                      "--with-queue`",
                                      problem.what()));
    }
    if (text.empty()) return {};
    boost::system::error_code problem;
    auto read = json::parse(text, problem);
    if (problem || !read.is_object())
        throw sqs_failure(true, {}, fmt::format("AmazonSQS.{}: the answer is no JSON object", operation));
    return std::move(read.get_object());
}

std::optional<std::string> sqs_calls::find_url(std::string_view name) {
    try {
        const auto answer = call("GetQueueUrl", {{"QueueName", name}});
        return std::string(text_of(answer, "QueueUrl"));
    } catch (const sqs_failure& problem) {
        if (!problem.is_of_missing_queue()) throw;
        return std::nullopt;
    }
}

json::object sqs_calls::attributes(std::string_view url) {
    auto answer = call("GetQueueAttributes", {{"QueueUrl", url}, {"AttributeNames", json::array{"All"}}});
    auto* const found = answer.if_contains("Attributes");
    return found && found->is_object() ? std::move(found->get_object()) : json::object();
}

std::vector<delivery> sqs_calls::receive(std::string_view url, std::size_t count, std::chrono::seconds wait,
                                         std::chrono::seconds hidden_for) {
    const json::object body{{"QueueUrl", url},
                            {"MaxNumberOfMessages", count},
                            {"WaitTimeSeconds", wait.count()},
                            {"VisibilityTimeout", hidden_for.count()},
                            {"AttributeNames", json::array{"ApproximateReceiveCount"}}};
    // One attempt: the caller asks again anyway, and a second wait would be longer than it wanted.
    const auto answer = call("ReceiveMessage", body, {.waits = wait, .attempts_max = 1, .ends_at_stop = true});
    std::vector<delivery> taken;
    for (const auto& each : list_in(answer, "Messages")) {
        if (!each.is_object()) continue;
        const auto& found = each.get_object();
        delivery made{std::string(text_of(found, "Body")), std::string(text_of(found, "ReceiptHandle")), 1};
        if (const auto* const more = found.if_contains("Attributes"); more && more->is_object()) {
            const auto receives = number_of(more->get_object(), "ApproximateReceiveCount");
            made.receives = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(receives, 1, 1'000'000));
        }
        taken.push_back(std::move(made));
    }
    return taken;
}

std::vector<sqs_calls::refusal> sqs_calls::batch(std::string_view operation, std::string_view url, std::size_t count,
                                                 const std::function<void(std::size_t, json::object&)>& describe) {
    std::vector<std::size_t> left(count);
    std::iota(left.begin(), left.end(), 0);
    std::vector<refusal> refused;
    for (std::uint32_t attempt = 1; !left.empty(); ++attempt) {
        json::array entries;
        for (const std::size_t index : left) {
            json::object entry{{"Id", fmt::format("{}", index)}};
            describe(index, entry);
            entries.push_back(std::move(entry));
        }
        const auto answer = call(operation, {{"QueueUrl", url}, {"Entries", std::move(entries)}});
        for (const auto& each : list_in(answer, "Successful")) std::erase(left, index_of(each));
        const bool is_last = attempt >= settings_.batch_attempts_max;
        for (const auto& each : list_in(answer, "Failed")) {
            const std::size_t index = index_of(each);
            if (std::ranges::find(left, index) == left.end()) continue;
            const auto& failed = each.get_object();
            const auto* const fault = failed.if_contains("SenderFault");
            const std::string code(bare(text_of(failed, "Code")));
            const bool is_ours = fault && fault->is_bool() && fault->get_bool();
            const bool may_retry = !is_ours || aws::is_retryable(200, code);
            if (may_retry && !is_last) continue;
            refused.push_back({index, code, may_retry});
            std::erase(left, index);
        }
        if (left.empty()) break;
        if (is_last) {  // the answer does not tell what became of them
            for (const std::size_t index : left) refused.push_back({index, "no answer", true});
            break;
        }
        client_.back_off(attempt);
    }
    return refused;
}

std::vector<std::size_t> sqs_calls::send(std::string_view url, std::span<const message> messages) {
    std::vector<std::size_t> not_taken;
    for (std::size_t from = 0; from < messages.size(); from += batch_max) {
        const auto some = messages.subspan(from, std::min(batch_max, messages.size() - from));
        try {
            for (const auto& each :
                 batch("SendMessageBatch", url, some.size(), [&](std::size_t i, json::object& entry) {
                     entry["MessageBody"] = some[i].body;
                     entry["DelaySeconds"] = delay_of(some[i]).count();
                 }))
                not_taken.push_back(from + each.index);
        } catch (const failure&) {
            if (from == not_taken.size()) throw;  // none was taken so far
            for (std::size_t i = from; i < messages.size(); ++i) not_taken.push_back(i);
            break;
        }
    }
    std::ranges::sort(not_taken);
    return not_taken;
}

std::size_t sqs_calls::of_receipts(std::string_view operation, std::string_view url,
                                   std::span<const std::string> receipts,
                                   const std::function<void(json::object&)>& describe) {
    std::size_t done = 0;
    for (std::size_t from = 0; from < receipts.size(); from += batch_max) {
        const auto some = receipts.subspan(from, std::min(batch_max, receipts.size() - from));
        done += some.size();
        for (const auto& each : batch(operation, url, some.size(), [&](std::size_t i, json::object& entry) {
                 entry["ReceiptHandle"] = some[i];
                 describe(entry);
             })) {
            if (!is_unknown_receipt(each.code)) {
                throw sqs_failure(
                    each.may_retry, each.code,
                    fmt::format("AmazonSQS.{}: {} for one of {} entries", operation, each.code, some.size()));
            }
            --done;
        }
    }
    return done;
}

std::size_t sqs_calls::extend(std::string_view url, std::span<const std::string> receipts,
                              std::chrono::seconds hidden_for) {
    const auto seconds = hidden_within_limits(hidden_for).count();
    return of_receipts("ChangeMessageVisibilityBatch", url, receipts,
                       [seconds](json::object& entry) { entry["VisibilityTimeout"] = seconds; });
}

std::size_t sqs_calls::remove(std::string_view url, std::span<const std::string> receipts) {
    return of_receipts("DeleteMessageBatch", url, receipts, [](json::object&) {});
}

redrive_policy policy_of(const json::object& attributes) {
    boost::system::error_code problem;
    const auto read = json::parse(text_of(attributes, "RedrivePolicy"), problem);
    if (problem || !read.is_object()) return {};
    const auto& policy = read.get_object();
    const std::string_view arn = text_of(policy, "deadLetterTargetArn");  // arn:aws:sqs:REGION:ACCOUNT:NAME
    return {std::string(arn.substr(arn.rfind(':') + 1)), number_of(policy, "maxReceiveCount")};
}

std::uint64_t number_of(const json::object& attributes, std::string_view name) {
    const auto* const value = attributes.if_contains(name);
    if (value && value->is_number()) {
        boost::system::error_code problem;
        const auto number = value->to_number<std::uint64_t>(problem);
        return problem ? 0 : number;
    }
    return number_in(text_of(attributes, name));
}

}  // namespace queue
