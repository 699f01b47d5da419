#include "config/table.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "upstream/origin.hpp"

namespace config::table {
namespace {

using outcome = std::expected<void, std::string>;
outcome refuse(std::string why) { return std::unexpected(std::move(why)); }

// A key that a header can carry and that no editor has split or decorated.
bool is_visible_ascii(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}
constexpr std::string_view not_visible =
    "has a character that no key has (white space or beyond ASCII); copy the key again";

constexpr std::string_view secrets_manager = "aws-secretsmanager:";
constexpr std::size_t secret_id_bytes_max = 2'048;  // of an ARN, by Amazon's rules

struct reader {
    std::string_view text;
    settings& into;

    outcome operator()(const duration& field) const {
        const auto value = parse_duration(text);
        if (!value) return refuse(value.error());
        if (*value < field.min || *value > field.max) {
            return refuse(fmt::format("must be from {} to {}", duration_text(field.min), duration_text(field.max)));
        }
        field.at(into) = *value;
        return {};
    }
    template <class Number>
    outcome operator()(const size<Number>& field) const {
        const auto value = parse_size(text);
        if (!value) return refuse(value.error());
        if (*value < field.min || *value > field.max) {
            return refuse(fmt::format("must be from {} to {} bytes", size_text(field.min), size_text(field.max)));
        }
        field.at(into) = static_cast<Number>(*value);
        return {};
    }
    template <class Number>
    outcome operator()(const count<Number>& field) const {
        const auto value = parse_count(text);
        if (!value || *value < field.min || *value > field.max) {
            return refuse(fmt::format("must be a whole number from {} to {}", field.min, field.max));
        }
        field.at(into) = static_cast<Number>(*value);
        return {};
    }
    outcome operator()(const table::text& field) const {
        if (!is_visible_ascii(text)) return refuse("must be visible ASCII characters without white space");
        field.at(into) = std::string(text);
        return {};
    }
    outcome operator()(const directory_path& field) const {
        if (text.find('\0') != text.npos) return refuse("must be a path");
        field.at(into) = std::string(text);
        return {};
    }
    outcome operator()(const secret_url& field) const {
        std::string_view schemes = field.schemes;
        std::string wanted;
        while (!schemes.empty()) {
            const std::string_view scheme = schemes.substr(0, schemes.find(','));
            if (text.starts_with(scheme) && text.size() > scheme.size()) {
                if (!is_visible_ascii(text)) return refuse(std::string(not_visible));
                field.at(into) = base::secret(std::string(text));
                return {};
            }
            wanted += fmt::format("{}`{}...`", wanted.empty() ? "" : " or ", scheme);
            schemes.remove_prefix(std::min(schemes.size(), scheme.size() + 1));
        }
        return refuse(fmt::format("must begin with {}", wanted));
    }
    outcome operator()(const durations& field) const {
        std::vector<milliseconds> read;
        for (const std::string_view item : split_list(text)) {
            const auto value = parse_duration(item);
            if (!value) return refuse(value.error());
            if (*value > field.max) return refuse(fmt::format("must have no item over {}", duration_text(field.max)));
            read.push_back(*value);
        }
        if (read.size() > field.count_max) return refuse(fmt::format("must have at most {} items", field.count_max));
        field.at(into) = std::move(read);
        return {};
    }
    outcome operator()(const yes_no& field) const {
        if (text != field.yes && text != field.no) return refuse(fmt::format("must be {} or {}", field.yes, field.no));
        field.at(into) = text == field.yes;
        return {};
    }
    outcome operator()(const listener& field) const {
        auto value = parse_address(text);
        if (!value) return refuse(value.error());
        field.at(into) = std::move(*value);
        return {};
    }
    outcome operator()(const url& field) const {
        const auto value = upstream::parse_origin(text);
        if (!value) return refuse(fmt::format("is not usable: {}", value.error()));
        field.at(into) = text;
        return {};
    }
    outcome operator()(const readable_file& field) const {
        const std::string path(text);
        if (access(path.c_str(), R_OK) != 0)
            return refuse(fmt::format("names a file that cannot be read: {}", std::strerror(errno)));
        field.at(into) = path;
        return {};
    }
    outcome operator()(const secret& field) const {
        if (!is_visible_ascii(text)) return refuse(std::string(not_visible));
        field.at(into) = base::secret(std::string(text));
        return {};
    }
    outcome operator()(const secret_line& field) const {
        if (!std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; }))
            return refuse("must be one line of printable ASCII characters");
        field.at(into) = base::secret(std::string(text));
        return {};
    }
    outcome operator()(const secret_list& field) const {
        std::vector<base::secret> keys;
        for (const std::string_view item : split_list(text)) {
            if (!is_visible_ascii(item)) return refuse(std::string(not_visible));
            const auto same = [item](const base::secret& known) { return known.reveal() == item; };
            if (std::ranges::none_of(keys, same)) keys.emplace_back(std::string(item));
        }
        field.at(into) = std::move(keys);
        return {};
    }
    outcome operator()(const log_level&) const {
        using enum telemetry::level;
        for (const auto& [name, value] :
             {std::pair{"debug", debug}, {"info", info}, {"warn", warn}, {"error", error}}) {
            if (text == name) {
                into.log.level_min = value;
                return {};
            }
        }
        return refuse("must be debug, info, warn or error");
    }
    outcome operator()(const log_format&) const {
        if (text != "json" && text != "text" && text != "auto") return refuse("must be json, text or auto");
        if (text != "auto") into.log.form = text == "json" ? telemetry::format::json : telemetry::format::text;
        return {};
    }
    outcome operator()(const config_path&) const { return {}; }
    outcome operator()(const secrets_source&) const {
        into.secrets.id.clear();
        if (text == "env") return {};
        if (!text.starts_with(secrets_manager) || text.size() == secrets_manager.size() ||
            text.size() > secrets_manager.size() + secret_id_bytes_max || !is_visible_ascii(text))
            return refuse("must be `env`, or `aws-secretsmanager:` and the name or ARN of a secret");
        into.secrets.id = text.substr(secrets_manager.size());
        return {};
    }
};

struct shower {
    settings& from;

    std::string operator()(const duration& field) const { return duration_text(field.at(from)); }
    template <class Number>
    std::string operator()(const size<Number>& field) const {
        return size_text(field.at(from));
    }
    template <class Number>
    std::string operator()(const count<Number>& field) const {
        return fmt::to_string(field.at(from));
    }
    std::string operator()(const durations& field) const {
        std::string all;
        for (const milliseconds each : field.at(from)) all += (all.empty() ? "" : ",") + duration_text(each);
        return all;
    }
    std::string operator()(const yes_no& field) const { return std::string(field.at(from) ? field.yes : field.no); }
    std::string operator()(const listener& field) const { return address_text(field.at(from)); }
    std::string operator()(const url& field) const { return field.at(from); }
    std::string operator()(const readable_file& field) const { return field.at(from); }
    std::string operator()(const secret&) const { return {}; }
    std::string operator()(const directory_path& field) const { return field.at(from); }
    std::string operator()(const table::text& field) const { return field.at(from); }
    std::string operator()(const secret_url& field) const { return std::string(field.shown); }
    std::string operator()(const secret_line&) const { return {}; }
    std::string operator()(const secret_list&) const { return {}; }
    std::string operator()(const log_level&) const {
        constexpr std::string_view names[] = {"debug", "info", "warn", "error"};
        return std::string(names[static_cast<std::size_t>(from.log.level_min)]);
    }
    std::string operator()(const log_format&) const { return "auto"; }
    std::string operator()(const config_path&) const { return {}; }
    std::string operator()(const secrets_source&) const {
        return from.secrets.id.empty() ? "env" : std::string(secrets_manager) + from.secrets.id;
    }
};

}  // namespace

std::expected<void, std::string> read(const row& setting, std::string_view text, settings& into) {
    return std::visit(reader{text, into}, setting.value);
}

std::string show(const row& setting, settings& from) { return std::visit(shower{from}, setting.value); }

}  // namespace config::table
