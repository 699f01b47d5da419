#include "anthropic/second_look.hpp"

#include <algorithm>
#include <optional>

#include "anthropic/content_features.hpp"
#include "anthropic/json_text.hpp"
#include "anthropic/member_walk.hpp"

namespace anthropic {
namespace {

constexpr std::size_t models_max = 100;     // distinct ones; the upstream takes three fallbacks
constexpr std::size_t waiting_max = 1'000;  // members of open objects; more than one in an object is a hostile body
constexpr std::uint64_t max_uses_most = 1'000'000;

class look final : member_walk {
public:
    second_look run(std::string_view body) {
        walk(body);
        return std::move(found_);
    }

private:
    static constexpr marks in_fallbacks = 1, is_advisor = 2, is_search = 4;

    // A member whose object has not ended yet: what the object is may stand behind it.
    struct waiting_model {
        std::size_t depth;
        std::string_view between_quotes;
    };
    struct waiting_uses {
        std::size_t depth;
        std::uint64_t most;
    };

    marks on_open(std::string_view name) override {
        if (depth() == 1 && name == "fallbacks") return in_fallbacks;
        return around() & in_fallbacks;
    }

    void on_text(std::string_view name, std::string_view value) override {
        if (name == "type") {
            const std::string type = decoded(value);
            if (type.starts_with("advisor_2")) mark(is_advisor);
            if (type.starts_with("web_search_2")) mark(is_search);
        } else if (name == "model" && depth() > 1) {
            if (models_.size() < waiting_max) {
                models_.push_back({depth(), value});
            } else {
                found_.unnamed_model = true;
            }
        } else if (name == "fallbacks" && depth() == 1) {
            found_.unnamed_model = true;
        } else if (name == "max_uses") {
            add_uses(std::nullopt);
        }
    }

    void on_scalar(std::string_view name, std::string_view value) override {
        if (name == "max_uses") add_uses(plain_count(value));
    }

    // What cannot be read is taken as no limit.
    void add_uses(std::optional<std::uint64_t> most) {
        const std::uint64_t taken_for = most ? std::min(*most, max_uses_most) : web_searches_default;
        if (!uses_.empty() && uses_.back().depth == depth()) {  // the same member again: whichever is obeyed
            uses_.back().most = std::max(uses_.back().most, taken_for);
        } else if (uses_.size() < waiting_max) {
            uses_.push_back({depth(), taken_for});
        } else {
            found_.web_searches += taken_for;
        }
    }

    void on_close() override {
        const bool is_named = (around() & (in_fallbacks | is_advisor)) != 0;
        for (; !models_.empty() && models_.back().depth == depth(); models_.pop_back()) {
            if (is_named) add_model(decoded(models_.back().between_quotes));
        }
        std::uint64_t most = web_searches_default;
        if (!uses_.empty() && uses_.back().depth == depth()) {
            most = uses_.back().most;
            uses_.pop_back();
        }
        if ((around() & is_search) != 0) found_.web_searches += most;
    }

    void add_model(std::string name) {
        if (std::ranges::find(found_.models, name) != found_.models.end()) return;
        if (found_.models.size() == models_max) {
            found_.unnamed_model = true;
        } else {
            found_.models.push_back(std::move(name));
        }
    }

    second_look found_;
    std::vector<waiting_model> models_;
    std::vector<waiting_uses> uses_;
};

}  // namespace

second_look look_again(std::string_view body) { return look().run(body); }

}  // namespace anthropic
