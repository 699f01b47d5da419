#include "skills.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "exchange.hpp"
#include "handlers.hpp"
#include "multipart.hpp"
#include "pages.hpp"
#include "state.hpp"

namespace sim {

namespace {

std::string skill_json(const skill& one) {
    return fmt::format(R"({{"id":{},"type":"skill","display_title":{},"latest_version":{},"source":"custom",)"
                       R"("created_at":"{}","updated_at":"{}"}})",
                       quote(one.id), quote_or_null(one.display_title), quote(one.version),
                       rfc3339_micros(one.created_at), rfc3339_micros(one.created_at));
}

// The caller's skill; the store must be locked.
std::vector<skill>::iterator find_skill(exchange& ex) {
    auto& all = ex.world.skills.newest_last;
    const auto found =
        std::ranges::find_if(all, [&](const skill& one) { return one.id == ex.ids.at(0) && one.key == ex.key; });
    if (found == all.end()) throw not_found(fmt::format("Skill not found: {}", ex.ids.at(0)));
    return found;
}

}  // namespace

void create_skill(exchange& ex) {
    constexpr std::size_t title_bytes_max = 4096;
    skill created;
    std::string part_name;
    std::size_t files = 0;
    const form_reader reader{.begin =
                                 [&](const form_part& part) {
                                     part_name = part.name;
                                     files += part.filename.empty() ? 0 : 1;
                                 },
                             .data =
                                 [&](std::string_view bytes) {
                                     if (part_name != "display_title") return;
                                     created.display_title += bytes;
                                     if (created.display_title.size() > title_bytes_max)
                                         throw invalid("display_title: too long");
                                 },
                             .end = [] {}};
    read_form(ex.asked, ex.body, reader);
    if (files == 0) throw invalid("files: Field required");
    created.id = unique_id("skill_");
    created.key = ex.key;
    created.created_at = wall_clock::now();
    created.version = std::to_string(
        std::chrono::duration_cast<std::chrono::microseconds>(created.created_at.time_since_epoch()).count());
    const std::string text = skill_json(created);
    {
        const std::lock_guard lock(ex.world.skills.mutex);
        auto& all = ex.world.skills.newest_last;
        if (all.size() >= skill_store::skills_max) all.erase(all.begin());
        all.push_back(std::move(created));
    }
    ex.send_json(text);
}

void list_skills(exchange& ex) {
    std::vector<page_item> items;
    {
        const std::lock_guard lock(ex.world.skills.mutex);
        const auto& all = ex.world.skills.newest_last;
        for (auto one = all.rbegin(); one != all.rend(); ++one) {
            if (one->key == ex.key) items.push_back({one->id, skill_json(*one)});
        }
    }
    ex.send_json(page_by_token(ex.asked, items, true));
}

void retrieve_skill(exchange& ex) {
    std::string text;
    {
        const std::lock_guard lock(ex.world.skills.mutex);
        text = skill_json(*find_skill(ex));
    }
    ex.send_json(text);
}

void delete_skill(exchange& ex) {
    {
        const std::lock_guard lock(ex.world.skills.mutex);
        ex.world.skills.newest_last.erase(find_skill(ex));
    }
    ex.send_json(fmt::format(R"({{"id":{},"type":"skill_deleted"}})", quote(ex.ids.at(0))));
}

}  // namespace sim
