// The secrets of keys: made of 256 random bits, written as `sk-cp-` and 43 characters with a checksum of 6, stored as
// HMAC-SHA-256 under the installation's pepper, compared in constant time. Thread rule: immutable; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/secret.hpp"

namespace governance {

using digest = std::array<unsigned char, 32>;

// A fresh secret: "sk-cp-" + 43 characters of base62 + 6 of its CRC-32. Throws when the system has no random bytes.
base::secret new_secret();

// The shape is right and the checksum fits: worth a look into the directory. Costs no secret's time to tell.
bool is_well_formed(std::string_view secret);

// Last four characters, shown in lists.
std::string hint_of(std::string_view secret);

// An id that nobody can guess or make twice: `kind`, such as "team_", and 24 characters of base62.
std::string new_id(std::string_view kind);
// The shape of such an id.
bool is_id(std::string_view kind, std::string_view text);

std::string hex_of(const digest& what);
std::optional<digest> digest_of_hex(std::string_view hex);  // lower case only, as it is stored

class key_hasher {
public:
    explicit key_hasher(base::secret pepper);  // throws std::invalid_argument for an empty one
    ~key_hasher();
    key_hasher(const key_hasher&) = delete;
    key_hasher& operator=(const key_hasher&) = delete;

    digest hash(std::string_view secret) const;  // throws only when OpenSSL fails

private:
    friend class last_secret;

    std::string pepper_;
    std::uint64_t number_;  // of this hasher in the process
};

// The secret that came last, for one who brings the same one again and again: a connection. What the directory says of
// its digest is asked anew each time. Compared in constant time, wiped when it goes. Thread rule: one thread.
class last_secret {
public:
    last_secret() = default;
    ~last_secret();
    last_secret(const last_secret&) = delete;
    last_secret& operator=(const last_secret&) = delete;

    const digest& hash(const key_hasher& with, std::string_view secret);

private:
    static constexpr std::size_t kept_bytes_max = 64;  // ours have 55; a longer one is hashed each time

    std::array<char, kept_bytes_max> secret_{};
    std::size_t size_ = 0;
    std::uint64_t hasher_ = 0;  // 0: nothing is kept
    digest digest_{};
};

}  // namespace governance
