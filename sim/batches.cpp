// Message Batches. A batch ends some time after its creation; nothing runs in between: whoever looks at batches or at
// the ledger finishes those that are due.
#include "batches.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "exchange.hpp"
#include "handlers.hpp"
#include "message_json.hpp"
#include "pages.hpp"
#include "prompt.hpp"
#include "state.hpp"

namespace sim {

namespace json = boost::json;

namespace {

constexpr std::size_t items_max = 100'000;

std::string time_or_null(wall_clock::time_point at) {
    return at == wall_clock::time_point{} ? "null" : fmt::format("\"{}\"", rfc3339_micros(at));
}

std::string batch_json(const batch& one) {
    const auto count = [&](std::string_view outcome) {
        return one.ended ? std::ranges::count(one.items, outcome, &batch_item::outcome) : 0;
    };
    return fmt::format(
        R"({{"id":{},"type":"message_batch","processing_status":"{}",)"
        R"("request_counts":{{"processing":{},"succeeded":{},"errored":{},"canceled":{},"expired":{}}},)"
        R"("created_at":{},"expires_at":{},"ended_at":{},"cancel_initiated_at":{},)"
        R"("archived_at":null,"results_url":{}}})",
        quote(one.id),
        one.ended       ? "ended"
        : one.canceling ? "canceling"
                        : "in_progress",
        one.ended ? 0 : one.items.size(), count("succeeded"), count("errored"), count("canceled"), count("expired"),
        time_or_null(one.created_at), time_or_null(one.created_at + std::chrono::hours(24)), time_or_null(one.ended_at),
        time_or_null(one.cancelled_at),
        one.ended ? quote(fmt::format("{}/v1/messages/batches/{}/results", one.public_url, one.id)) : "null");
}

void bill(state& world, const batch& owner, const batch_item& item, const message_facts& facts) {
    ledger_row row;
    row.started_at = wall_clock::now();
    row.method = "BATCH";
    row.path = "/v1/messages/batches/" + owner.id;
    row.key_suffix = owner.key.size() > 6 ? owner.key.substr(owner.key.size() - 6) : owner.key;
    row.version = owner.version;
    row.model = facts.model;
    row.message_id = facts.id;
    row.batch_id = owner.id;
    row.custom_id = item.custom_id;
    row.service_tier = facts.service_tier;
    row.inference_geo = facts.inference_geo;
    row.status = 200;
    row.complete = true;
    row.billed = facts.usage;
    row.output_tokens_sent = facts.usage.output;
    world.truth.open(row);
}

// What a line of the prompt, `x-sim-batch-item: expired` or the type of an error, wants of this item; else empty.
std::string_view item_wish(std::string_view prompt) {
    constexpr std::string_view name = "x-sim-batch-item: ";
    const auto at = prompt.find(name);
    if (at == prompt.npos) return {};
    prompt.remove_prefix(at + name.size());
    return trim(prompt.substr(0, prompt.find('\n')));
}

// The answer to one item; an item that upstream would refuse becomes an errored result.
std::string run_item(state& world, const batch& owner, const batch_item& item, std::string& outcome) {
    try {
        const prompt asked = read_prompt(json::parse(item.params), {.use = prompt_use::batch_item,
                                                                    .refuses_sampling = owner.version == "2026-10-21",
                                                                    .refuses_extra_fields = world.chosen.strict_body});
        if (const auto wished = item_wish(asked.last_user_text); wished == "expired") {
            outcome = wished;
            return R"({"type":"expired"})";
        } else if (!wished.empty()) {
            throw api_error{.status = 500, .type = std::string(wished), .message = "As it was wished."};
        }
        message_facts facts{.id = unique_id("msg_"),
                            .model = asked.model,
                            .service_tier = "batch",
                            .inference_geo = asked.inference_geo,
                            .usage = world.cache.account(owner.key, asked),
                            .shows_thinking = asked.shows_thinking};
        const answer said = compose_answer(asked, {}, world.chosen.seed);
        facts.usage.output = said.output_tokens();
        facts.usage.thinking = said.thinking_tokens();
        bill(world, owner, item, facts);
        outcome = "succeeded";
        return fmt::format(R"({{"type":"succeeded","message":{}}})", message_json(facts, said));
    } catch (const api_error& error) {
        outcome = "errored";
        return fmt::format(R"({{"type":"errored","error":{}}})", error_envelope(error.type, error.message, {}));
    }
}

void finish(state& world, batch& one) {
    for (batch_item& item : one.items) {
        std::string result = R"({"type":"canceled"})";
        item.outcome = "canceled";
        if (!one.canceling) result = run_item(world, one, item, item.outcome);
        item.result = fmt::format("{{\"custom_id\":{},\"result\":{}}}\n", quote(item.custom_id), result);
        item.params = {};
    }
    // Upstream promises no order, so nobody may rely on one.
    random_source random(hash_bytes(one.id));
    for (std::size_t at = one.items.size(); at > 1; --at) std::swap(one.items[at - 1], one.items[random.below(at)]);
    one.ended = true;
    one.ended_at = wall_clock::now();
}

// The caller's batch, with the store locked by the caller of this function.
std::shared_ptr<batch> find_batch(exchange& ex) {
    const std::string& id = ex.ids.at(0);
    for (const auto& one : ex.world.batches.newest_last) {
        if (one->id == id && one->key == ex.key) return one;
    }
    throw not_found(fmt::format("No batch found with ID: {}", id));
}

void read_items(const json::value& body, batch& into) {
    const json::object* fields = body.if_object();
    const json::value* list = fields == nullptr ? nullptr : fields->if_contains("requests");
    if (list == nullptr) throw invalid("requests: Field required");
    if (!list->is_array() || list->get_array().empty()) throw invalid("requests: at least one request is required");
    if (list->get_array().size() > items_max) throw invalid("requests: too many requests in the batch");
    std::set<std::string_view> seen;
    std::size_t number = 0;
    for (const json::value& item : list->get_array()) {
        const std::string where = fmt::format("requests.{}", number++);
        const json::object* members = item.if_object();
        const json::value* id = members == nullptr ? nullptr : members->if_contains("custom_id");
        const json::value* params = members == nullptr ? nullptr : members->if_contains("params");
        if (id == nullptr || !id->is_string()) throw invalid(where + ".custom_id: Field required");
        if (params == nullptr || !params->is_object()) throw invalid(where + ".params: Field required");
        const std::string_view name = id->get_string();
        const bool plain = !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char letter) {
            return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
                   (letter >= 'A' && letter <= 'Z') || letter == '_' || letter == '-';
        });
        if (!plain) throw invalid(where + ".custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'");
        if (!seen.insert(name).second)
            throw invalid(fmt::format("{}.custom_id: duplicate custom_id '{}'", where, name));
        into.items.push_back(
            {.custom_id = std::string(name), .params = json::serialize(*params), .result = {}, .outcome = {}});
    }
}

}  // namespace

void advance_batches(state& world) {
    const std::lock_guard lock(world.batches.mutex);
    const auto now = steady::now();
    for (const auto& one : world.batches.newest_last) {
        if (!one->ended && one->due <= now) finish(world, *one);
    }
}

void create_batch(exchange& ex) {
    auto created = std::make_shared<batch>();
    read_items(ex.read_json(batch_bytes_max), *created);
    std::uint64_t delay = static_cast<std::uint64_t>(ex.world.chosen.batch_delay.count());
    if (const std::string wished = ex.wish("x-sim-batch-delay-ms"); !wished.empty() && !read_number(wished, delay)) {
        throw invalid("x-sim-batch-delay-ms: not a number");
    }
    created->id = unique_id("msgbatch_");
    created->key = ex.key;
    created->version = ex.asked.value("anthropic-version");
    created->public_url = ex.world.public_url;
    created->created_at = wall_clock::now();
    created->due = steady::now() + milliseconds(delay);
    ex.row.batch_id = created->id;
    std::string text;
    {
        const std::lock_guard lock(ex.world.batches.mutex);
        auto& all = ex.world.batches.newest_last;
        if (all.size() >= batch_store::batches_max) all.erase(all.begin());
        all.push_back(created);
        text = batch_json(*created);
    }
    ex.send_json(text);
}

void list_batches(exchange& ex) {
    advance_batches(ex.world);
    std::vector<page_item> items;
    {
        const std::lock_guard lock(ex.world.batches.mutex);
        const auto& all = ex.world.batches.newest_last;
        for (auto one = all.rbegin(); one != all.rend(); ++one) {
            if ((*one)->key == ex.key) items.push_back({(*one)->id, batch_json(**one)});
        }
    }
    ex.send_json(page_by_id(ex.asked, items));
}

void retrieve_batch(exchange& ex) {
    advance_batches(ex.world);
    std::string text;
    {
        const std::lock_guard lock(ex.world.batches.mutex);
        text = batch_json(*find_batch(ex));
    }
    ex.send_json(text);
}

void batch_results(exchange& ex) {
    advance_batches(ex.world);
    std::shared_ptr<batch> found;
    {
        const std::lock_guard lock(ex.world.batches.mutex);
        found = find_batch(ex);
        if (!found->ended) throw invalid(fmt::format("Batch {} has no available results yet.", found->id));
    }
    // An ended batch never changes again, so it is read without the lock.
    ex.row.status = 200;
    ex.out.begin(200, "application/x-jsonl");
    for (const batch_item& item : found->items) ex.out.write(item.result);
    ex.row.complete = true;
    ex.save();
    ex.out.finish();
}

void cancel_batch(exchange& ex) {
    ex.read_body(message_bytes_max);
    advance_batches(ex.world);
    std::string text;
    {
        const std::lock_guard lock(ex.world.batches.mutex);
        batch& found = *find_batch(ex);
        if (found.ended)
            throw invalid(fmt::format("Batch {} cannot be canceled because it has already ended.", found.id));
        if (!found.canceling) {
            constexpr milliseconds cancel_delay_max{500};
            found.canceling = true;
            found.cancelled_at = wall_clock::now();
            found.due = std::min(found.due, steady::now() + std::min(ex.world.chosen.batch_delay, cancel_delay_max));
        }
        text = batch_json(found);
    }
    ex.send_json(text);
}

void delete_batch(exchange& ex) {
    advance_batches(ex.world);
    const std::string id = ex.ids.at(0);
    {
        const std::lock_guard lock(ex.world.batches.mutex);
        const auto found = find_batch(ex);
        if (!found->ended) throw invalid(fmt::format("Batch {} cannot be deleted while it is still processing.", id));
        std::erase(ex.world.batches.newest_last, found);
    }
    ex.send_json(fmt::format(R"({{"id":{},"type":"message_batch_deleted"}})", quote(id)));
}

}  // namespace sim
