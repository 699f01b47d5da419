// What AWS Secrets Manager says of a secret, and what ours holds: a JSON object whose members are names of settings
// that are secrets. Plain functions of bytes; no sentence here repeats a value.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"

namespace app {

struct secret_version {
    std::string id;               // empty: the secrets come from the environment
    std::int64_t made_at_ms = 0;  // since 1970; 0: not told
    std::string short_id() const { return id.empty() ? std::string("-") : id.substr(0, 8); }
    bool operator==(const secret_version&) const = default;
};

struct secret_answer {
    std::string text;
    secret_version version;
};

// The answer to GetSecretValue. Error: the end of a sentence whose subject is the secret.
std::expected<secret_answer, std::string> read_secret_answer(std::string_view body);

struct secret_document {
    config::environment members;
    std::vector<std::string> ignored;  // names that are no secrets among our settings
};

// Error: the same. A document that is not wholly understood is not taken in part, but for names that are not ours.
std::expected<secret_document, std::string> read_secret_document(std::string_view text);

}  // namespace app
