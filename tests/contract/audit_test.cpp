// The audit log over every database: whole under concurrent writers, and broken wherever somebody touched it.
#include "governance/audit.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "governance_suite.hpp"

namespace governance {
namespace {

class audit_contract : public governance_suite {
protected:
    // Entries 1 to 7.
    void write_some() {
        for (int i = 1; i <= 7; ++i) ASSERT_TRUE(admin().create_team(boss, named("team-" + std::to_string(i))));
        ASSERT_FALSE(admin().verify_audit().broken_at);
    }
    void tamper(const std::string& sql) { ASSERT_GE(on().execute(sql), 1u) << sql; }
};
RUN_ON_EVERY_DATABASE(audit_contract);

TEST_P(audit_contract, a_change_leaves_an_entry_that_says_who_what_before_and_after) {
    ASSERT_TRUE(admin().create_team({.id = "cli:ann", .as = role::admin}, named("search")));
    tick();
    ASSERT_TRUE(admin().update_team({.id = "key_1", .as = role::operator_}, "search", named("find")));
    const auto entries = admin().audit_after(0, 10);
    ASSERT_EQ(entries.size(), 2u);
    EXPECT_EQ(entries[0].seq, 1);
    EXPECT_EQ(entries[0].actor, "cli:ann");
    EXPECT_EQ(entries[0].role, "admin");
    EXPECT_EQ(entries[0].action, "team.create");
    EXPECT_EQ(entries[0].target, admin().find_team("find")->id);
    EXPECT_EQ(entries[0].previous_hash, "");
    EXPECT_EQ(entries[1].at, now());
    EXPECT_EQ(entries[1].role, "operator");
    EXPECT_EQ(entries[1].previous_hash, entries[0].hash);
    EXPECT_EQ(entries[1].details,
              R"({"before":{"name":"search","models":[],"tags":[],"metadata":"{}","archived_at":null},)"
              R"("after":{"name":"find","models":[],"tags":[],"metadata":"{}","archived_at":null}})");
    EXPECT_EQ(admin().audit_after(1, 10).size(), 1u);
    EXPECT_EQ(admin().audit_after(0, 1).size(), 1u);
    EXPECT_TRUE(admin().audit_after(2, 10).empty());
}

TEST_P(audit_contract, every_kind_of_change_has_its_entry_and_none_a_secret) {
    std::vector<std::string> secrets;
    const auto key = admin().create_key(boss, key_named("k", "search"));
    ASSERT_TRUE(key);
    secrets.emplace_back(key->secret.reveal());
    ASSERT_TRUE(admin().update_key(boss, key->what.id, key_named("k2", "search")));
    const auto rotated = admin().rotate_key(boss, key->what.id, 1000);
    ASSERT_TRUE(rotated);
    secrets.emplace_back(rotated->secret.reveal());
    limit bound{.where = scope::root, .scope_id = "", .model_class = "", .amounts = {.requests_per_minute = 1}};
    ASSERT_TRUE(admin().set_limit(boss, bound));
    bound.amounts = {};
    ASSERT_TRUE(admin().set_limit(boss, bound));
    budget money;
    money.limit_pico = 1;
    const auto set = admin().set_budget(boss, money);
    ASSERT_TRUE(set);
    ASSERT_TRUE(admin().remove_budget(boss, set->id));
    ASSERT_TRUE(admin().revoke_key(boss, key->what.id));
    ASSERT_TRUE(admin().archive_team(boss, "search"));
    std::string actions, everything;
    for (const auto& each : admin().audit_after(0, 100)) {
        actions += each.action + " ";
        everything += each.details + each.target;
    }
    EXPECT_EQ(actions,
              "team.create key.create key.update key.rotate limit.set limit.remove budget.set budget.remove key.revoke "
              "team.archive ");
    for (const auto& secret : secrets) {
        EXPECT_EQ(everything.find(secret), everything.npos);
        EXPECT_EQ(everything.find(secret.substr(6, 20)), everything.npos);
        EXPECT_EQ(everything.find(hex_of(hasher().hash(secret))), everything.npos);
    }
}

TEST_P(audit_contract, the_chain_stays_whole_under_concurrent_writers) {
    constexpr int writers = 4, changes = 25;
    const auto before = read_generation(on());
    std::vector<std::thread> threads;
    for (int writer = 0; writer < writers; ++writer) {
        threads.emplace_back([&, writer] {
            const auto mine = connect();
            administration writing(*mine, hasher(), now);
            for (int i = 0; i < changes; ++i)
                EXPECT_TRUE(writing.create_team(boss, named(fmt::format("w{}-{}", writer, i))));
        });
    }
    for (auto& each : threads) each.join();
    const auto verdict = admin().verify_audit();
    EXPECT_FALSE(verdict.broken_at) << verdict.why;
    EXPECT_EQ(verdict.entries, std::uint64_t{writers * changes});
    EXPECT_EQ(read_generation(on()), before + writers * changes);
}

TEST_P(audit_contract, a_chain_that_grows_while_it_is_read_is_whole) {
    std::atomic<bool> done{false};
    std::thread writer([&] {
        const auto mine = connect();
        administration writing(*mine, hasher(), now);
        for (int i = 0; i < 60; ++i) EXPECT_TRUE(writing.create_team(boss, named("t" + std::to_string(i))));
        done = true;
    });
    do {
        const auto verdict = admin().verify_audit();
        EXPECT_FALSE(verdict.broken_at) << verdict.why;
    } while (!done);
    writer.join();
    EXPECT_EQ(admin().verify_audit().entries, 60u);
}

TEST_P(audit_contract, a_long_chain_is_verified_over_its_pages) {
    {
        database::transaction whole(on());
        for (int i = 0; i < 1203; ++i)
            append_audit(on(), {.at = now(),
                                .actor = "a",
                                .role = "admin",
                                .action = "x",
                                .target = "t",
                                .details = "{}",
                                .previous_hash = {},
                                .hash = {}});
        whole.commit();
    }
    EXPECT_EQ(admin().verify_audit().entries, 1203u);
    tamper("UPDATE claude_proxy.audit SET target = 'u' WHERE seq = 1001");
    EXPECT_EQ(admin().verify_audit().broken_at, 1001);
}

TEST_P(audit_contract, a_change_of_any_field_is_found) {
    write_some();
    for (const auto* change : {"at = at + 1", "actor = 'somebody else'", "role = 'viewer'", "action = 'team.archive'",
                               "target = 'x'", "details = '{}'", "previous_hash = hash", "hash = previous_hash"}) {
        on().begin();
        tamper(fmt::format("UPDATE claude_proxy.audit SET {} WHERE seq = 4", change));
        const auto verdict = admin().verify_audit();
        on().rollback();
        EXPECT_EQ(verdict.broken_at, 4) << change;
        EXPECT_FALSE(verdict.why.empty());
        EXPECT_EQ(verdict.entries, 3u);
    }
    EXPECT_FALSE(admin().verify_audit().broken_at);
}

TEST_P(audit_contract, text_moved_from_one_field_to_the_next_is_found) {
    write_some();
    tamper("UPDATE claude_proxy.audit SET actor = 'bos', role = 'sadmin' WHERE seq = 2 AND actor = 'boss'");
    EXPECT_EQ(admin().verify_audit().broken_at, 2);
}

TEST_P(audit_contract, a_missing_entry_is_found) {
    write_some();
    const std::pair<int, int> cases[] = {{1, 2}, {4, 5}, {7, 7}};  // the last one by the head of the chain
    for (const auto& [deleted, noticed] : cases) {
        on().begin();
        tamper(fmt::format("DELETE FROM claude_proxy.audit WHERE seq = {}", deleted));
        const auto verdict = admin().verify_audit();
        on().rollback();
        EXPECT_EQ(verdict.broken_at, noticed);
        EXPECT_NE(verdict.why.find("missing"), verdict.why.npos) << verdict.why;
    }
}

TEST_P(audit_contract, an_end_that_was_cut_off_stays_visible_when_the_log_goes_on) {
    write_some();
    tamper("DELETE FROM claude_proxy.audit WHERE seq >= 6");
    EXPECT_EQ(admin().verify_audit().broken_at, 6);
    ASSERT_TRUE(admin().create_team(boss, named("later")));
    EXPECT_EQ(admin().verify_audit().broken_at, 8);
    tamper("DELETE FROM claude_proxy.audit WHERE seq > 0");
    EXPECT_EQ(admin().verify_audit().broken_at, 1);
}

TEST_P(audit_contract, an_entry_written_anew_with_its_own_hash_breaks_the_next_one) {
    write_some();
    auto entry = admin().audit_after(3, 1).at(0);
    entry.actor = "somebody else";
    entry.hash = hash_of(entry);
    on().execute("UPDATE claude_proxy.audit SET actor = $1, hash = $2 WHERE seq = 4", {entry.actor, entry.hash});
    EXPECT_EQ(admin().verify_audit().broken_at, 5);
    // The last one has no next one, but the head of the chain.
    entry = admin().audit_after(6, 1).at(0);
    entry.actor = "somebody else";
    entry.hash = hash_of(entry);
    on().execute("UPDATE claude_proxy.audit SET actor = $1, hash = $2 WHERE seq = 7", {entry.actor, entry.hash});
    on().execute("UPDATE claude_proxy.audit SET actor = 'boss', hash = $1 WHERE seq = 4",
                 {admin().audit_after(4, 1).at(0).previous_hash});
    EXPECT_EQ(admin().verify_audit().broken_at, 7);
}

TEST_P(audit_contract, a_change_that_fails_leaves_no_entry) {
    write_some();
    const auto generation = read_generation(on());
    EXPECT_EQ(kind_of(admin().create_team(boss, named("team-1"))), base::errc::conflict);
    // The entry of the key cannot be written, after the team, its entry and the key were.
    on().execute(
        "INSERT INTO claude_proxy.audit (seq, at, actor, role, action, target, details, previous_hash, hash) "
        "VALUES (9, 0, '', '', '', '', '', '', '')");
    EXPECT_THROW(admin().create_key(boss, key_named("k", "new-team")), database::failure);
    tamper("DELETE FROM claude_proxy.audit WHERE seq = 9");
    EXPECT_TRUE(admin().list_keys({}).empty());
    EXPECT_EQ(kind_of(admin().find_team("new-team")), base::errc::not_found);
    EXPECT_EQ(admin().verify_audit().entries, 7u);
    EXPECT_EQ(read_generation(on()), generation);
}

TEST_P(audit_contract, a_name_of_the_system_that_is_no_utf_8_is_written_readably) {
    ASSERT_TRUE(admin().create_team({.id = std::string("cli:\xFF\n\0x", 8), .as = role::admin}, named("a")));
    ASSERT_TRUE(admin().create_team({.id = std::string(10'000, 'x'), .as = role::admin}, named("b")));
    ASSERT_TRUE(admin().create_team({.id = "cli:Zo\xC3\xAB", .as = role::admin}, named("c")));
    EXPECT_EQ(admin().audit_after(0, 10).at(0).actor, "cli:???x");
    EXPECT_EQ(admin().audit_after(0, 10).at(1).actor.size(), 256u);
    EXPECT_EQ(admin().audit_after(0, 10).at(2).actor, "cli:Zo\xC3\xAB");
    EXPECT_FALSE(admin().verify_audit().broken_at);
}

}  // namespace
}  // namespace governance
