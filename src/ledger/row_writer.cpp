#include "ledger/row_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <map>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "ledger/details.hpp"
#include "ledger/plain_text.hpp"
#include "ledger/record.hpp"

namespace ledger {
namespace {

using database::column;
constexpr auto integer = column::type::integer;
constexpr auto words = column::type::text;

constexpr std::array attempt_columns = {
    column{"attempt_id", words},
    column{"started_at", integer},
    column{"finished_at", integer},
    column{"replica", words},
    column{"team_id", words},
    column{"key_id", words},
    column{"model", words},
    column{"tags", words},
    column{"status", integer},
    column{"outcome", words},
    column{"input_tokens", integer},
    column{"cache_write_5m_tokens", integer},
    column{"cache_write_1h_tokens", integer},
    column{"cache_read_tokens", integer},
    column{"output_tokens", integer},
    column{"web_searches", integer},
    column{"cost_pico", integer},
    column{"cost_low_pico", integer},
    column{"cost_high_pico", integer},
    column{"price_table", words},
    column{"details", words},
};
constexpr std::array refusal_columns = {
    column{"request_id", words}, column{"at", integer},     column{"team_id", words}, column{"key_id", words},
    column{"model", words},      column{"status", integer}, column{"reason", words},  column{"details", words},
};
constexpr std::array usage_columns = {
    column{"hour", integer},
    column{"team_id", words},
    column{"key_id", words},
    column{"model", words},
    column{"tags", words},
    column{"outcome", words},
    column{"attempts", integer},
    column{"input_tokens", integer},
    column{"cache_write_5m_tokens", integer},
    column{"cache_write_1h_tokens", integer},
    column{"cache_read_tokens", integer},
    column{"output_tokens", integer},
    column{"web_searches", integer},
    column{"cost_pico", integer},
    column{"cost_low_pico", integer},
    column{"cost_high_pico", integer},
};
constexpr std::array spend_columns = {
    column{"scope", words},
    column{"scope_id", words},
    column{"day", integer},
    column{"spent_pico", integer},
};

constexpr std::string_view once = "ON CONFLICT (attempt_id, started_at) DO NOTHING";
constexpr std::string_view refused_once = "ON CONFLICT (request_id) DO NOTHING";

// "ON CONFLICT (...) DO UPDATE SET" with the sums of what is there and what comes, stopped at the end of the range.
std::string adding(std::string_view table, std::string_view key, std::span<const column> sums) {
    std::string sql = fmt::format("ON CONFLICT ({}) DO UPDATE SET ", key);
    for (const column& each : sums) {
        sql +=
            fmt::format("{0}{1} = CASE WHEN {2}.{1} > {3} - excluded.{1} THEN {3} ELSE {2}.{1} + excluded.{1} END",
                        &each == sums.data() ? "" : ", ", each.name, table, std::numeric_limits<std::int64_t>::max());
    }
    return sql;
}

constexpr std::int64_t hour_ms = 3'600'000;
constexpr std::int64_t day_ms = 24 * hour_ms;
constexpr std::int64_t floor_to(std::int64_t ms, std::int64_t unit) { return ms - ((ms % unit) + unit) % unit; }

std::int64_t as_integer(std::uint64_t count) {
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
    return static_cast<std::int64_t>(std::min(count, most));
}

void add_to(std::int64_t& sum, std::int64_t more) { sum = base::add_saturated(sum, more); }

attempt_view read_row(const journal_row& row) {
    if (!row.is_slot) return read_attempt(row.bytes);
    attempt_view lost = read_slot(row.bytes);
    lost.numbers.finished_ms = row.lost_ms;
    return lost;
}
bool is_refusal(const journal_row& row) { return !row.is_slot && kind_of(row.bytes) == record_kind::refusal; }

// "REQUEST.NUMBER" in a buffer that the next call uses again.
class attempt_id {
public:
    std::string_view of(const attempt_view& what) {
        const std::string_view request = what[text::request_id];
        request.copy(text_.data(), request.size());
        text_[request.size()] = '.';
        char* const end =
            std::to_chars(text_.data() + request.size() + 1, text_.data() + text_.size(), what.numbers.number).ptr;
        return {text_.data(), static_cast<std::size_t>(end - text_.data())};
    }

private:
    std::array<char, 80> text_;
};

// One row of usage_hourly in the making.
struct usage_sum {
    std::int64_t hour = 0;
    std::string_view team, key, model, tags, outcome;
    std::int64_t attempts = 0;
    std::array<std::int64_t, 6> tokens{};  // the four counters (writes apart by time to live), then web searches
    base::pico_dollars cost = 0, low = 0, high = 0;

    auto order() const { return std::tie(hour, team, key, model, tags, outcome); }
};

struct usage_key {
    std::int64_t hour;
    std::string_view summed_by;
    std::array<std::uint16_t, 3> lengths;  // of the first three pieces of summed_by
    outcome result;

    bool operator==(const usage_key&) const = default;
};
struct usage_hash {
    std::size_t operator()(const usage_key& key) const {
        return std::hash<std::string_view>()(key.summed_by) ^
               (static_cast<std::size_t>(key.hour) * 31 + static_cast<std::size_t>(key.result)) * 0x9e3779b97f4a7c15;
    }
};

using amounts_by_account = std::unordered_map<account_id, base::pico_dollars>;

void add_accounts(const attempt_view& row, amounts_by_account& to) {
    for (std::size_t i = 0; i < row.numbers.accounts; ++i) {
        account_id account = 0;
        std::memcpy(&account, row.accounts + i * sizeof account, sizeof account);
        add_to(to[account], row.numbers.cost);
    }
}

void sorted_sums(const amounts_by_account& amounts, std::vector<account_sum>& into) {
    into.clear();
    for (const auto& [account, amount] : amounts) into.push_back({account, amount});
    std::ranges::sort(into, {}, &account_sum::account);
}

}  // namespace

struct row_writer::state {
    const std::string add_usage =
        adding("usage_hourly", "hour, team_id, key_id, model, tags, outcome", std::span(usage_columns).subspan(6));
    const std::string add_spend = adding("spend_daily", "scope, scope_id, day", std::span(spend_columns).subspan(3));
    database::batch attempts{"claude_proxy.attempts", attempt_columns, once, "attempt_id"};
    database::batch refusals{"claude_proxy.refusals", refusal_columns, refused_once};
    database::batch usage{"claude_proxy.usage_hourly", usage_columns, add_usage};
    database::batch spend{"claude_proxy.spend_daily", spend_columns, add_spend};
    std::string details;
    attempt_id id;

    std::unordered_map<usage_key, std::size_t, usage_hash> usage_index;
    std::vector<usage_sum> usage_sums;
    amounts_by_account new_amounts;
    amounts_by_account all_amounts;
    std::vector<account_sum> new_sums;
    std::vector<account_sum> all_sums;

    void add_attempt(const attempt_view& row, std::string_view replica);
    void add_refusal(const refusal_view& row);
    void fill(std::span<const journal_row> rows);
    std::uint64_t insert(database::connection& on, std::span<const journal_row> rows);
    void count(const attempt_view& row);
    void fill_sums();
};

row_writer::row_writer() : state_(std::make_unique<state>()) {}
row_writer::~row_writer() = default;

void row_writer::state::add_attempt(const attempt_view& row, std::string_view replica) {
    const attempt_numbers& n = row.numbers;
    attempts.add(id.of(row));
    attempts.add(n.started_ms);
    attempts.add(n.finished_ms);
    attempts.add(replica);
    attempts.add(row[text::team_id]);
    attempts.add(row[text::key_id]);
    attempts.add(row[text::model]);
    attempts.add(row[text::tags]);
    attempts.add(std::int64_t{n.status});
    attempts.add(name_of(n.result));
    attempts.add(as_integer(n.tokens.input));
    attempts.add(as_integer(n.tokens.write_5m));
    attempts.add(as_integer(n.tokens.write_1h));
    attempts.add(as_integer(n.tokens.read));
    attempts.add(as_integer(n.tokens.output));
    attempts.add(as_integer(n.web_searches));
    attempts.add(n.cost);
    attempts.add(n.cost_low);
    attempts.add(n.cost_high);
    attempts.add(row[text::price_table]);
    details.clear();
    append_details(details, row);
    attempts.add(details);
}

void row_writer::state::add_refusal(const refusal_view& row) {
    refusals.add(row.request_id);
    refusals.add(row.at_ms);
    refusals.add(row.team_id);
    refusals.add(row.key_id);
    refusals.add(row.model);
    refusals.add(std::int64_t{row.status});
    refusals.add(row.reason);
    details = "{\"detail\":";
    append_json(details, row.detail);
    details += '}';
    refusals.add(details);
}

void row_writer::state::fill(std::span<const journal_row> rows) {
    attempts.clear();
    refusals.clear();
    usage.clear();
    spend.clear();
    usage_index.clear();
    usage_sums.clear();
    new_amounts.clear();
    all_amounts.clear();
    for (const journal_row& row : rows) {
        if (is_refusal(row)) {
            add_refusal(read_refusal(row.bytes));
        } else {
            add_attempt(read_row(row), row.replica);
        }
    }
}

void row_writer::state::count(const attempt_view& row) {
    const attempt_numbers& n = row.numbers;
    const auto length = [&](text which) { return static_cast<std::uint16_t>(row[which].size()); };
    const usage_key key{floor_to(n.started_ms, hour_ms),
                        row.summed_by,
                        {length(text::team_id), length(text::key_id), length(text::model)},
                        n.result};
    const auto [found, is_new] = usage_index.try_emplace(key, usage_sums.size());
    if (is_new)
        usage_sums.push_back({.hour = key.hour,
                              .team = row[text::team_id],
                              .key = row[text::key_id],
                              .model = row[text::model],
                              .tags = row[text::tags],
                              .outcome = name_of(n.result)});
    usage_sum& sum = usage_sums[found->second];
    ++sum.attempts;
    const std::array<std::uint64_t, 6> tokens = {n.tokens.input, n.tokens.write_5m, n.tokens.write_1h,
                                                 n.tokens.read,  n.tokens.output,   n.web_searches};
    for (std::size_t i = 0; i < tokens.size(); ++i) add_to(sum.tokens[i], as_integer(tokens[i]));
    add_to(sum.cost, n.cost);
    add_to(sum.low, n.cost_low);
    add_to(sum.high, n.cost_high);
}

// Inserts the attempts and counts those that were not there yet.
std::uint64_t row_writer::state::insert(database::connection& on, std::span<const journal_row> rows) {
    if (attempts.rows() == 0) return 0;
    const std::vector<database::value> inserted = on.insert(attempts);
    const bool all_are_new = inserted.size() == attempts.rows();
    // A row that is twice in one batch is inserted once: each name that came back stands for one row.
    std::unordered_map<std::string_view, std::size_t> new_ids;
    if (!all_are_new) {
        for (const database::value& each : inserted) ++new_ids[database::text_of(each)];
    }
    for (const journal_row& row : rows) {
        if (is_refusal(row)) continue;
        const attempt_view view = read_row(row);
        if (row.is_own) add_accounts(view, all_amounts);
        if (!all_are_new) {
            const auto found = new_ids.find(id.of(view));
            if (found == new_ids.end() || found->second == 0) continue;
            --found->second;
        }
        count(view);
        if (row.is_own) add_accounts(view, new_amounts);
    }
    return inserted.size();
}

// The order of rows is the same in every process, so that transactions wait for each other and never in a circle.
void row_writer::state::fill_sums() {
    std::ranges::sort(usage_sums, {}, &usage_sum::order);
    std::map<std::tuple<std::string_view, std::string_view, std::int64_t>, base::pico_dollars> spent;
    for (const usage_sum& sum : usage_sums) {
        usage.add(sum.hour);
        usage.add(sum.team);
        usage.add(sum.key);
        usage.add(sum.model);
        usage.add(sum.tags);
        usage.add(sum.outcome);
        usage.add(sum.attempts);
        for (const std::int64_t tokens : sum.tokens) usage.add(tokens);
        usage.add(sum.cost);
        usage.add(sum.low);
        usage.add(sum.high);
        if (sum.cost == 0) continue;
        const std::int64_t day = floor_to(sum.hour, day_ms);
        add_to(spent[{"root", "", day}], sum.cost);
        add_to(spent[{"team", sum.team, day}], sum.cost);
        add_to(spent[{"key", sum.key, day}], sum.cost);
    }
    for (const auto& [of, amount] : spent) {
        spend.add(std::get<0>(of));
        spend.add(std::get<1>(of));
        spend.add(std::get<2>(of));
        spend.add(amount);
    }
}

std::uint64_t row_writer::write(database::connection& on, std::span<const journal_row> rows,
                                const sums_in_transaction& in_transaction) {
    state_->fill(rows);
    database::transaction together(on);
    const std::uint64_t inserted = state_->insert(on, rows);
    state_->fill_sums();
    sorted_sums(state_->new_amounts, state_->new_sums);
    sorted_sums(state_->all_amounts, state_->all_sums);
    if (state_->refusals.rows() > 0) on.insert(state_->refusals);
    if (state_->usage.rows() > 0) on.insert(state_->usage);
    if (state_->spend.rows() > 0) on.insert(state_->spend);
    if (in_transaction && !state_->new_sums.empty()) {
        try {
            in_transaction(on, state_->new_sums);
        } catch (const database::failure& why) {
            throw hook_failure(why.kind, why.what());
        }
    }
    together.commit();
    return inserted;
}

row_writer::written row_writer::write_within(database::connection& on, std::span<const journal_row> rows) {
    state_->fill(rows);
    written made{.rows = state_->insert(on, rows)};
    state_->fill_sums();
    if (state_->refusals.rows() > 0) on.insert(state_->refusals);
    if (state_->usage.rows() > 0) on.insert(state_->usage);
    if (state_->spend.rows() > 0) on.insert(state_->spend);
    for (const usage_sum& sum : state_->usage_sums) made.cost = base::add_saturated(made.cost, sum.cost);
    return made;
}

std::span<const account_sum> row_writer::sums() const { return state_->all_sums; }

std::vector<account_sum> row_writer::sums_of(const journal_row& row) {
    std::vector<account_sum> sums;
    if (!row.is_own || is_refusal(row)) return sums;
    amounts_by_account amounts;
    add_accounts(read_row(row), amounts);
    sorted_sums(amounts, sums);
    return sums;
}

bool row_writer::is_sound(database::connection& on) {
    std::array<std::byte, record_bytes_max> bytes{};
    attempt sample;
    sample.request_id = sample.team_id = sample.key_id = sample.model = "sample";
    sample.cost = 1;  // of nothing no spending is written
    const attempt_plan as = plan(sample, 0);
    write_record(bytes.data(), as, sample, 0, 1, {});
    std::array<std::byte, record_bytes_max> refused{};
    refusal sample_refusal;
    sample_refusal.request_id = "sample";
    write_record(refused.data(), sample_refusal);
    const std::array<journal_row, 2> rows = {journal_row{.bytes = bytes.data(), .replica = "sample"},
                                             journal_row{.bytes = refused.data(), .replica = "sample"}};
    try {
        state_->fill(rows);
        const database::transaction never_committed(on);
        state_->insert(on, rows);
        state_->fill_sums();
        on.insert(state_->refusals);
        on.insert(state_->usage);
        on.insert(state_->spend);
        return true;
    } catch (const database::failure&) {
        return false;
    }
}

std::string row_writer::as_json(const journal_row& row, std::string_view why, std::int64_t at_ms) {
    std::string json = "{\"at\":";
    append_number(json, at_ms);
    const auto text_member = [&](std::string_view name, std::string_view value) {
        json += ",\"";
        json += name;
        json += "\":";
        append_json(json, value);
    };
    const auto number_member = [&](std::string_view name, std::int64_t value) {
        json += ",\"";
        json += name;
        json += "\":";
        append_number(json, value);
    };
    text_member("why", why);
    text_member("replica", row.replica);
    if (is_refusal(row)) {
        const refusal_view refused = read_refusal(row.bytes);
        text_member("request_id", refused.request_id);
        number_member("refused_at", refused.at_ms);
        text_member("team_id", refused.team_id);
        text_member("key_id", refused.key_id);
        text_member("model", refused.model);
        number_member("status", refused.status);
        text_member("reason", refused.reason);
        text_member("detail", refused.detail);
        return json + "}\n";
    }
    const attempt_view of = read_row(row);
    const attempt_numbers& n = of.numbers;
    attempt_id id;
    text_member("attempt_id", id.of(of));
    number_member("started_at", n.started_ms);
    number_member("finished_at", n.finished_ms);
    text_member("team_id", of[text::team_id]);
    text_member("key_id", of[text::key_id]);
    text_member("model", of[text::model]);
    text_member("tags", of[text::tags]);
    number_member("status", n.status);
    text_member("outcome", name_of(n.result));
    number_member("input_tokens", as_integer(n.tokens.input));
    number_member("cache_write_5m_tokens", as_integer(n.tokens.write_5m));
    number_member("cache_write_1h_tokens", as_integer(n.tokens.write_1h));
    number_member("cache_read_tokens", as_integer(n.tokens.read));
    number_member("output_tokens", as_integer(n.tokens.output));
    number_member("web_searches", as_integer(n.web_searches));
    number_member("cost_pico", n.cost);
    number_member("cost_low_pico", n.cost_low);
    number_member("cost_high_pico", n.cost_high);
    text_member("price_table", of[text::price_table]);
    json += ",\"details\":";
    append_details(json, of);
    return json + "}\n";
}

}  // namespace ledger
