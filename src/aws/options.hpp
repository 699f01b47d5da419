// Settings of calls to Amazon's services, under the names that Amazon's own tools use.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/secret.hpp"

namespace aws {

using std::chrono::milliseconds;

struct options {
    std::string region;          // AWS_REGION
    std::string default_region;  // AWS_DEFAULT_REGION: when there is no region

    // Where the services are, scheme://host[:port]; empty: Amazon.
    std::string endpoint_url;                  // AWS_ENDPOINT_URL: for every service
    std::string endpoint_url_sqs;              // AWS_ENDPOINT_URL_SQS
    std::string endpoint_url_secrets_manager;  // AWS_ENDPOINT_URL_SECRETS_MANAGER
    std::string ca_bundle;                     // AWS_CA_BUNDLE: trust anchors (PEM) instead of the system's

    // Who we are: credentials.hpp tells the order.
    base::secret access_key_id{};                              // AWS_ACCESS_KEY_ID
    base::secret secret_access_key{};                          // AWS_SECRET_ACCESS_KEY
    base::secret session_token{};                              // AWS_SESSION_TOKEN
    std::string container_relative_uri;                        // AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
    std::string container_full_uri;                            // AWS_CONTAINER_CREDENTIALS_FULL_URI
    base::secret container_authorization{};                    // AWS_CONTAINER_AUTHORIZATION_TOKEN
    std::string container_authorization_file;                  // AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
    std::string metadata_disabled;                             // AWS_EC2_METADATA_DISABLED: "true"
    std::string metadata_endpoint = "http://169.254.169.254";  // AWS_EC2_METADATA_SERVICE_ENDPOINT

    milliseconds connect_timeout{3'000};  // TCP and TLS together
    milliseconds call_timeout{10'000};    // one attempt, besides what a long poll waits
    std::uint32_t attempts_max = 4;       // of one call; throttling, 5xx and network trouble are tried again
    milliseconds backoff_first{50};       // the longest wait before the second attempt; doubled for each further one
    milliseconds backoff_max{2'000};
    std::uint64_t answer_bytes_max = 8ull << 20;  // ten messages of the largest size, written as JSON, fit

    milliseconds credentials_timeout{2'000};  // one request to the container's or the machine's endpoint
    milliseconds credentials_ahead{300'000};  // renewed so long before they expire
    milliseconds credentials_retry{5'000};    // a renewal that failed, or gave what is expired, is tried again then
};

}  // namespace aws
