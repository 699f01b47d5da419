#include "resources/custom_ids.hpp"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <span>

namespace resources {
namespace {

// A ledger row's request id has 64 bytes, of which the batch's id takes 31.
constexpr std::size_t verbatim_max = 32;

std::array<std::uint8_t, 32> hash_of(std::string_view text) {
    std::array<std::uint8_t, 32> hash{};
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
    return hash;
}

std::string hex(std::span<const std::uint8_t> bytes) {
    std::string text;
    for (const auto byte : bytes) text += fmt::format("{:02x}", byte);
    return text;
}

}  // namespace

void custom_id_digest::add(std::string_view custom_id) {
    const auto hash = hash_of(custom_id);
    unsigned carry = 0;
    for (std::size_t i = 0; i < sum_.size(); ++i) {
        carry += static_cast<unsigned>(sum_[i]) + hash[i];
        sum_[i] = static_cast<std::uint8_t>(carry);
        carry >>= 8;
    }
    ++count_;
}

std::string custom_id_digest::text() const { return fmt::format("{}-{}", hex(sum_), count_); }

std::string result_request_id(std::string_view batch_id, std::string_view custom_id) {
    if (custom_id.size() <= verbatim_max) return fmt::format("{}:{}", batch_id, custom_id);
    const auto hash = hash_of(custom_id);
    return fmt::format("{}~{}", batch_id, hex(std::span(hash).first(verbatim_max / 2)));
}

}  // namespace resources
