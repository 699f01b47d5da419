// Calls of Amazon's services that speak JSON: SQS, Secrets Manager. Signed, on kept connections, tried again within
// bounds when that may help.
//
//     aws::client client(settings);
//     const auto secrets = aws::service_of(settings, "secretsmanager", "1.1", region);
//     client.json_call(secrets, "secretsmanager.GetSecretValue", R"({"SecretId":"x"})");
//
// Calls block: never on a reactor. Thread rule: any thread, several at a time.
#pragma once

#include <string>
#include <string_view>

#include "aws/credentials.hpp"
#include "aws/failure.hpp"
#include "aws/http.hpp"
#include "aws/options.hpp"

namespace aws {

struct service {
    std::string name;  // as it is signed: "sqs", "secretsmanager"
    std::string region;
    std::string endpoint;      // scheme://host[:port]
    std::string json_version;  // of application/x-amz-json-
};

// AWS_REGION, else AWS_DEFAULT_REGION, else empty.
std::string_view region_of(const options& settings);
// The endpoint of the settings for this service, else for all, else `otherwise`, else Amazon's in the region. Throws
// failure{false}: the region is missing, or a setting is no URL of an endpoint.
service service_of(const options& settings, std::string_view name, std::string_view json_version,
                   std::string_view region, std::string_view otherwise = {});

struct call_limits {
    milliseconds waits{0};           // what the service may wait before it answers, on top of call_timeout
    std::uint32_t attempts_max = 0;  // 0: that of the options
    bool ends_at_stop = false;
};

class client {
public:
    explicit client(const options& settings, credential_chain::clock now = {});

    // The body of a success; may be empty. Throws failure; its text names the operation, never a secret.
    std::string json_call(const service& at, std::string_view operation, const std::string& body,
                          const call_limits& limits = {});
    // The wait between two attempts, for callers with a loop of their own. False: stopped.
    bool back_off(std::uint32_t attempts_done, bool ends_at_stop = false);
    // Ends the calls that end at stop, now and from now on: they throw a failure with the code `stopped`.
    void stop() { http_.stop(); }

private:
    const options settings_;
    http http_;
    credential_chain credentials_;
};

}  // namespace aws
