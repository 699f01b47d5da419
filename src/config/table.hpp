// The one table of settings: name, meaning, where the value lives and how it is read. Everything else that knows the
// settings (parser, help, unknown names, `.env.example`) is made from it. Internal to this folder.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "config/parse.hpp"

namespace config::table {

using std::chrono::milliseconds;

// Kinds of values. `at` finds the field; limits are inclusive.
struct duration {
    milliseconds& (*at)(settings&);
    milliseconds min;
    milliseconds max;
};
template <class Number>
struct size {
    Number& (*at)(settings&);
    std::uint64_t min;
    std::uint64_t max;
};
template <class Number>
struct count {
    Number& (*at)(settings&);
    std::uint64_t min;
    std::uint64_t max;
};
struct listener {
    address& (*at)(settings&);
};
struct durations {  // between commas
    std::vector<milliseconds>& (*at)(settings&);
    milliseconds max;
    std::size_t count_max;
};
struct yes_no {
    bool& (*at)(settings&);
    std::string_view yes = "yes", no = "no";
};
struct url {
    std::string& (*at)(settings&);
};
struct text {
    std::string& (*at)(settings&);
};
struct readable_file {
    std::string& (*at)(settings&);
};
struct secret {
    base::secret& (*at)(settings&);
};
// The same with blanks inside, as the value of a header may have.
struct secret_line {
    base::secret& (*at)(settings&);
};
struct secret_list {
    std::vector<base::secret>& (*at)(settings&);
};
struct directory_path {
    std::string& (*at)(settings&);
};
// A URL that may carry a password: checked by its scheme, never shown, but for the default.
struct secret_url {
    base::secret& (*at)(settings&);
    std::string_view schemes;  // comma separated, with their colon: "sqlite:,postgresql://"
    std::string_view shown;    // the default, as text
};
struct log_level {};
struct log_format {};
struct config_path {};     // read before all others
struct secrets_source {};  // where secrets come from besides: `env`, or a prefix and the secret

using kind =
    std::variant<duration, size<std::uint32_t>, size<std::uint64_t>, count<std::uint32_t>, count<std::uint64_t>,
                 listener, url, text, readable_file, secret, secret_line, secret_list, directory_path, secret_url,
                 durations, yes_no, log_level, log_format, config_path, secrets_source>;

struct row {
    std::string_view name;
    kind value;
    std::string_view meaning;
};

std::span<const row> rows();

// Reads `text` into its field. Error: the end of a sentence whose subject is the setting's name.
std::expected<void, std::string> read(const row& setting, std::string_view text, settings& into);

// The value as `read` would take it. Secrets give nothing.
std::string show(const row& setting, settings& from);

}  // namespace config::table
