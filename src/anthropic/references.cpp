#include "anthropic/references.hpp"

#include <algorithm>

#include "anthropic/member_walk.hpp"

namespace anthropic {
namespace {

class reference_walk final : member_walk {
public:
    references run(std::string_view body) {
        walk(body);
        return std::move(found_);
    }

private:
    static constexpr marks is_container = 1;

    marks on_open(std::string_view name) override { return name == "container" ? is_container : marks{0}; }

    void on_text(std::string_view name, std::string_view value) override {
        if (name == "file_id") return add(value, "file_");
        if (name == "skill_id") return add(value, "skill_");
        if (name == "container" || (name == "id" && around() == is_container)) add(value, "container_");
    }

    void add(std::string_view value, std::string_view shape) {
        std::string id = decoded(value);
        if (!id.starts_with(shape) || std::ranges::find(found_.ids, id) != found_.ids.end()) return;
        if (found_.ids.size() == references_max) {
            found_.too_many = true;
            stop();
        } else {
            found_.ids.push_back(std::move(id));
        }
    }

    references found_;
};

}  // namespace

references read_references(std::string_view body) { return reference_walk().run(body); }

}  // namespace anthropic
