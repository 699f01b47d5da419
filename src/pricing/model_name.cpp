#include "pricing/model_name.hpp"

#include <algorithm>

namespace pricing {
namespace {

// Inference profiles of Bedrock put where it runs before the name, and Bedrock itself the vendor.
constexpr std::string_view prefixes[] = {"us.", "eu.", "apac.", "global.", "jp.", "au.", "us-gov.", "anthropic."};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "-v1", "-v1:0", "-v2:0:200k"
bool is_version(std::string_view suffix) {
    const auto is_part = [](char c) { return is_digit(c) || c == ':' || c == 'k' || c == 'm'; };
    return suffix.size() > 2 && is_digit(suffix[2]) && std::ranges::all_of(suffix.substr(2), is_part);
}

bool drop_prefix(std::string_view& model) {
    for (const auto prefix : prefixes) {
        if (!model.starts_with(prefix)) continue;
        model.remove_prefix(prefix.size());
        return true;
    }
    return false;
}

}  // namespace

std::string_view without_decoration(std::string_view model) {
    if (const auto slash = model.rfind('/'); slash != model.npos) model.remove_prefix(slash + 1);
    while (drop_prefix(model)) {
    }
    if (model.ends_with(']')) model = model.substr(0, model.rfind('['));
    model = model.substr(0, model.find('@'));
    const auto version = model.rfind("-v");
    if (version != model.npos && is_version(model.substr(version))) model = model.substr(0, version);
    return model;
}

std::string_view without_date(std::string_view model) {
    constexpr std::size_t date_bytes = std::string_view("-20250805").size();
    if (model.size() <= date_bytes) return model;
    const auto date = model.substr(model.size() - date_bytes);
    const bool is_date = date.starts_with("-20") && std::ranges::all_of(date.substr(1), is_digit);
    return is_date ? model.substr(0, model.size() - date_bytes) : model;
}

}  // namespace pricing
