#include "aws/error_answer.hpp"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

namespace aws {
namespace {

// "com.amazonaws.sqs#QueueDoesNotExist" and "AWS.SimpleQueueService.NonExistentQueue:http://..." without what is around
// the name.
std::string bare(std::string_view code) {
    code = code.substr(code.find('#') == code.npos ? 0 : code.find('#') + 1);
    return std::string(code.substr(0, code.find(':')));
}

std::string one_line(std::string_view text) {
    std::string made;
    for (const char c : text) {
        if (made.size() == error_answer::message_bytes_max) break;
        const bool printable = c > ' ' && c < 0x7f;
        if (printable) made += c;
        if (!printable && !made.empty() && made.back() != ' ') made += ' ';
    }
    if (made.ends_with(' ')) made.pop_back();
    return made;
}

std::string_view member(const boost::json::object& all, std::initializer_list<std::string_view> names) {
    for (const auto name : names) {
        const auto* const value = all.if_contains(name);
        if (value && value->is_string()) return value->get_string();
    }
    return {};
}

std::string_view element(std::string_view xml, std::string_view open, std::string_view close) {
    const auto begin = xml.find(open);
    if (begin == xml.npos) return {};
    xml.remove_prefix(begin + open.size());
    const auto end = xml.find(close);
    return end == xml.npos ? std::string_view() : xml.substr(0, end);
}

}  // namespace

error_answer read_error(std::string_view body) {
    boost::system::error_code problem;
    const auto json = boost::json::parse(body, problem);
    if (!problem && json.is_object()) {
        const auto& all = json.get_object();
        return {bare(member(all, {"__type", "code", "Code"})), one_line(member(all, {"message", "Message"}))};
    }
    if (const auto code = element(body, "<Code>", "</Code>"); !code.empty())
        return {one_line(code), one_line(element(body, "<Message>", "</Message>"))};
    return {{}, one_line(body)};
}

bool is_retryable(long status, std::string_view code) {
    static constexpr std::array names{"InternalError",
                                      "InternalFailure",
                                      "InternalServerError",
                                      "InternalServiceError",
                                      "KmsThrottled",
                                      "OverLimit",
                                      "PriorRequestNotComplete",
                                      "ProvisionedThroughputExceededException",
                                      "RequestLimitExceeded",
                                      "RequestThrottled",
                                      "RequestThrottledException",
                                      "RequestTimeout",
                                      "RequestTimeoutException",
                                      "ServiceUnavailable",
                                      "SlowDown",
                                      "ThrottledException",
                                      "Throttling",
                                      "ThrottlingException",
                                      "TooManyRequestsException",
                                      "TransactionInProgressException"};
    return status >= 500 || status == 429 || std::ranges::find(names, code) != names.end();
}

bool is_of_old_credentials(std::string_view code) {
    return code == "ExpiredToken" || code == "ExpiredTokenException" || code == "InvalidClientTokenId" ||
           code == "UnrecognizedClientException";
}

}  // namespace aws
