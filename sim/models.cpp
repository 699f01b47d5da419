#include "models.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "exchange.hpp"
#include "handlers.hpp"
#include "pages.hpp"
#include "text.hpp"

namespace sim {

namespace {

struct known_model {
    std::string_view id;
    std::string_view alias;  // empty: none
    std::string_view name;
    std::string_view created;
    std::uint64_t context;
    std::uint64_t output;
};

// Newest first, as upstream lists them. Retired models are absent: upstream answers 404 for them.
constexpr known_model models[] = {
    {"claude-fable-5-2", "", "Claude Fable 5.2", "2026-11-09", 1'000'000, 128'000},
    {"claude-mythos-5-2", "", "Claude Mythos 5.2", "2026-11-09", 1'000'000, 128'000},
    {"claude-haiku-5-5", "", "Claude Haiku 5.5", "2026-10-07", 1'000'000, 128'000},
    {"claude-sonnet-5-5", "", "Claude Sonnet 5.5", "2026-09-28", 1'000'000, 128'000},
    {"claude-opus-5-5", "", "Claude Opus 5.5", "2026-09-22", 1'000'000, 128'000},
    {"claude-fable-5-1", "", "Claude Fable 5.1", "2026-09-01", 1'000'000, 128'000},
    {"claude-mythos-5-1", "", "Claude Mythos 5.1", "2026-09-01", 1'000'000, 128'000},
    {"claude-opus-5", "", "Claude Opus 5", "2026-07-24", 1'000'000, 128'000},
    {"claude-sonnet-5", "", "Claude Sonnet 5", "2026-06-30", 1'000'000, 128'000},
    {"claude-fable-5", "", "Claude Fable 5", "2026-06-09", 1'000'000, 128'000},
    {"claude-mythos-5", "", "Claude Mythos 5", "2026-06-09", 1'000'000, 128'000},
    {"claude-opus-4-8", "", "Claude Opus 4.8", "2026-05-28", 1'000'000, 128'000},
    {"claude-opus-4-7", "", "Claude Opus 4.7", "2026-04-16", 1'000'000, 128'000},
    {"claude-sonnet-4-6", "", "Claude Sonnet 4.6", "2026-02-17", 1'000'000, 128'000},
    {"claude-opus-4-6", "", "Claude Opus 4.6", "2026-02-05", 1'000'000, 128'000},
    {"claude-opus-4-5-20251101", "claude-opus-4-5", "Claude Opus 4.5", "2025-11-01", 200'000, 64'000},
    {"claude-haiku-4-5-20251001", "claude-haiku-4-5", "Claude Haiku 4.5", "2025-10-01", 200'000, 64'000},
    {"claude-sonnet-4-5-20250929", "claude-sonnet-4-5", "Claude Sonnet 4.5", "2025-09-29", 200'000, 64'000},
};

constexpr std::string_view simulated_prefix = "claude-sim-";

const known_model* find_model(std::string_view name) {
    const auto found = std::ranges::find_if(models, [&](const known_model& one) {
        return one.id == name ||
               (!one.alias.empty() &&
                (one.alias == name || (name.ends_with("-latest") && name.substr(0, name.size() - 7) == one.alias)));
    });
    return found == std::end(models) ? nullptr : found;
}

// {"NAME":{"supported":true},…} for each name, without the outer braces.
std::string all_supported(std::initializer_list<std::string_view> names) {
    std::string text;
    for (const std::string_view name : names) {
        text += fmt::format(R"({}"{}":{{"supported":true}})", text.empty() ? "" : ",", name);
    }
    return text;
}

std::string model_json(std::string_view id, std::string_view name, std::string_view created, std::uint64_t context,
                       std::uint64_t output, bool adaptive) {
    const std::string capabilities = fmt::format(
        R"({},"context_management":{{"supported":true,{}}},"effort":{{"supported":true,{}}},{},)"
        R"("thinking":{{"supported":true,"types":{{"adaptive":{{"supported":{}}},{}}}}})",
        all_supported({"batch", "citations", "code_execution"}),
        all_supported({"clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112"}),
        all_supported({"low", "medium", "high", "xhigh", "max"}),
        all_supported({"image_input", "pdf_input", "structured_outputs"}), adaptive, all_supported({"enabled"}));
    return fmt::format(R"({{"type":"model","id":{},"display_name":{},"created_at":"{}T00:00:00Z",)"
                       R"("max_input_tokens":{},"max_tokens":{},"capabilities":{{{}}}}})",
                       quote(id), quote(name), created, context, output, capabilities);
}

std::string model_json(const known_model& model) {
    return model_json(model.id, model.name, model.created, model.context, model.output, model.context > 200'000);
}

}  // namespace

std::optional<std::string> resolve_model(std::string_view name) {
    if (const known_model* model = find_model(name)) return std::string(model->id);
    if (name.starts_with(simulated_prefix)) return std::string(name);
    return {};
}

std::uint64_t output_tokens_max(std::string_view resolved) {
    const known_model* model = find_model(resolved);
    return model == nullptr ? 1'000'000 : model->output;
}

bool reports_geography(std::string_view resolved) {
    const known_model* model = find_model(resolved);
    return model == nullptr || model->context > 200'000;
}

void list_models(exchange& ex) {
    std::vector<page_item> items;
    for (const known_model& model : models) items.push_back({std::string(model.id), model_json(model)});
    ex.send_json(page_by_id(ex.asked, items));
}

void retrieve_model(exchange& ex) {
    const std::string& name = ex.ids.at(0);
    if (const known_model* model = find_model(name)) return ex.send_json(model_json(*model));
    if (!name.starts_with(simulated_prefix)) throw not_found(fmt::format("model: {}", name));
    ex.send_json(model_json(name, name, "2026-01-01", 1'000'000, 1'000'000, true));
}

}  // namespace sim
