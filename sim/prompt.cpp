#include "prompt.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "api_error.hpp"
#include "models.hpp"
#include "text.hpp"

namespace sim {

namespace json = boost::json;

namespace {

struct measure {
    std::uint64_t bytes = 0;
    std::uint64_t hash = 0;
};

constexpr std::uint64_t base64_bytes_max = 4'000;

// Walks a value, counting its text and mixing all of it but the cache marks into one hash.
void walk(const json::value& value, std::string_view key, measure& sum) {
    switch (value.kind()) {
        case json::kind::object:
            for (const auto& [name, member] : value.get_object()) {
                if (name == "cache_control") continue;
                sum.hash = hash_bytes(name, sum.hash);
                walk(member, name, sum);
            }
            break;
        case json::kind::array:
            for (const json::value& item : value.get_array()) walk(item, key, sum);
            sum.hash = mix(sum.hash + 1);
            break;
        case json::kind::string: {
            const std::string_view text = value.get_string();
            sum.hash = hash_bytes(text, sum.hash);
            if (key == "type" || key == "role") break;
            sum.bytes += key == "data" ? std::min<std::uint64_t>(text.size(), base64_bytes_max) : text.size();
            break;
        }
        default:
            sum.hash = hash_bytes(json::serialize(value), sum.hash);
            sum.bytes += 4;
    }
}

std::uint64_t tokens_of(std::uint64_t bytes) { return std::max<std::uint64_t>(1, (bytes + 3) / 4); }

std::optional<std::uint64_t> whole_number(const json::value& value) {
    if (value.is_int64() && value.get_int64() >= 0) return static_cast<std::uint64_t>(value.get_int64());
    if (value.is_uint64()) return value.get_uint64();
    if (value.is_double()) {
        const double number = value.get_double();
        if (number >= 0 && number < 1e15 && number == std::floor(number)) return static_cast<std::uint64_t>(number);
    }
    return {};
}

cache_lifetime read_mark(const json::object& holder, const std::string& where) {
    const json::value* mark = holder.if_contains("cache_control");
    if (mark == nullptr || mark->is_null()) return cache_lifetime::none;
    const json::object* fields = mark->if_object();
    const json::value* type = fields == nullptr ? nullptr : fields->if_contains("type");
    if (type == nullptr || *type != "ephemeral")
        throw invalid(where + ".cache_control.type: Input should be 'ephemeral'");
    const json::value* ttl = fields->if_contains("ttl");
    if (ttl == nullptr || ttl->is_null() || *ttl == "5m") return cache_lifetime::five_minutes;
    if (*ttl == "1h") return cache_lifetime::one_hour;
    throw invalid(where + ".cache_control.ephemeral.ttl: Input should be '5m' or '1h'");
}

class reader {
public:
    reader(const json::object& body, const prompt_rules& rules) : body_(body), rules_(rules) {}

    prompt read() {
        read_model();
        read_scalars();
        read_tools();
        read_system();
        read_messages();
        read_marks();
        return std::move(result_);
    }

private:
    const json::value& required(std::string_view name) {
        const json::value* found = body_.if_contains(name);
        if (found == nullptr) throw invalid(fmt::format("{}: Field required", name));
        return *found;
    }

    void read_model() {
        const json::value& model = required("model");
        if (!model.is_string()) throw invalid("model: Input should be a valid string");
        const std::string_view name = model.get_string();
        if (name.empty()) throw invalid("model: String should have at least 1 character");
        const auto resolved = resolve_model(name);
        if (!resolved) throw not_found(fmt::format("model: {}", name));
        result_.model = *resolved;
        if (!reports_geography(*resolved)) result_.inference_geo = "not_available";
    }

    void read_scalars() {
        if (rules_.use != prompt_use::count) {
            const auto limit = whole_number(required("max_tokens"));
            if (!limit) throw invalid("max_tokens: Input should be a valid integer, greater than or equal to 0");
            if (*limit == 0 && rules_.use == prompt_use::batch_item)
                throw invalid("max_tokens: must be greater than 0 in a batch");
            const auto most = output_tokens_max(result_.model);
            if (*limit > most) {
                throw invalid(
                    fmt::format("max_tokens: {} > {}, which is the maximum allowed number of output tokens for {}",
                                *limit, most, result_.model));
            }
            result_.max_tokens = *limit;
        }
        for (const auto& [name, value] : body_) check_field(name, value);
        if (const json::value* stream = body_.if_contains("stream"); stream != nullptr && !stream->is_null()) {
            if (!stream->is_bool()) throw invalid("stream: Input should be a valid boolean");
            if (rules_.use == prompt_use::batch_item) throw invalid("stream: not allowed in a batch request");
            result_.stream = stream->get_bool();
        }
        if (const json::value* geo = body_.if_contains("inference_geo"); geo != nullptr && geo->is_string()) {
            result_.inference_geo = geo->get_string();
        }
        read_stop_sequences();
        read_thinking();
    }

    void check_field(std::string_view name, const json::value& value) {
        static constexpr std::string_view known[] = {"model",         "max_tokens",    "messages",
                                                     "system",        "stream",        "stop_sequences",
                                                     "temperature",   "top_p",         "top_k",
                                                     "thinking",      "output_config", "output_format",
                                                     "tools",         "tool_choice",   "metadata",
                                                     "service_tier",  "cache_control", "container",
                                                     "inference_geo", "mcp_servers",   "context_management",
                                                     "speed",         "fallbacks",     "fallback_credit_token",
                                                     "diagnostics"};
        if (rules_.refuses_extra_fields && std::ranges::find(known, name) == std::end(known)) {
            throw invalid(fmt::format("{}: Extra inputs are not permitted", name));
        }
        if (name != "temperature" && name != "top_p" && name != "top_k") return;
        if (rules_.refuses_sampling) throw invalid(fmt::format("{}: Extra inputs are not permitted", name));
        if (value.is_null()) return;
        if (!value.is_number()) throw invalid(fmt::format("{}: Input should be a valid number", name));
        const auto amount = value.to_number<double>();
        if (amount < 0) throw invalid(fmt::format("{}: Input should be greater than or equal to 0", name));
        if (amount > 1 && name != "top_k")
            throw invalid(fmt::format("{}: Input should be less than or equal to 1", name));
    }

    void read_stop_sequences() {
        const json::value* list = body_.if_contains("stop_sequences");
        if (list == nullptr || list->is_null()) return;
        if (!list->is_array()) throw invalid("stop_sequences: Input should be a valid array");
        for (const json::value& item : list->get_array()) {
            if (!item.is_string()) throw invalid("stop_sequences: Input should be a valid string");
            const std::string_view text = item.get_string();
            if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
                throw invalid("stop_sequences: each stop sequence must contain non-whitespace");
            }
            result_.stop_sequences.emplace_back(text);
        }
    }

    void read_thinking() {
        const json::value* thinking = body_.if_contains("thinking");
        if (thinking == nullptr || thinking->is_null()) return;
        const json::object* fields = thinking->if_object();
        const json::value* type = fields == nullptr ? nullptr : fields->if_contains("type");
        if (type == nullptr) throw invalid("thinking.type: Field required");
        const json::value* display = fields->if_contains("display");
        result_.shows_thinking = display == nullptr || *display != "omitted";
        if (*type == "disabled" || *type == "between_tools") return;
        if (*type != "enabled" && *type != "adaptive") {
            throw invalid(
                "thinking: Input tag does not match any of the expected tags: 'adaptive', 'between_tools', 'disabled', "
                "'enabled'");
        }
        result_.thinks = true;
        if (*type == "adaptive") return;
        const json::value* budget = fields->if_contains("budget_tokens");
        if (budget == nullptr) throw invalid("thinking.enabled.budget_tokens: Field required");
        const auto tokens = whole_number(*budget);
        if (!tokens || *tokens < 1024)
            throw invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024");
        if (rules_.use != prompt_use::count && *tokens >= result_.max_tokens) {
            throw invalid("`max_tokens` must be greater than `thinking.budget_tokens`.");
        }
    }

    void read_tools() {
        std::string forced;
        bool none = false;
        if (const json::value* choice = body_.if_contains("tool_choice"); choice != nullptr && !choice->is_null()) {
            const json::object* fields = choice->if_object();
            const json::value* type = fields == nullptr ? nullptr : fields->if_contains("type");
            if (type == nullptr) throw invalid("tool_choice.type: Field required");
            none = *type == "none";
            result_.forces_tool = *type == "any" || *type == "tool";
            const json::value* name = fields->if_contains("name");
            if (*type == "tool" && (name == nullptr || !name->is_string()))
                throw invalid("tool_choice.tool.name: Field required");
            if (*type == "tool") forced = name->get_string();
        }
        const json::value* list = body_.if_contains("tools");
        if (list != nullptr && !list->is_null() && !list->is_array())
            throw invalid("tools: Input should be a valid array");
        if (list == nullptr || list->is_null() || list->get_array().empty()) {
            if (result_.forces_tool) throw invalid("tool_choice: tools must be given when a tool is forced");
            return;
        }
        std::size_t number = 0;
        for (const json::value& item : list->get_array()) read_tool(item, fmt::format("tools.{}", number++));
        if (none) result_.tools.clear();
        if (forced.empty()) return;
        std::erase_if(result_.tools, [&](const wanted_tool& tool) { return tool.name != forced; });
        if (result_.tools.empty()) throw invalid(fmt::format("Tool '{}' not found in provided tools", forced));
    }

    void read_tool(const json::value& item, const std::string& where) {
        const json::object* fields = item.if_object();
        if (fields == nullptr)
            throw invalid(where + ": Input should be a valid dictionary or object to extract fields from");
        add_segment(item, *fields, where, "tool");
        const json::value* type = fields->if_contains("type");
        const json::value* name = fields->if_contains("name");
        const json::value* schema = fields->if_contains("input_schema");
        const bool custom = type == nullptr || type->is_null() || *type == "custom";
        if (custom && (name == nullptr || !name->is_string())) throw invalid(where + ".custom.name: Field required");
        if (custom && (schema == nullptr || !schema->is_object()))
            throw invalid(where + ".custom.input_schema: Field required");
        if (!custom) return;  // run by the server, or known to the client: not called here
        wanted_tool tool{.name = std::string(name->get_string()), .properties = {}};
        const json::value* properties = schema->get_object().if_contains("properties");
        if (properties != nullptr && properties->is_object()) tool.properties = properties->get_object();
        result_.tools.push_back(std::move(tool));
    }

    void read_system() {
        const json::value* system = body_.if_contains("system");
        if (system == nullptr || system->is_null()) return;
        if (system->is_string()) {
            if (!system->get_string().empty()) add_segment(*system, {}, "system", "system");
            return;
        }
        if (!system->is_array()) throw invalid("system: Input should be a valid list");
        std::size_t number = 0;
        for (const json::value& block : system->get_array())
            read_block(block, fmt::format("system.{}", number++), "system");
    }

    void read_messages() {
        const json::value& list = required("messages");
        if (!list.is_array()) throw invalid("messages: Input should be a valid array");
        if (list.get_array().empty()) throw invalid("messages: at least one message is required");
        if (list.get_array().size() > 100'000) throw invalid("messages: too many messages");
        std::size_t number = 0;
        for (const json::value& item : list.get_array()) read_message(item, fmt::format("messages.{}", number++));
    }

    void read_message(const json::value& item, const std::string& where) {
        const json::object* fields = item.if_object();
        if (fields == nullptr)
            throw invalid(where + ": Input should be a valid dictionary or object to extract fields from");
        const json::value* role = fields->if_contains("role");
        const json::value* content = fields->if_contains("content");
        if (role == nullptr) throw invalid(where + ".role: Field required");
        if (*role != "user" && *role != "assistant" && *role != "system") {
            throw invalid(fmt::format("messages: Unexpected role {}. Allowed roles are \"user\" or \"assistant\"",
                                      json::serialize(*role)));
        }
        if (content == nullptr) throw invalid(where + ".content: Field required");
        const std::string_view who = role->get_string();
        if (who == "user") {
            result_.last_user_text.clear();
            result_.ends_with_tool_result = false;
        }
        if (content->is_string()) {
            add_segment(*content, {}, where, who);
            if (who == "user") result_.last_user_text = content->get_string();
            return;
        }
        if (!content->is_array()) throw invalid(where + ".content: Input should be a valid list");
        std::size_t number = 0;
        for (const json::value& block : content->get_array()) {
            read_block(block, fmt::format("{}.content.{}", where, number++), who);
        }
    }

    void read_block(const json::value& block, const std::string& where, std::string_view who) {
        const json::object* fields = block.if_object();
        if (fields == nullptr)
            throw invalid(where + ": Input should be a valid dictionary or object to extract fields from");
        const json::value* type = fields->if_contains("type");
        if (type == nullptr || !type->is_string()) throw invalid(where + ".type: Field required");
        if (*type == "text") {
            const json::value* text = fields->if_contains("text");
            if (text == nullptr || !text->is_string()) throw invalid(where + ".text.text: Field required");
            if (text->get_string().empty()) throw invalid("messages: text content blocks must be non-empty");
            if (who == "user") {
                if (!result_.last_user_text.empty()) result_.last_user_text += '\n';
                result_.last_user_text += std::string_view(text->get_string());
            }
        }
        if (*type == "tool_result") result_.ends_with_tool_result = true;
        add_segment(block, *fields, where, who);
    }

    void add_segment(const json::value& value, const json::object& fields, const std::string& where,
                     std::string_view who) {
        measure sum{.bytes = 0, .hash = hash_bytes(who)};
        walk(value, {}, sum);
        result_.segments.push_back(
            {.hash = sum.hash, .tokens = tokens_of(sum.bytes), .breakpoint = read_mark(fields, where)});
    }

    void read_marks() {
        auto& segments = result_.segments;
        const auto automatic = read_mark(body_, "body");
        if (automatic != cache_lifetime::none && segments.back().breakpoint == cache_lifetime::none) {
            segments.back().breakpoint = automatic;
        }
        bool short_seen = false;
        std::size_t marks = 0;
        for (const segment& one : segments) {
            if (one.breakpoint == cache_lifetime::none) continue;
            ++marks;
            if (one.breakpoint == cache_lifetime::one_hour && short_seen) {
                throw invalid("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.");
            }
            short_seen = short_seen || one.breakpoint == cache_lifetime::five_minutes;
        }
        if (marks > 4)
            throw invalid(fmt::format("A maximum of 4 blocks with cache_control may be provided. Found {}.", marks));
    }

    const json::object& body_;
    const prompt_rules& rules_;
    prompt result_;
};

}  // namespace

std::uint64_t prompt::tokens() const {
    std::uint64_t sum = 0;
    for (const segment& one : segments) sum += one.tokens;
    return sum;
}

std::uint64_t prompt::fingerprint() const {
    std::uint64_t hash = hash_bytes(model);
    for (const segment& one : segments) hash = mix(hash ^ one.hash);
    return hash;
}

prompt read_prompt(const json::value& body, const prompt_rules& rules) {
    if (!body.is_object()) throw invalid("Input should be a valid dictionary or object to extract fields from");
    return reader(body.get_object(), rules).read();
}

}  // namespace sim
