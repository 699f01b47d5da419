// What curl signs is what Amazon would compute: the signature of a captured request, worked out again from the
// algorithm in Amazon's documentation of Signature Version 4.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "aws/client.hpp"
#include "aws/test_server.hpp"

namespace aws {
namespace {

std::string hex(std::string_view bytes) {
    std::string made;
    for (const unsigned char c : bytes) {
        made += "0123456789abcdef"[c >> 4];
        made += "0123456789abcdef"[c & 15];
    }
    return made;
}

std::string sha256_hex(std::string_view text) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
    return hex({reinterpret_cast<const char*>(digest), sizeof digest});
}

std::string hmac(std::string_view key, std::string_view text) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
         text.size(), digest, &size);
    return {reinterpret_cast<const char*>(digest), size};
}

std::string key_of(std::string_view secret, std::string_view day, std::string_view region, std::string_view service) {
    return hmac(hmac(hmac(hmac("AWS4" + std::string(secret), day), region), service), "aws4_request");
}

std::string signature(std::string_view key, std::string_view time, std::string_view scope, std::string_view canonical) {
    const std::string text =
        "AWS4-HMAC-SHA256\n" + std::string(time) + "\n" + std::string(scope) + "\n" + sha256_hex(canonical);
    return hex(hmac(key, text));
}

// The signature that a request should carry, given the headers that it says are signed. Empty: one of them is not
// there.
std::string right_signature(const test_request& request, std::string_view signed_headers, std::string_view scope,
                            std::string_view secret, std::string_view region, std::string_view service) {
    std::string canonical = request.method + "\n" + request.target + "\n\n";
    for (std::string_view rest = signed_headers; !rest.empty();) {
        const std::string_view name = rest.substr(0, rest.find(';'));
        rest.remove_prefix(std::min(rest.size(), name.size() + 1));
        const std::string value = request.header(name);
        if (value.empty()) return {};
        canonical += std::string(name) + ":" + value + "\n";
    }
    canonical += "\n" + std::string(signed_headers) + "\n" + sha256_hex(request.body);
    const std::string time = request.header("x-amz-date");
    return signature(key_of(secret, time.substr(0, 8), region, service), time, scope, canonical);
}

std::string_view between(std::string_view text, std::string_view begin, char end) {
    const auto at = text.find(begin);
    if (at == text.npos) return {};
    text.remove_prefix(at + begin.size());
    return text.substr(0, text.find(end));
}

TEST(signature_check, agrees_with_the_example_of_the_documentation) {
    const std::string canonical =
        "GET\n/\nAction=ListUsers&Version=2010-05-08\ncontent-type:application/x-www-form-urlencoded; charset=utf-8\n"
        "host:iam.amazonaws.com\nx-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n" +
        sha256_hex("");
    EXPECT_EQ(sha256_hex(canonical), "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59");
    const std::string key = key_of("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "iam");
    EXPECT_EQ(hex(key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    EXPECT_EQ(signature(key, "20150830T123600Z", "20150830/us-east-1/iam/aws4_request", canonical),
              "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

struct signed_case {
    std::string region, service, version, operation, secret, token, body;
};

void expect_right(const signed_case& given) {
    test_server server([](const test_request&) { return http_answer("{}"); });
    options settings;
    settings.endpoint_url = server.url();
    settings.access_key_id = base::secret("AKIDEXAMPLE");
    settings.secret_access_key = base::secret(given.secret);
    settings.session_token = base::secret(given.token);
    client client(settings);
    EXPECT_EQ(
        client.json_call(service_of(settings, given.service, given.version, given.region), given.operation, given.body),
        "{}");
    const auto all = server.requests();
    ASSERT_EQ(all.size(), 1u);
    const test_request& sent = all.front();
    EXPECT_EQ(sent.method + " " + sent.target, "POST /");
    EXPECT_EQ(sent.body, given.body);
    EXPECT_EQ(sent.header("x-amz-target"), given.operation);
    EXPECT_EQ(sent.header("content-type"), "application/x-amz-json-" + given.version);
    EXPECT_EQ(sent.header("x-amz-security-token"), given.token);
    EXPECT_EQ(sent.header("expect"), "");

    const std::string authorization = sent.header("authorization");
    const std::string scope =
        sent.header("x-amz-date").substr(0, 8) + "/" + given.region + "/" + given.service + "/aws4_request";
    EXPECT_EQ(between(authorization, "Credential=", ','), "AKIDEXAMPLE/" + scope);
    const std::string_view signed_headers = between(authorization, "SignedHeaders=", ',');
    EXPECT_EQ(signed_headers, given.token.empty() ? "content-type;host;x-amz-date;x-amz-target"
                                                  : "content-type;host;x-amz-date;x-amz-security-token;x-amz-target");
    const std::string_view sent_signature = between(authorization, "Signature=", ',');
    EXPECT_EQ(sent_signature.size(), 64u);
    EXPECT_EQ(sent_signature, right_signature(sent, signed_headers, scope, given.secret, given.region, given.service));
    EXPECT_NE(sent_signature,
              right_signature(sent, signed_headers, scope, given.secret + "x", given.region, given.service));
    for (const auto& [name, value] : sent.headers) EXPECT_EQ(value.find(given.secret), value.npos) << name;
}

TEST(signature, of_a_call_is_what_amazon_computes) {
    expect_right({"eu-west-1", "sqs", "1.0", "AmazonSQS.SendMessage", "secret/with+signs", "",
                  R"({"QueueUrl":"https://sqs.eu-west-1.amazonaws.com/1/jobs","MessageBody":"job_1"})"});
}

TEST(signature, covers_a_session_token) {
    expect_right(
        {"us-gov-west-1", "sqs", "1.0", "AmazonSQS.ReceiveMessage", "another", "FQoGZXIvYXdzE//token==", "{}"});
}

TEST(signature, names_the_service_and_covers_bodies_that_are_large_or_not_ascii) {
    expect_right({"eu-central-1", "secretsmanager", "1.1", "secretsmanager.GetSecretValue", "s:with:colons", "",
                  "{\"SecretId\":\"pr\xc3\xbc"
                  "fung\"}"});
    expect_right({"eu-central-1", "sqs", "1.0", "AmazonSQS.SendMessageBatch", "S!crt", "t", std::string(200'000, 'x')});
}

}  // namespace
}  // namespace aws
