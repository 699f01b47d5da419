#include "anthropic/answer_reader.hpp"

#include <simdjson.h>

namespace anthropic {
namespace {

namespace ondemand = simdjson::ondemand;

// Parsers grow with the largest text they have seen; one that has grown beyond this is replaced after use.
constexpr std::size_t parser_bytes_kept_max = 16 * 1024;

// Walks one text. `broken` is set as soon as it turns out not to be JSON; then what was read does not count.
class text_walk {
public:
    bool broken = false;
    bool damaged = false;

    // Calls `on_member(key, value)` for each member of an object. Null is passed over, anything else damages.
    template <class OnMember>
    void object(ondemand::value from, OnMember on_member) {
        if (!is(from, ondemand::json_type::object)) return;
        ondemand::object object;
        if (from.get_object().get(object) == simdjson::SUCCESS) {
            members(object, on_member);
        } else {
            broken = true;
        }
    }

    template <class OnMember>
    void members(ondemand::object object, OnMember on_member) {
        for (auto member : object) {
            std::string_view key;
            ondemand::value value;
            if (member.unescaped_key().get(key) || member.value().get(value)) {
                broken = true;
                return;
            }
            on_member(key, value);
            if (broken) return;
        }
    }

    template <class OnElement>
    void array(ondemand::value from, OnElement on_element) {
        if (!is(from, ondemand::json_type::array)) return;
        ondemand::array array;
        if (from.get_array().get(array)) {
            broken = true;
            return;
        }
        for (auto element : array) {
            ondemand::value value;
            if (element.get(value)) {
                broken = true;
                return;
            }
            on_element(value);
            if (broken) return;
        }
    }

    void count(ondemand::value from, std::optional<std::uint64_t>& to) {
        std::uint64_t value = 0;
        if (!is(from, ondemand::json_type::number)) return;
        if (from.get_uint64().get(value) || value > answer_limits::tokens_max) {
            damaged = true;
            return;
        }
        to = value;
    }

    void name(ondemand::value from, std::optional<std::string>& to) {
        std::string_view value;
        if (!is(from, ondemand::json_type::string)) return;
        if (from.get_string().get(value) || value.size() > answer_limits::name_bytes_max) {
            damaged = true;
            return;
        }
        to = value;
    }

private:
    bool is(ondemand::value& value, ondemand::json_type expected) {
        ondemand::json_type type;
        if (value.type().get(type)) {
            broken = true;
            return false;
        }
        if (type == expected) return true;
        bool is_null = false;
        if (type == ondemand::json_type::null && !value.is_null().get(is_null) && is_null) return false;
        damaged = true;
        return false;
    }
};

void read_cache_split(text_walk& walk, ondemand::value from, counts_reading& to) {
    walk.object(from, [&](std::string_view key, ondemand::value value) {
        if (key == "ephemeral_5m_input_tokens") walk.count(value, to.cache_creation_5m);
        if (key == "ephemeral_1h_input_tokens") walk.count(value, to.cache_creation_1h);
    });
}

// Reads `value` if it is one of the counts that usage and its iterations share.
void read_token_count(text_walk& walk, std::string_view key, ondemand::value value, counts_reading& to) {
    if (key == "input_tokens") walk.count(value, to.input_tokens);
    if (key == "cache_creation_input_tokens") walk.count(value, to.cache_creation_input_tokens);
    if (key == "cache_read_input_tokens") walk.count(value, to.cache_read_input_tokens);
    if (key == "output_tokens") walk.count(value, to.output_tokens);
    if (key == "cache_creation") read_cache_split(walk, value, to);
}

void replace(std::uint64_t& count, std::optional<std::uint64_t> with) { count = with.value_or(count); }

// Some compatible upstreams send the prompt's counts once, at either end of the stream, and zeros at the other.
void replace_prompt_count(std::uint64_t& count, std::optional<std::uint64_t> with) {
    if (with.value_or(0) != 0) count = *with;
}

void replace_prompt_count(std::optional<std::uint64_t>& count, std::optional<std::uint64_t> with) {
    if (with && (*with != 0 || !count)) count = with;
}

void overwrite_tokens(token_counts& counts, const counts_reading& with) {
    replace_prompt_count(counts.input_tokens, with.input_tokens);
    replace_prompt_count(counts.cache_creation_input_tokens, with.cache_creation_input_tokens);
    replace_prompt_count(counts.cache_read_input_tokens, with.cache_read_input_tokens);
    replace_prompt_count(counts.cache_creation_5m, with.cache_creation_5m);
    replace_prompt_count(counts.cache_creation_1h, with.cache_creation_1h);
    replace(counts.output_tokens, with.output_tokens);
}

void read_iteration(text_walk& walk, ondemand::value from, std::vector<iteration>& to) {
    counts_reading counts;
    std::optional<std::string> type, model;
    bool is_object = false;
    walk.object(from, [&](std::string_view key, ondemand::value value) {
        is_object = true;
        read_token_count(walk, key, value, counts);
        if (key == "type") walk.name(value, type);
        if (key == "model") walk.name(value, model);
    });
    if (!is_object || to.size() == answer_limits::iterations_max) {
        walk.damaged = true;
        return;
    }
    iteration read{.type = type.value_or(""), .model = model.value_or(""), .tokens = {}};
    overwrite_tokens(read.tokens, counts);
    to.push_back(std::move(read));
}

void read_usage_member(text_walk& walk, std::string_view key, ondemand::value value, usage_reading& to) {
    read_token_count(walk, key, value, to.tokens);
    if (key == "service_tier") walk.name(value, to.service_tier);
    if (key == "inference_geo") walk.name(value, to.inference_geo);
    if (key == "speed") walk.name(value, to.speed);
    if (key == "output_tokens_details") {
        walk.object(value, [&](std::string_view name, ondemand::value count) {
            if (name == "thinking_tokens") walk.count(count, to.thinking_tokens);
        });
    }
    if (key == "server_tool_use") {
        walk.object(value, [&](std::string_view name, ondemand::value count) {
            if (name == "web_search_requests") walk.count(count, to.web_search_requests);
            if (name == "web_fetch_requests") walk.count(count, to.web_fetch_requests);
        });
    }
    if (key == "iterations") {
        to.iterations.clear();
        walk.array(value, [&](ondemand::value element) { read_iteration(walk, element, to.iterations); });
    }
}

// Reads a whole `usage` member; null counts as absent.
void read_usage_value(text_walk& walk, ondemand::value from, std::optional<usage_reading>& to) {
    usage_reading read;
    bool is_object = false;
    walk.object(from, [&](std::string_view key, ondemand::value value) {
        is_object = true;
        read_usage_member(walk, key, value, read);
    });
    if (is_object) to = std::move(read);
}

// Calls `on_member(walk, key, value, reading)` for each member of the object that `text` is.
template <class OnMember>
answer_reading read_object(std::string_view text, OnMember on_member) {
    thread_local ondemand::parser parser;
    thread_local std::string padded;
    padded.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    padded = text;

    answer_reading reading;
    text_walk walk;
    {
        ondemand::document document;
        ondemand::object object;
        if (parser.iterate(padded).get(document) || document.get_object().get(object)) {
            walk.broken = true;
        } else {
            walk.members(object,
                         [&](std::string_view key, ondemand::value value) { on_member(walk, key, value, reading); });
        }
    }
    if (text.size() > parser_bytes_kept_max) {
        parser = ondemand::parser();
        padded = std::string();
    }
    if (walk.broken) reading = {};
    reading.damaged = walk.broken || walk.damaged;
    return reading;
}

}  // namespace

answer_reading read_message_start(std::string_view data) {
    return read_object(data, [](text_walk& walk, std::string_view key, ondemand::value value, answer_reading& to) {
        if (key != "message") return;
        walk.object(value, [&](std::string_view name, ondemand::value member) {
            if (name == "id") walk.name(member, to.message_id);
            if (name == "model") walk.name(member, to.model);
            if (name == "stop_reason") walk.name(member, to.stop_reason);
            if (name == "usage") read_usage_value(walk, member, to.usage);
        });
    });
}

answer_reading read_message_delta(std::string_view data) {
    return read_object(data, [](text_walk& walk, std::string_view key, ondemand::value value, answer_reading& to) {
        if (key == "usage") read_usage_value(walk, value, to.usage);
        if (key != "delta") return;
        walk.object(value, [&](std::string_view name, ondemand::value member) {
            if (name == "stop_reason") walk.name(member, to.stop_reason);
        });
    });
}

answer_reading read_error(std::string_view data) {
    return read_object(data, [](text_walk& walk, std::string_view key, ondemand::value value, answer_reading& to) {
        if (key != "error") return;
        walk.object(value, [&](std::string_view name, ondemand::value member) {
            if (name == "type") walk.name(member, to.error_type);
        });
    });
}

answer_reading read_error_object(std::string_view text) {
    return read_object(text, [](text_walk& walk, std::string_view key, ondemand::value value, answer_reading& to) {
        if (key == "type") walk.name(value, to.error_type);
    });
}

answer_reading read_usage(std::string_view text) {
    return read_object(text, [](text_walk& walk, std::string_view key, ondemand::value value, answer_reading& to) {
        if (!to.usage) to.usage.emplace();
        read_usage_member(walk, key, value, *to.usage);
    });
}

void overwrite(usage& counts, const usage_reading& with) {
    overwrite_tokens(counts.tokens, with.tokens);
    replace(counts.thinking_tokens, with.thinking_tokens);
    replace(counts.web_search_requests, with.web_search_requests);
    replace(counts.web_fetch_requests, with.web_fetch_requests);
    if (with.service_tier) counts.service_tier = *with.service_tier;
    if (with.inference_geo) counts.inference_geo = *with.inference_geo;
    if (with.speed) counts.speed = *with.speed;
    if (!with.iterations.empty()) counts.iterations = with.iterations;
}

}  // namespace anthropic
