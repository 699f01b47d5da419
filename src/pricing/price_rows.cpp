#include "pricing/price_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "pricing/model_name.hpp"

namespace pricing {
namespace {

// Rounded up: a fraction of a pico-dollar is charged as a whole one.
base::pico_dollars with_factors(base::pico_dollars rate, std::int64_t factor, std::int64_t other_factor) {
    constexpr auto one = static_cast<__int128>(factor_one) * factor_one;
    const auto exact = static_cast<__int128>(rate) * factor * other_factor;
    return static_cast<base::pico_dollars>((exact + one - 1) / one);
}

price_row row_from(const document_row& from, std::int64_t batch_factor, std::int64_t us_factor) {
    price_row made;
    made.from_ms = from.from_ms;
    made.context_window = from.context_window;
    made.output_max = from.output_max;
    made.long_prompt_above = from.long_prompt_above;
    for (std::size_t i = 0; i < made.rates.size(); ++i) {
        const billing how{.long_prompt = (i & 8) != 0, .fast = (i & 4) != 0, .us = (i & 2) != 0, .batch = (i & 1) != 0};
        // Without a price of its own, fast is ignored by the upstream and billed as standard.
        const auto& listed = how.fast && from.fast                 ? *from.fast
                             : how.long_prompt && from.long_prompt ? *from.long_prompt
                                                                   : from.standard;
        for (std::size_t c = 0; c < token_classes; ++c) {
            made.rates[i][c] = with_factors(listed[c], how.us && from.us_inference ? us_factor : factor_one,
                                            how.batch && !how.fast ? batch_factor : factor_one);
        }
    }
    return made;
}

// Class by class the higher of both; what is long for one of them is long for both.
void raise_to(price_row& row, const price_row& other) {
    row.context_window = std::max(row.context_window, other.context_window);
    row.output_max = std::max(row.output_max, other.output_max);
    row.long_prompt_above = std::min(row.long_prompt_above, other.long_prompt_above);
    for (std::size_t i = 0; i < row.rates.size(); ++i) {
        for (std::size_t c = 0; c < token_classes; ++c) {
            // A prompt that is long here may be short for a row whose short prompts are the dearer ones.
            const auto short_prompt = other.rates[i & 7U][c];
            row.rates[i][c] = std::max({row.rates[i][c], other.rates[i][c], i < 8 ? 0 : short_prompt});
        }
    }
}

// Both documents as one list of rows.
std::vector<document_row> merged(std::vector<document_row> base, std::vector<document_row> overrides) {
    for (auto& row : overrides) {
        const auto twin = std::ranges::find_if(
            base, [&](const auto& other) { return other.model == row.model && other.from_ms == row.from_ms; });
        if (twin == base.end()) {
            base.push_back(std::move(row));
            continue;
        }
        // Names belong to the model: a row that gives new prices does not take them away.
        row.aliases.insert(row.aliases.end(), twin->aliases.begin(), twin->aliases.end());
        *twin = std::move(row);
    }
    return base;
}

class builder {
public:
    builder(price_rows& made, std::vector<std::string>& problems) : made_(made), problems_(problems) {}

    void add(document_row row, std::int64_t batch_factor, std::int64_t us_factor) {
        const auto model = claim(row.model, row, made_.models.size());
        if (model == made_.models.size()) {
            made_.models.emplace_back();
            models_.push_back(row.model);
        }
        for (const auto& alias : row.aliases) {
            if (alias != row.model) claim(alias, row, model);
        }
        made_.models[model].push_back(row_from(row, batch_factor, us_factor));
        // What has no row is newer than the rows, and newer models have the factor.
        row.us_inference = true;
        const auto as_unknown = row_from(row, batch_factor, us_factor);
        raise_to(made_.dearest, as_unknown);
        for (std::size_t i = 0; i < made_.families.size(); ++i) {
            if (row.model.contains(made_.families[i])) raise_to(made_.family_dearest[i], as_unknown);
        }
    }

private:
    // The model that has the name from now on: a name never belongs to two.
    std::size_t claim(const std::string& name, const document_row& row, std::size_t model) {
        const auto [place, is_new] = made_.names.try_emplace(name, model);
        if (is_new) return model;
        const bool as_model = name == row.model;
        const bool is_model = place->second < models_.size() && models_[place->second] == name;
        if (as_model ? !is_model : place->second != model) {
            problems_.push_back(fmt::format("{}: `{}` is a name of `{}` already; give the prices of that model there",
                                            row.where, name, models_[place->second]));
        }
        return place->second;
    }

    price_rows& made_;
    std::vector<std::string>& problems_;
    std::vector<std::string> models_;  // by index
};

}  // namespace

price_rows::found price_rows::find(std::string_view model, std::int64_t at_ms) const {
    auto place = names.find(model);
    if (place == names.end()) {
        const auto plain = without_decoration(model);
        if (plain.size() != model.size()) place = names.find(plain);
        const auto undated = without_date(plain);
        if (place == names.end() && undated.size() != plain.size()) place = names.find(undated);
    }
    if (place != names.end()) {
        const auto& dated = models[place->second];
        std::size_t row = dated.size() - 1;
        while (row > 0 && dated[row].from_ms > at_ms) --row;
        return {dated[row]};
    }
    for (std::size_t i = 0; i < families.size(); ++i) {
        if (model.contains(families[i]) && family_dearest[i].context_window != 0) return {family_dearest[i], false};
    }
    return {dearest, false};
}

std::expected<price_rows, std::vector<std::string>> build_price_rows(std::string_view base,
                                                                     std::string_view overrides) {
    std::vector<std::string> problems;
    auto document = read_price_document(base, "", problems);
    auto changes = read_price_document(overrides, "overrides, ", problems);
    if (!document || !changes) return std::unexpected(std::move(problems));
    const auto either = [&](auto member, std::string_view name) {
        auto value = std::move(*changes.*member ? *changes.*member : *document.*member);
        if (!value) problems.push_back(fmt::format("line 1: the document lacks `{}`", name));
        return value;
    };
    const auto batch_factor = either(&price_document::batch_factor, "batch_factor");
    const auto us_factor = either(&price_document::us_factor, "us_factor");
    const auto web_search = either(&price_document::web_search, "dollars_per_1000_web_searches");
    auto families = either(&price_document::families, "families");
    if (!document->rows) problems.emplace_back("line 1: the document lacks `models`");
    if (!problems.empty()) return std::unexpected(std::move(problems));

    price_rows made;
    made.web_search = *web_search;
    made.families = *std::move(families);
    made.family_dearest.resize(made.families.size());
    builder build(made, problems);
    for (auto& row :
         merged(*std::move(document->rows), std::move(changes->rows).value_or(std::vector<document_row>()))) {
        build.add(std::move(row), *batch_factor, *us_factor);
    }
    if (!problems.empty()) return std::unexpected(std::move(problems));
    for (auto& dated : made.models) std::ranges::sort(dated, {}, &price_row::from_ms);
    return made;
}

}  // namespace pricing
