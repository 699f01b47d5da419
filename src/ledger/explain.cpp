#include "ledger/explain.hpp"

#include "ledger/details.hpp"
#include "ledger/plain_text.hpp"

namespace ledger {
namespace {

constexpr std::string_view attempt_query =
    "SELECT attempt_id, started_at, finished_at, replica, team_id, key_id, model, tags, status, outcome, input_tokens, "
    "cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens, output_tokens, web_searches, cost_pico, "
    "cost_low_pico, cost_high_pico, price_table, details FROM claude_proxy.attempts "
    "WHERE attempt_id IN ($1, $2, $3, $4, $5, $6, $7, $8) ORDER BY attempt_id, started_at";
static_assert(attempts_explained == 8, "as many parameters as the statement has");

constexpr std::string_view refusal_query =
    "SELECT request_id, at, team_id, key_id, model, status, reason, details FROM claude_proxy.refusals "
    "WHERE request_id = $1";

// Takes the columns of a row in turn.
class columns {
public:
    explicit columns(const database::row& of) : row_(of) {}
    std::int64_t number() { return database::integer_of(row_.at(next_++)); }
    std::string words() { return database::text_of(row_.at(next_++)); }

private:
    const database::row& row_;
    std::size_t next_ = 0;
};

attempt_row read_attempt_row(const database::row& of) {
    columns next(of);
    attempt_row read;
    read.attempt_id = next.words();
    read.started_at = next.number();
    read.finished_at = next.number();
    read.replica = next.words();
    read.team_id = next.words();
    read.key_id = next.words();
    read.model = next.words();
    read.tags = next.words();
    read.status = next.number();
    read.outcome = next.words();
    read.sum.attempts = 1;
    read.sum.input_tokens = next.number();
    read.sum.cache_write_5m_tokens = next.number();
    read.sum.cache_write_1h_tokens = next.number();
    read.sum.cache_read_tokens = next.number();
    read.sum.output_tokens = next.number();
    read.sum.web_searches = next.number();
    read.sum.cost = next.number();
    read.sum.cost_low = next.number();
    read.sum.cost_high = next.number();
    read.price_table = next.words();
    read.details = next.words();
    return read;
}

refusal_row read_refusal_row(const database::row& of) {
    columns next(of);
    refusal_row read;
    read.request_id = next.words();
    read.at = next.number();
    read.team_id = next.words();
    read.key_id = next.words();
    read.model = next.words();
    read.status = next.number();
    read.reason = next.words();
    read.details = next.words();
    return read;
}

// One JSON object.
class object {
public:
    explicit object(std::string& to) : to_(to) { to_ += '{'; }
    object& text(std::string_view name, std::string_view value) {
        begin(name);
        append_json(to_, value);
        return *this;
    }
    object& number(std::string_view name, std::int64_t value) {
        begin(name);
        append_number(to_, value);
        return *this;
    }
    object& money(const std::string& name, base::pico_dollars amount) {
        return number(name + "_pico", amount).text(name + "_dollars", base::dollars_text(amount));
    }
    object& json(std::string_view name, std::string_view value) {
        begin(name);
        to_ += value;
        return *this;
    }
    void begin(std::string_view name) {
        if (to_.back() != '{') to_ += ',';
        append_json(to_, name);
        to_ += ':';
    }
    void end() { to_ += '}'; }

private:
    std::string& to_;
};

void append_attempt(std::string& to, const attempt_row& of) {
    object row(to);
    row.text("attempt_id", of.attempt_id).number("started_at", of.started_at).number("finished_at", of.finished_at);
    row.text("replica", of.replica).text("team_id", of.team_id).text("key_id", of.key_id).text("model", of.model);
    row.json("tags", of.tags).number("status", of.status).text("outcome", of.outcome);
    row.number("input_tokens", of.sum.input_tokens).number("cache_write_5m_tokens", of.sum.cache_write_5m_tokens);
    row.number("cache_write_1h_tokens", of.sum.cache_write_1h_tokens);
    row.number("cache_read_tokens", of.sum.cache_read_tokens).number("output_tokens", of.sum.output_tokens);
    row.number("web_searches", of.sum.web_searches).money("cost", of.sum.cost).money("cost_low", of.sum.cost_low);
    row.money("cost_high", of.sum.cost_high).text("price_table", of.price_table).json("details", of.details);
    row.end();
}

}  // namespace

explanation explain(database::connection& on, std::string_view request_id) {
    explanation found;
    std::vector<database::value> ids;
    for (int number = 1; number <= attempts_explained; ++number)
        ids.emplace_back(std::string(request_id) + "." + std::to_string(number));
    for (const database::row& row : on.query(attempt_query, ids)) found.attempts.push_back(read_attempt_row(row));
    const auto refused = on.query(refusal_query, {std::string(request_id)});
    if (!refused.empty()) found.refused = read_refusal_row(refused.front());
    return found;
}

std::string to_json(const explanation& of, std::string_view request_id) {
    std::string json;
    object all(json);
    all.text("request_id", request_id);
    all.begin("attempts");
    json += '[';
    base::pico_dollars cost = 0;
    for (const attempt_row& row : of.attempts) {
        if (json.back() != '[') json += ',';
        append_attempt(json, row);
        cost = base::add_saturated(cost, row.sum.cost);
    }
    json += ']';
    all.begin("refusal");
    if (of.refused) {
        object row(json);
        row.text("request_id", of.refused->request_id)
            .number("at", of.refused->at)
            .text("team_id", of.refused->team_id);
        row.text("key_id", of.refused->key_id).text("model", of.refused->model).number("status", of.refused->status);
        row.text("reason", of.refused->reason).json("details", of.refused->details);
        row.end();
    } else {
        json += "null";
    }
    all.money("cost", cost);
    all.end();
    return json;
}

}  // namespace ledger
