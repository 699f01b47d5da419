#include "gateway/model_filter.hpp"

#include <fmt/format.h>
#include <simdjson.h>

namespace gateway {

std::string filter_models(const std::string& body, const governance::caller& who) {
    constexpr std::string_view nothing = R"({"data":[],"has_more":false,"first_id":null,"last_id":null})";
    try {
        simdjson::ondemand::parser parser;
        const simdjson::padded_string padded(body);
        auto list = parser.iterate(padded);
        std::string kept;
        std::string first = "null";
        std::string last = "null";
        bool has_more = false;
        for (auto field : list.get_object()) {
            const std::string_view key = field.unescaped_key();
            if (key == "has_more") has_more = field.value().get_bool().value();
            if (key != "data") continue;
            for (auto element : field.value().get_array()) {
                auto model = element.get_object().value();
                const std::string_view text = model.raw_json().value();
                model.reset();
                auto id = model.find_field_unordered("id");
                std::string raw_id(id.raw_json_token().value());
                raw_id.erase(raw_id.find_last_not_of(" \t\r\n") + 1);
                id = model.find_field_unordered("id");
                if (!who.may_use_model(id.get_string().value())) continue;
                if (kept.empty()) first = raw_id;
                last = raw_id;
                kept.append(kept.empty() ? "" : ",").append(text);
            }
        }
        return fmt::format(R"({{"data":[{}],"has_more":{},"first_id":{},"last_id":{}}})", kept, has_more, first, last);
    } catch (const simdjson::simdjson_error&) {
        return std::string(nothing);  // better too few than those it may not see
    }
}

}  // namespace gateway
