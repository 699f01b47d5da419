// The texts of a usage report.
#include <array>
#include <utility>

#include "ledger/details.hpp"
#include "ledger/plain_text.hpp"
#include "ledger/usage_query.hpp"

namespace ledger {
namespace {

using named_number = std::pair<std::string_view, std::int64_t usage_counts::*>;

constexpr std::array<named_number, 7> numbers = {{
    {"attempts", &usage_counts::attempts},
    {"input_tokens", &usage_counts::input_tokens},
    {"cache_write_5m_tokens", &usage_counts::cache_write_5m_tokens},
    {"cache_write_1h_tokens", &usage_counts::cache_write_1h_tokens},
    {"cache_read_tokens", &usage_counts::cache_read_tokens},
    {"output_tokens", &usage_counts::output_tokens},
    {"web_searches", &usage_counts::web_searches},
}};
// Each as an integer "..._pico" and as text "..._dollars".
constexpr std::array<named_number, 3> amounts = {{
    {"cost", &usage_counts::cost},
    {"cost_low", &usage_counts::cost_low},
    {"cost_high", &usage_counts::cost_high},
}};

void append_name(std::string& to, std::string_view name, std::string_view suffix = {}) {
    if (to.back() != '{') to += ',';
    to += '"';
    to += name;
    to += suffix;
    to += "\":";
}

void append_counts(std::string& to, const usage_counts& of) {
    for (const auto& [name, member] : numbers) {
        append_name(to, name);
        append_number(to, of.*member);
    }
    for (const auto& [name, member] : amounts) {
        append_name(to, name, "_pico");
        append_number(to, of.*member);
        append_name(to, name, "_dollars");
        append_json(to, base::dollars_text(of.*member));
    }
}

// Spreadsheets run a cell that begins like this, whatever its quotes.
bool looks_like_formula(std::string_view text) {
    return !text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos;
}

void append_cell(std::string& to, std::string_view text) {
    const bool is_formula = looks_like_formula(text);
    if (!is_formula && text.find_first_of("\",\r\n") == std::string_view::npos) {
        to += text;
        return;
    }
    to += '"';
    if (is_formula) to += '\'';
    for (const char c : text) {
        if (c == '"') to += '"';
        to += c;
    }
    to += '"';
}

}  // namespace

std::string to_json(const usage_report& of) {
    std::string json = "{";
    append_name(json, "from");
    append_number(json, of.from_ms);
    append_name(json, "to");
    if (of.to_ms > 0) {
        append_number(json, of.to_ms);
    } else {
        json += "null";
    }
    append_name(json, "group_by");
    json += '[';
    for (const usage_group each : of.group_by) {
        if (json.back() != '[') json += ',';
        append_json(json, name_of(each));
    }
    json += ']';
    append_name(json, "complete");
    json += of.is_complete ? "true" : "false";
    append_name(json, "totals");
    json += '{';
    append_counts(json, of.totals);
    json += '}';
    append_name(json, "rows");
    json += '[';
    for (const usage_row& row : of.rows) {
        if (json.back() != '[') json += ',';
        json += '{';
        for (std::size_t i = 0; i < of.group_by.size(); ++i) {
            append_name(json, name_of(of.group_by[i]));
            append_json(json, row.group[i]);
        }
        append_counts(json, row.sum);
        json += '}';
    }
    return json + "]}";
}

std::string to_csv(const usage_report& of) {
    std::string csv;
    const auto begin_cell = [&] {
        if (!csv.empty() && csv.back() != '\n') csv += ',';
    };
    for (const usage_group each : of.group_by) {
        begin_cell();
        csv += name_of(each);
    }
    for (const auto& [name, member] : numbers) {
        begin_cell();
        csv += name;
    }
    for (const auto& [name, member] : amounts) {
        begin_cell();
        csv += name;
        csv += "_pico,";
        csv += name;
        csv += "_dollars";
    }
    csv += "\r\n";
    for (const usage_row& row : of.rows) {
        bool is_first = true;
        const auto next_cell = [&] {
            if (!std::exchange(is_first, false)) csv += ',';
        };
        for (const std::string& cell : row.group) {
            next_cell();
            append_cell(csv, cell);
        }
        for (const auto& [name, member] : numbers) {
            next_cell();
            append_number(csv, row.sum.*member);
        }
        for (const auto& [name, member] : amounts) {
            next_cell();
            append_number(csv, row.sum.*member);
            next_cell();
            csv += base::dollars_text(row.sum.*member);
        }
        csv += "\r\n";
    }
    return csv;
}

}  // namespace ledger
