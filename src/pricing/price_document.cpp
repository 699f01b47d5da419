#include "pricing/price_document.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <span>

#include "base/yaml_documents.hpp"

namespace pricing {
namespace {

constexpr std::size_t document_bytes_max = 1 << 20;
constexpr std::size_t name_bytes_max = 256;
constexpr std::uint64_t tokens_max = 1'000'000'000;  // of any limit in the table: a thousand times what there is
constexpr base::pico_dollars pico_per_dollar_a_million = 1'000'000;

constexpr std::string_view class_names[] = {"input", "cache_write_5m", "cache_write_1h", "cache_read", "output"};

using members_map = std::map<std::string, YAML::Node, std::less<>>;

std::optional<std::uint64_t> whole_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

// The first millisecond (UTC) of "2026-10-07".
std::optional<std::int64_t> first_millisecond(std::string_view text) {
    if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
    const auto year = whole_number(text.substr(0, 4));
    const auto month = whole_number(text.substr(5, 2));
    const auto day = whole_number(text.substr(8, 2));
    if (!year || !month || !day) return std::nullopt;
    const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                           std::chrono::month(static_cast<unsigned>(*month)),
                                           std::chrono::day(static_cast<unsigned>(*day)));
    if (!date.ok()) return std::nullopt;
    return std::chrono::milliseconds(std::chrono::sys_days(date).time_since_epoch()).count();
}

class document_reader {
public:
    document_reader(std::string_view prefix, std::vector<std::string>& problems)
        : prefix_(prefix), problems_(problems) {}

    std::optional<price_document> read(std::string_view text) {
        if (text.size() > document_bytes_max) {
            return nothing(1, fmt::format("the document is longer than {} bytes", document_bytes_max));
        }
        try {
            const std::string whole(text);
            if (base::goes_on_after_the_first_document(whole)) {
                return nothing(1, "must be one YAML document, with nothing after it");
            }
            const auto root = YAML::Load(whole);
            if (!root.IsDefined() || root.IsNull()) return price_document();  // nothing but comments
            return read_root(root);
        } catch (const YAML::Exception& problem) {
            return nothing(problem.mark.is_null() ? 1 : problem.mark.line + 1,
                           fmt::format("is not YAML: {}", problem.msg));
        }
    }

private:
    std::optional<price_document> read_root(const YAML::Node& root) {
        constexpr std::string_view known[] = {"families", "batch_factor", "us_factor", "dollars_per_1000_web_searches",
                                              "models"};
        const auto found = members_of(root, "the document", known);
        if (!found) return std::nullopt;
        price_document made;
        if (const auto* node = member(*found, "families")) made.families = families_of(*node);
        if (const auto* node = member(*found, "batch_factor")) {
            made.batch_factor = factor_of(*node, "batch_factor", 0, factor_one);
        }
        if (const auto* node = member(*found, "us_factor")) {
            made.us_factor = factor_of(*node, "us_factor", factor_one, 10 * factor_one);
        }
        if (const auto* node = member(*found, "dollars_per_1000_web_searches")) {
            made.web_search = price_of(*node, "dollars_per_1000_web_searches", 1'000);
        }
        if (const auto* node = member(*found, "models")) {
            made.rows.emplace();
            if (!node->IsSequence() || node->size() == 0) refuse(*node, "`models` must be a list of rows");
            if (node->IsSequence()) {
                for (const auto& row : *node) read_row(row, *made.rows);
            }
        }
        return made;
    }

    void read_row(const YAML::Node& node, std::vector<document_row>& rows) {
        document_row row;
        row.line = node.Mark().line + 1;
        row.where = fmt::format("{}line {}", prefix_, row.line);
        constexpr std::string_view known[] = {"model",          "aliases",     "effective_from",
                                              "context_window", "output_max",  "us_inference",
                                              "prices",         "long_prompt", "fast"};
        const auto found = members_of(node, "a row", known);
        if (!found) return;
        if (const auto* name = required(*found, "model", node, "the row")) row.model = name_of(*name, "`model`");
        const auto what = fmt::format("the row of `{}`", row.model);
        if (const auto* names = member(*found, "aliases")) row.aliases = names_of(*names, "`aliases`");
        if (const auto* date = member(*found, "effective_from")) row.from_ms = date_of(*date);
        if (const auto* count = required(*found, "context_window", node, what)) {
            row.context_window = tokens_of(*count, "context_window");
        }
        if (const auto* count = required(*found, "output_max", node, what)) {
            row.output_max = tokens_of(*count, "output_max");
        }
        if (const auto* flag = required(*found, "us_inference", node, what)) row.us_inference = flag_of(*flag);
        if (const auto* prices = required(*found, "prices", node, what)) {
            row.standard = rates_of(*prices, fmt::format("`prices` of `{}`", row.model), nullptr);
        }
        if (const auto* prices = member(*found, "long_prompt")) {
            row.long_prompt =
                rates_of(*prices, fmt::format("`long_prompt` of `{}`", row.model), &row.long_prompt_above);
        }
        if (const auto* prices = member(*found, "fast")) {
            row.fast = rates_of(*prices, fmt::format("`fast` of `{}`", row.model), nullptr);
        }
        const auto twin = std::ranges::find_if(
            rows, [&](const auto& other) { return other.model == row.model && other.from_ms == row.from_ms; });
        if (twin != rows.end() && !row.model.empty()) {
            refuse(node, fmt::format("`{}` has a row with the same effective_from on line {}; remove one of the two",
                                     row.model, twin->line));
        }
        rows.push_back(std::move(row));
    }

    // All five classes; with `above`, the threshold among them.
    class_rates rates_of(const YAML::Node& node, const std::string& what, std::uint64_t* above) {
        std::vector<std::string_view> known(std::begin(class_names), std::end(class_names));
        if (above != nullptr) known.emplace_back("above");
        const auto found = members_of(node, what, known);
        class_rates rates{};
        if (!found) return rates;
        for (std::size_t i = 0; i < token_classes; ++i) {
            const auto* price = required(*found, class_names[i], node, what);
            if (price != nullptr) rates[i] = price_of(*price, class_names[i], pico_per_dollar_a_million);
        }
        if (above == nullptr) return rates;
        if (const auto* count = required(*found, "above", node, what)) *above = tokens_of(*count, "above");
        return rates;
    }

    // Nothing when it is no mapping. What is not known, or not usable as a member, is refused.
    std::optional<members_map> members_of(const YAML::Node& node, std::string_view what,
                                          std::span<const std::string_view> known) {
        if (!node.IsMap()) {
            refuse(node, fmt::format("{} must be a mapping: lines of `name: value`", what));
            return std::nullopt;
        }
        members_map found;
        for (const auto& item : node) {
            const std::string name = item.first.IsScalar() ? item.first.Scalar() : "";
            if (name == "<<") {
                refuse(item.first, "merge keys (`<<`) are not supported; write the values out");
            } else if (std::ranges::find(known, name) == known.end()) {
                refuse(item.first,
                       fmt::format("`{}` is unknown in {}; known are {}", name, what, fmt::join(known, ", ")));
            } else if (!found.emplace(name, item.second).second) {
                refuse(item.first, fmt::format("`{}` is set a second time in {}; remove one of the two", name, what));
            } else if (item.second.IsNull()) {
                refuse(item.first, fmt::format("`{}` has no value; give one or remove the line", name));
            }
        }
        return found;
    }

    // Null for a member that is absent, or empty and therefore refused already.
    static const YAML::Node* member(const members_map& found, std::string_view name) {
        const auto place = found.find(name);
        return place == found.end() || place->second.IsNull() ? nullptr : &place->second;
    }

    const YAML::Node* required(const members_map& found, std::string_view name, const YAML::Node& node,
                               std::string_view what) {
        if (!found.contains(name)) refuse(node, fmt::format("{} lacks `{}`", what, name));
        return member(found, name);
    }

    std::string name_of(const YAML::Node& node, std::string_view what) {
        const auto is_plain = [](char c) { return c > ' ' && c <= '~'; };
        if (node.IsScalar() && !node.Scalar().empty() && node.Scalar().size() <= name_bytes_max &&
            std::ranges::all_of(node.Scalar(), is_plain)) {
            return node.Scalar();
        }
        refuse(node, fmt::format("{} must be a name of 1 to {} plain characters", what, name_bytes_max));
        return "";
    }

    std::vector<std::string> names_of(const YAML::Node& node, std::string_view what) {
        std::vector<std::string> names;
        if (!node.IsSequence()) {
            refuse(node, fmt::format("{} must be a list of names", what));
            return names;
        }
        for (const auto& one : node) names.push_back(name_of(one, fmt::format("every one of {}", what)));
        return names;
    }

    std::vector<std::string> families_of(const YAML::Node& node) {
        auto words = names_of(node, "`families`");
        if (words.empty() && node.IsSequence()) refuse(node, "`families` must name at least one family");
        for (std::size_t i = 0; i < words.size(); ++i) {
            const bool is_twin = std::find(words.begin(), words.begin() + i, words[i]) != words.begin() + i;
            if (is_twin) refuse(node, fmt::format("`families` names `{}` twice", words[i]));
        }
        return words;
    }

    // In pico-dollars of one, for a price of so many.
    base::pico_dollars price_of(const YAML::Node& node, std::string_view name, base::pico_dollars divisor) {
        const auto amount = decimal_of(node);
        if (!amount) {
            refuse(node, fmt::format("`{}` must be dollars as a decimal number, such as 0.25, and not negative", name));
        } else if (*amount % divisor != 0) {
            refuse(node, fmt::format("`{}` is finer than one pico-dollar each; write fewer decimals", name));
        } else {
            return *amount / divisor;
        }
        return 0;
    }

    // In millionths. The ends are where a bound computed with the factor could be below the cost without it.
    std::int64_t factor_of(const YAML::Node& node, std::string_view name, std::int64_t least, std::int64_t most) {
        constexpr base::pico_dollars unit = base::pico_per_dollar / factor_one;
        const auto amount = decimal_of(node);
        if (amount && *amount % unit == 0 && *amount / unit >= least && *amount / unit <= most) return *amount / unit;
        refuse(node, fmt::format("`{}` must be a decimal number from {} to {} with at most 6 decimals", name,
                                 least / factor_one, most / factor_one));
        return factor_one;
    }

    static std::optional<base::pico_dollars> decimal_of(const YAML::Node& node) {
        if (!node.IsScalar() || node.Scalar().starts_with('$')) return std::nullopt;
        return base::parse_dollars(node.Scalar());
    }

    std::uint64_t tokens_of(const YAML::Node& node, std::string_view name) {
        const auto count = node.IsScalar() ? whole_number(node.Scalar()) : std::nullopt;
        if (count && *count >= 1 && *count <= tokens_max) return *count;
        refuse(node, fmt::format("`{}` must be a number of tokens from 1 to {}", name, tokens_max));
        return 1;
    }

    std::int64_t date_of(const YAML::Node& node) {
        const auto moment = node.IsScalar() ? first_millisecond(node.Scalar()) : std::nullopt;
        if (!moment) refuse(node, "`effective_from` must be a day of the calendar, such as 2026-10-07");
        return moment.value_or(0);
    }

    bool flag_of(const YAML::Node& node) {
        if (node.IsScalar() && (node.Scalar() == "true" || node.Scalar() == "false")) return node.Scalar() == "true";
        refuse(node, "`us_inference` must be true or false");
        return false;
    }

    std::nullopt_t nothing(int line, std::string_view why) {
        problems_.push_back(fmt::format("{}line {}: {}", prefix_, line, why));
        return std::nullopt;
    }

    void refuse(const YAML::Node& node, std::string_view why) {
        problems_.push_back(fmt::format("{}line {}: {}", prefix_, std::max(node.Mark().line + 1, 1), why));
    }

    std::string_view prefix_;
    std::vector<std::string>& problems_;
};

}  // namespace

std::optional<price_document> read_price_document(std::string_view text, std::string_view prefix,
                                                  std::vector<std::string>& problems) {
    return document_reader(prefix, problems).read(text);
}

}  // namespace pricing
