#include "governance/key_secret.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>

namespace governance {
namespace {

constexpr std::string_view prefix = "sk-cp-";
constexpr std::size_t body_size = 43;  // 62^43 is the first power of 62 over 2^256
constexpr std::size_t checksum_size = 6;
constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

struct mac_free {
    void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};

void fill_with_random(std::span<unsigned char> bytes) {
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) throw std::runtime_error("no random bytes");
}

// The number that the bytes are, the most significant first, in `width` digits. The bytes are used up.
std::string base62(std::span<unsigned char> number, std::size_t width) {
    std::string text(width, digits[0]);
    for (std::size_t place = width; place > 0; --place) {
        unsigned rest = 0;
        for (unsigned char& byte : number) {
            const unsigned value = rest * 256 + byte;
            byte = static_cast<unsigned char>(value / 62);
            rest = value % 62;
        }
        text[place - 1] = digits[rest];
    }
    return text;
}

// CRC-32 as in zip and Ethernet; a bit at a time, because a secret is short and rarely made.
std::uint32_t crc32(std::string_view text) {
    std::uint32_t sum = 0xFFFFFFFF;
    for (const char c : text) {
        sum ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ (0xEDB88320 & (0U - (sum & 1)));
    }
    return ~sum;
}

std::string checksum_of(std::string_view body) {
    const std::uint32_t sum = crc32(body);
    std::array<unsigned char, 4> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(sum >> (24 - 8 * i));
    return base62(bytes, checksum_size);
}

// Distinguishes hashers for the contexts that threads keep: an address may come back with another pepper behind it.
std::uint64_t next_hasher() {
    static std::atomic<std::uint64_t> count{0};
    return count.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

base::secret new_secret() {
    std::array<unsigned char, 32> random{};
    fill_with_random(random);
    const std::string body = base62(random, body_size);
    return base::secret(std::string(prefix) + body + checksum_of(body));
}

bool is_well_formed(std::string_view secret) {
    if (secret.size() != prefix.size() + body_size + checksum_size || !secret.starts_with(prefix)) return false;
    const std::string_view body = secret.substr(prefix.size(), body_size);
    if (body.find_first_not_of(digits) != body.npos) return false;
    return secret.substr(prefix.size() + body_size) == checksum_of(body);
}

std::string hint_of(std::string_view secret) {
    return std::string(secret.substr(secret.size() - std::min<std::size_t>(secret.size(), 4)));
}

std::string new_id(std::string_view kind) {
    constexpr std::size_t id_size = 24;
    constexpr unsigned char fair_below = 248;  // 4 * 62: bytes from here on would favour the first digits
    std::string id(kind);
    std::array<unsigned char, 32> random{};
    while (id.size() < kind.size() + id_size) {
        fill_with_random(random);
        for (const unsigned char byte : random)
            if (byte < fair_below && id.size() < kind.size() + id_size) id += digits[byte % 62];
    }
    return id;
}

bool is_id(std::string_view kind, std::string_view text) {
    return text.size() == kind.size() + 24 && text.starts_with(kind) &&
           text.find_first_not_of(digits, kind.size()) == text.npos;
}

std::string hex_of(const digest& what) {
    constexpr std::string_view hex_digits = "0123456789abcdef";
    std::string text;
    text.reserve(what.size() * 2);
    for (const unsigned char byte : what) {
        text += hex_digits[byte >> 4];
        text += hex_digits[byte & 15];
    }
    return text;
}

std::optional<digest> digest_of_hex(std::string_view hex) {
    digest made{};
    if (hex.size() != made.size() * 2) return std::nullopt;
    for (std::size_t i = 0; i < hex.size(); ++i) {
        const char c = hex[i];
        int value = 0;
        if (c >= '0' && c <= '9')
            value = c - '0';
        else if (c >= 'a' && c <= 'f')
            value = c - 'a' + 10;
        else
            return std::nullopt;
        made[i / 2] = static_cast<unsigned char>(made[i / 2] * 16 + value);
    }
    return made;
}

key_hasher::key_hasher(base::secret pepper) : pepper_(pepper.reveal()), number_(next_hasher()) {
    if (pepper_.empty()) throw std::invalid_argument("the pepper of the keys is empty");
}

key_hasher::~key_hasher() { OPENSSL_cleanse(pepper_.data(), pepper_.size()); }

digest key_hasher::hash(std::string_view secret) const {
    // Fetching the algorithm and setting the key cost more than the digest: each thread keeps a keyed context.
    struct keyed_context {
        std::unique_ptr<EVP_MAC, mac_free> mac{EVP_MAC_fetch(nullptr, "HMAC", nullptr)};
        std::unique_ptr<EVP_MAC_CTX, mac_free> context{EVP_MAC_CTX_new(mac.get())};
        std::uint64_t owner = 0;
    };
    thread_local keyed_context keyed;
    EVP_MAC_CTX* const context = keyed.context.get();
    if (keyed.owner != number_) {
        keyed.owner = 0;
        char name[] = "SHA256";
        const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                         OSSL_PARAM_construct_end()};
        const auto* const key = reinterpret_cast<const unsigned char*>(pepper_.data());
        if (EVP_MAC_init(context, key, pepper_.size(), parameters) != 1)
            throw std::runtime_error("HMAC-SHA-256 failed");
        keyed.owner = number_;
    }
    digest made{};
    std::size_t size = made.size();
    if (EVP_MAC_init(context, nullptr, 0, nullptr) != 1 ||
        EVP_MAC_update(context, reinterpret_cast<const unsigned char*>(secret.data()), secret.size()) != 1 ||
        EVP_MAC_final(context, made.data(), &size, made.size()) != 1) {
        throw std::runtime_error("HMAC-SHA-256 failed");
    }
    return made;
}

last_secret::~last_secret() { OPENSSL_cleanse(secret_.data(), secret_.size()); }

const digest& last_secret::hash(const key_hasher& with, std::string_view secret) {
    if (hasher_ == with.number_ && size_ == secret.size() && CRYPTO_memcmp(secret_.data(), secret.data(), size_) == 0)
        return digest_;
    hasher_ = 0;
    digest_ = with.hash(secret);
    if (secret.size() > secret_.size()) return digest_;
    OPENSSL_cleanse(secret_.data(), secret_.size());
    secret.copy(secret_.data(), secret.size());
    size_ = secret.size();
    hasher_ = with.number_;
    return digest_;
}

}  // namespace governance
