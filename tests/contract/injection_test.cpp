// Texts made to break out of SQL, in every place where an administrator can write text, over every database.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "governance/directory.hpp"
#include "governance/validation.hpp"
#include "governance_suite.hpp"

namespace governance {
namespace {

int hex_value(char c) { return c <= '9' ? c - '0' : c - 'A' + 10; }

// A line of the corpus as the text it means.
std::string text_of_line(std::string_view line) {
    std::size_t times = 1;
    if (line.starts_with("repeat ")) {
        line.remove_prefix(7);
        for (times = 0; line.front() != ' '; line.remove_prefix(1))
            times = times * 10 + static_cast<std::size_t>(line.front() - '0');
        line.remove_prefix(1);
    }
    std::string once;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (line.substr(i).starts_with("\\x") && line.size() - i >= 4) {
            once += static_cast<char>(hex_value(line[i + 2]) * 16 + hex_value(line[i + 3]));
            i += 3;
        } else {
            once += line[i];
        }
    }
    std::string text;
    for (; times > 0; --times) text += once;
    return text;
}

std::vector<std::string> corpus() {
    std::vector<std::string> texts;
    std::ifstream file(CONTRACT_DIR "/injection_corpus.txt");
    for (std::string line; std::getline(file, line);)
        if (!line.starts_with('#')) texts.push_back(text_of_line(line));
    return texts;
}

class injection_contract : public governance_suite {
protected:
    // Stored as it stands, or refused by validation; `stored` gives back what was.
    template <class T, class Stored>
    void expect_verbatim_or_refused(const base::result<T>& outcome, const std::string& text, const Stored& stored) {
        if (outcome) {
            EXPECT_EQ(stored(), text);
        } else {
            EXPECT_EQ(outcome.error().kind, base::errc::invalid_argument) << text.substr(0, 100);
            // A refusal does not carry the text on, to a log or a page.
            if (text.size() > 8) EXPECT_EQ(outcome.error().detail.find(text), std::string::npos);
        }
    }
    void expect_no_effect_of_looking_for(const std::string& text) {
        EXPECT_EQ(kind_of(admin().find_team(text)), base::errc::not_found);
        EXPECT_EQ(kind_of(admin().find_key(text)), base::errc::not_found);
        EXPECT_EQ(kind_of(admin().update_team(boss, text, named("x"))), base::errc::not_found);
        EXPECT_EQ(kind_of(admin().archive_team(boss, text)), base::errc::not_found);
        EXPECT_EQ(kind_of(admin().update_key(boss, text, key_named("x", "y"))), base::errc::not_found);
        EXPECT_EQ(kind_of(admin().rotate_key(boss, text, 0)), base::errc::not_found);
        EXPECT_EQ(kind_of(admin().revoke_key(boss, text)), base::errc::not_found);
        EXPECT_EQ(kind_of(admin().remove_budget(boss, text)), base::errc::not_found);
        EXPECT_TRUE(admin().secrets_of(text).empty());
        key_filter which;
        which.team = text;
        EXPECT_TRUE(admin().list_keys(which).empty());
        which.team.reset();
        which.after_id = text;
        admin().list_keys(which);
        limit bound{.where = scope::team, .scope_id = text, .model_class = "", .amounts = {.requests_per_minute = 1}};
        EXPECT_FALSE(admin().set_limit(boss, bound));
        bound.where = scope::key;
        EXPECT_FALSE(admin().set_limit(boss, bound));
        bound.where = scope::root;
        EXPECT_FALSE(admin().set_limit(boss, bound));
        budget money;
        money.limit_pico = 1;
        money.scope_id = text;
        for (const auto where : {scope::root, scope::team, scope::key}) {
            money.where = where;
            EXPECT_FALSE(admin().set_budget(boss, money));
        }
    }
};
RUN_ON_EVERY_DATABASE(injection_contract);

TEST(injection_corpus, is_there_and_large) {
    const auto texts = corpus();
    EXPECT_GE(texts.size(), 60u);
    EXPECT_NE(std::ranges::find(texts, std::string("a\0' OR 1=1 --", 13)), texts.end());
}

TEST_P(injection_contract, no_text_does_more_than_stand_where_it_was_put) {
    const auto key = admin().create_key(boss, key_named("victim", "victims"));
    ASSERT_TRUE(key);
    const std::string id = key->what.id;
    const auto secret = admin().secrets_of(id).at(0).digest;
    const auto current = [&] { return *admin().find_key(id); };
    std::size_t stored_names = 0;
    for (const auto& text : corpus()) {
        SCOPED_TRACE(text.substr(0, 60));
        const auto change_key = [&](auto&& set, auto&& read) {
            key_draft wanted;
            set(wanted);
            expect_verbatim_or_refused(admin().update_key(boss, id, wanted), text, [&] { return read(current()); });
        };
        change_key([&](auto& to) { to.name = text; }, [](const auto& of) { return of.name; });
        stored_names += current().name == text;
        change_key([&](auto& to) { to.owner = text; }, [](const auto& of) { return of.owner; });
        change_key([&](auto& to) { to.scopes = {{text}}; }, [](const auto& of) { return of.scopes.at(0); });
        change_key([&](auto& to) { to.models = {{text}}; }, [](const auto& of) { return of.models.at(0); });
        change_key([&](auto& to) { to.ip_ranges = {{text}}; }, [](const auto& of) { return of.ip_ranges.at(0); });
        change_key([&](auto& to) { to.tags = {{text}}; }, [](const auto& of) { return of.tags.at(0); });
        change_key([&](auto& to) { to.metadata = text; }, [](const auto& of) { return of.metadata; });

        team_draft wanted;
        wanted.models = {{text}};
        expect_verbatim_or_refused(admin().update_team(boss, "victims", wanted), text,
                                   [&] { return admin().find_team("victims")->models.at(0); });
        wanted = {};
        wanted.tags = {{text}};
        expect_verbatim_or_refused(admin().update_team(boss, "victims", wanted), text,
                                   [&] { return admin().find_team("victims")->tags.at(0); });
        wanted = {};
        wanted.metadata = text;
        expect_verbatim_or_refused(admin().update_team(boss, "victims", wanted), text,
                                   [&] { return admin().find_team("victims")->metadata; });

        limit bound{.where = scope::root, .scope_id = "", .model_class = text, .amounts = {.requests_per_minute = 1}};
        const auto set = admin().set_limit(boss, bound);
        expect_verbatim_or_refused(set, text, [&] { return admin().list_limits().at(0).model_class; });
        bound.amounts = {};
        if (set) EXPECT_TRUE(admin().set_limit(boss, bound));
        EXPECT_TRUE(admin().list_limits().empty());

        if (!is_team_name(text)) {
            EXPECT_EQ(kind_of(admin().create_team(boss, named(text))), base::errc::invalid_argument);
            EXPECT_EQ(kind_of(admin().update_team(boss, "victims", named(text))), base::errc::invalid_argument);
            EXPECT_FALSE(admin().create_key(boss, key_named("k", text)));
        }
        expect_no_effect_of_looking_for(text);
        // The name of who asks is written readably whatever it is.
        EXPECT_TRUE(
            admin().set_limit({.id = text, .as = role::admin},
                              {.where = scope::root, .scope_id = "", .model_class = "", .amounts = {1, 0, 0, 0}}));
        EXPECT_TRUE(admin().set_limit(boss, {.where = scope::root, .scope_id = "", .model_class = "", .amounts = {}}));
        if (HasFailure()) break;
    }
    EXPECT_GE(stored_names, 60u);  // most of them are fine names

    EXPECT_EQ(admin().list_teams(true).size(), 1u);
    EXPECT_EQ(admin().list_keys({}).size(), 1u);
    EXPECT_EQ(admin().secrets_of(id).at(0).digest, secret);
    EXPECT_EQ(current().kind, role::client);
    EXPECT_TRUE(admin().list_budgets().empty());
    const auto verdict = admin().verify_audit();
    EXPECT_FALSE(verdict.broken_at) << verdict.why;
    EXPECT_GT(verdict.entries, 100u);
}

}  // namespace
}  // namespace governance
