// The schema: every migration on every database, whoever else applies it, and out of strangers' sight.
#include "database/migrations.hpp"

#include "database_fixture.hpp"

namespace contract {
namespace {

class migrations : public database_suite {};
class migrations_of_postgres : public database_suite {};

std::int64_t count(connection& on, const std::string& table) {
    return integer_of(on.query("SELECT COUNT(*) FROM claude_proxy." + table)[0][0]);
}

TEST_P(migrations, are_applied_once_in_order_and_noted) {
    const auto on = connect();
    EXPECT_EQ(database::look(*on).applied, 0u);
    const auto known = database::look(*on).known;
    EXPECT_EQ(known, database::migrations().back().number);
    std::vector<std::uint32_t> all;
    for (const auto& one : database::migrations()) all.push_back(one.number);
    EXPECT_EQ(database::migrate(*on), all);
    EXPECT_EQ(database::look(*on).applied, known);
    EXPECT_TRUE(database::migrate(*on).empty());
    EXPECT_EQ(count(*on, "schema_migrations"), static_cast<std::int64_t>(all.size()));
    EXPECT_EQ(text_of(on->query("SELECT name FROM claude_proxy.schema_migrations WHERE number = 1")[0][0]),
              "0001_tenancy");
    EXPECT_EQ(text_of(on->query("SELECT value FROM claude_proxy.state WHERE name = 'generation'")[0][0]), "1");
    EXPECT_EQ(count(*on, "attempts"), 0);
}

TEST_P(migrations, of_replicas_that_start_together_do_not_collide) {
    std::vector<std::vector<std::uint32_t>> done(4);
    on_threads(4, [&](int i) {
        const auto on = connect();
        done[static_cast<std::size_t>(i)] = database::migrate(*on);
    });
    std::size_t applied = 0;
    for (const auto& one : done) applied += one.size();
    EXPECT_EQ(applied, database::migrations().size());
    EXPECT_EQ(count(*connect(), "schema_migrations"), static_cast<std::int64_t>(applied));
}

TEST_P(migrations, leave_a_schema_that_is_newer_alone) {
    const auto on = connect();
    database::migrate(*on);
    on->execute("INSERT INTO claude_proxy.schema_migrations (number, name, applied_at) VALUES (9999, '9999_later', 0)");
    on->execute("DELETE FROM claude_proxy.schema_migrations WHERE number = 1");
    EXPECT_EQ(database::look(*on).applied, 9'999u);
    EXPECT_TRUE(database::migrate(*on).empty());
}

TEST_P(migrations, the_ledger_has_a_partition_for_this_month_and_the_next) {
    const auto on = connect();
    database::migrate(*on);
    constexpr std::int64_t at = 1'796'000'000'000;  // 2026-11-30
    on_threads(3, [&](int) { database::ensure_partitions(*connect(), at); });
    const auto add = [&](const std::string& id, std::int64_t started) {
        on->execute(
            "INSERT INTO claude_proxy.attempts VALUES ($1, $2, 0, '', '', '', '', '[]', 200, 'complete', "
            "0, 0, 0, 0, 0, 0, 0, 0, 0, '', '{}')",
            {id, started});
    };
    add("first", at);
    add("last_moment", 1'796'083'199'999);
    add("next_month", 1'796'083'200'000);
    add("last_year", 1'700'000'000'000);
    EXPECT_EQ(count(*on, "attempts"), 4);
    if (is_sqlite()) return;
    EXPECT_EQ(count(*on, "attempts_2026_11"), 2);
    EXPECT_EQ(count(*on, "attempts_2026_12"), 1);
    EXPECT_EQ(count(*on, "attempts_default"), 1);
    // A month whose rows came before its partition stays in the default one.
    database::ensure_partitions(*on, 1'700'000'000'000);
    EXPECT_EQ(count(*on, "attempts_default"), 1);
    EXPECT_EQ(kind_of_failure([&] { count(*on, "attempts_2023_11"); }), failure_kind::invalid);
    EXPECT_EQ(count(*on, "attempts_2023_12"), 0);
}

TEST_P(migrations_of_postgres, every_table_is_closed_to_other_roles) {
    const auto on = connect();
    database::migrate(*on);
    database::ensure_partitions(*on, 1'796'000'000'000);
    const auto admin = as_admin();
    const auto open = admin->query(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'claude_proxy' AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity");
    EXPECT_TRUE(open.empty()) << text_of(open.at(0).at(0)) << " has no row level security";
    EXPECT_EQ(integer_of(admin->query("SELECT COUNT(*) FROM pg_policies WHERE schemaname = 'claude_proxy'")[0][0]), 0);
    const auto tables = admin->query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'claude_proxy'");
    EXPECT_GE(tables.size(), 18u);

    if (admin->query("SELECT 1 FROM pg_roles WHERE rolname = 'stranger'").empty())
        admin->execute("CREATE ROLE stranger");
    admin->execute("GRANT stranger TO gateway");
    const auto as_stranger = [&](const std::string& sql) {
        transaction whole(*on);
        on->execute("SET LOCAL ROLE stranger");
        return on->query(sql);
    };
    EXPECT_EQ(kind_of_failure([&] { as_stranger("SELECT * FROM claude_proxy.state"); }), failure_kind::invalid);
    // Even one who was let in by mistake sees nothing and writes nothing.
    on->run_script(
        "GRANT USAGE ON SCHEMA claude_proxy TO stranger;"
        "GRANT ALL ON ALL TABLES IN SCHEMA claude_proxy TO stranger");
    EXPECT_EQ(count(*on, "state"), 1);
    for (const auto& table : tables) {
        EXPECT_TRUE(as_stranger("SELECT * FROM claude_proxy." + text_of(table[0])).empty()) << text_of(table[0]);
    }
    EXPECT_EQ(kind_of_failure([&] { as_stranger("INSERT INTO claude_proxy.state VALUES ('a', 'b') RETURNING name"); }),
              failure_kind::invalid);
}

TEST_P(migrations_of_postgres, need_no_right_to_make_a_schema_that_is_there) {
    const auto admin = as_admin();
    admin->run_script("CREATE SCHEMA claude_proxy AUTHORIZATION gateway");
    if (admin->query("SELECT 1 FROM pg_roles WHERE rolname = 'somebody'").empty())
        admin->execute("CREATE ROLE somebody");
    const auto name = text_of(admin->query("SELECT current_database()::text")[0][0]);
    admin->execute("ALTER DATABASE " + name + " OWNER TO somebody");
    const auto applied = database::migrate(*connect());
    admin->execute("ALTER DATABASE " + name + " OWNER TO gateway");
    EXPECT_EQ(applied.size(), database::migrations().size());
}

RUN_ON_EVERY_DATABASE(migrations);
RUN_ON_POSTGRES(migrations_of_postgres);

}  // namespace
}  // namespace contract
