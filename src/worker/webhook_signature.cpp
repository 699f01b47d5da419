#include "worker/webhook_signature.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <stdexcept>
#include <vector>

namespace worker {
namespace {

constexpr std::string_view prefix = "whsec_";

std::vector<unsigned char> bytes_of(std::string_view secret) {
    if (!secret.starts_with(prefix)) throw std::invalid_argument("a webhook's secret has another form");
    secret.remove_prefix(prefix.size());
    std::vector<unsigned char> bytes(secret.size() / 4 * 3 + 3);
    const int size = EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(secret.data()),
                                     static_cast<int>(secret.size()));
    if (size <= 0) throw std::invalid_argument("a webhook's secret is no base64");
    std::size_t padding = 0;  // which EVP_DecodeBlock turns into bytes of zero
    while (padding < 2 && secret.ends_with('=')) {
        secret.remove_suffix(1);
        ++padding;
    }
    bytes.resize(static_cast<std::size_t>(size) - padding);
    return bytes;
}

}  // namespace

std::string webhook_signature(std::span<const base::secret> secrets, std::string_view id, std::int64_t at_seconds,
                              std::string_view body) {
    const std::string content = fmt::format("{}.{}.{}", id, at_seconds, body);
    std::string text;
    for (const auto& secret : secrets) {
        if (secret.empty()) continue;
        auto key = bytes_of(secret.reveal());
        std::array<unsigned char, 32> code{};
        unsigned size = 0;
        const auto* const made =
            HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                 reinterpret_cast<const unsigned char*>(content.data()), content.size(), code.data(), &size);
        OPENSSL_cleanse(key.data(), key.size());
        if (!made) throw std::runtime_error("HMAC-SHA-256 failed");
        std::array<unsigned char, 4 * ((code.size() + 2) / 3) + 1> encoded{};
        const int length = EVP_EncodeBlock(encoded.data(), code.data(), static_cast<int>(size));
        text += fmt::format(
            "{}v1,{}", text.empty() ? "" : " ",
            std::string_view(reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(length)));
    }
    return text;
}

}  // namespace worker
