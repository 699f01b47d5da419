#include "database/sqlite.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace database {
namespace {

class sqlite : public testing::Test {
public:
    sqlite() {
        auto pattern = (std::filesystem::temp_directory_path() / "sqlite-test-XXXXXX").string();
        folder = ::mkdtemp(pattern.data());
    }
    ~sqlite() override { std::filesystem::remove_all(folder); }

    std::unique_ptr<connection> connect(const std::string& file = "a.db") const {
        return open("sqlite:" + (folder / file).string(), {.statement_timeout = milliseconds(2'000)});
    }
    static failure_kind kind_of(connection& on, std::string_view sql) {
        try {
            on.query(sql);
        } catch (const failure& problem) {
            return problem.kind;
        }
        ADD_FAILURE() << sql << " did not fail";
        return failure_kind::invalid;
    }
    static std::int64_t number(connection& on, std::string_view sql) { return integer_of(on.query(sql).at(0).at(0)); }

    std::filesystem::path folder;
};

TEST_F(sqlite, makes_its_folder_and_a_file_that_only_its_owner_can_read) {
    const auto on = connect("deep/er/a.db");
    EXPECT_FALSE(std::filesystem::exists(folder / "deep")) << "it opens lazily";
    on->run_script("CREATE TABLE t (a)");
    int files = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder / "deep/er")) {
        struct stat facts{};
        ASSERT_EQ(::stat(file.path().c_str(), &facts), 0);
        EXPECT_EQ(facts.st_mode & 0777, 0600u) << file.path();
        ++files;
    }
    EXPECT_EQ(files, 3);  // with WAL and its index
}

TEST_F(sqlite, writes_ahead_and_checks_foreign_keys) {
    const auto on = connect();
    EXPECT_EQ(text_of(on->query("PRAGMA journal_mode").at(0).at(0)), "wal");
    EXPECT_EQ(number(*on, "PRAGMA synchronous"), 1);
    EXPECT_EQ(number(*on, "PRAGMA foreign_keys"), 1);
}

TEST_F(sqlite, commits_are_flushed_where_that_is_asked_for) {
    options flushed;
    flushed.commits_are_flushed = true;
    const auto on = open("sqlite:" + (folder / "flushed.db").string(), flushed);
    EXPECT_EQ(number(*on, "PRAGMA synchronous"), 2);
}

TEST_F(sqlite, a_path_that_connections_cannot_share_is_refused) {
    for (const char* url : {"sqlite:", "sqlite::memory:"}) {
        try {
            open(url);
            ADD_FAILURE() << url;
        } catch (const failure& problem) {
            EXPECT_EQ(problem.kind, failure_kind::invalid);
        }
    }
}

TEST_F(sqlite, what_is_neither_engine_is_refused_without_repeating_it) {
    for (const char* url : {"", "mysql://user:secret@host/db", "secret.db", "postgresql:secret"}) {
        try {
            open(url);
            ADD_FAILURE() << url;
        } catch (const failure& problem) {
            EXPECT_EQ(problem.kind, failure_kind::invalid);
            EXPECT_EQ(std::string(problem.what()).find("secret"), std::string::npos);
        }
    }
}

TEST_F(sqlite, a_file_that_cannot_be_opened_is_unavailable_until_it_can) {
    std::filesystem::create_directory(folder / "a.db");
    const auto on = connect();
    EXPECT_EQ(kind_of(*on, "SELECT 1"), failure_kind::unavailable);
    std::filesystem::remove(folder / "a.db");
    EXPECT_EQ(number(*on, "SELECT 1"), 1);
}

TEST_F(sqlite, a_file_that_is_no_database_is_unavailable_and_not_touched) {
    const std::string text(5'000, 'x');
    std::ofstream(folder / "a.db") << text;
    const auto on = connect();
    EXPECT_EQ(kind_of(*on, "SELECT 1"), failure_kind::unavailable);
    std::ifstream file(folder / "a.db");
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text);
    std::filesystem::remove(folder / "a.db");
    EXPECT_EQ(number(*on, "SELECT 1"), 1);
}

TEST_F(sqlite, a_full_disk_is_unavailable_and_loses_only_what_was_not_committed) {
    const auto on = connect();
    on->run_script("CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('kept')");
    on->query("PRAGMA max_page_count = 10");
    {
        transaction whole(*on);
        on->execute("INSERT INTO t VALUES ('lost')");
        try {
            on->execute("INSERT INTO t VALUES ($1)", {std::string(1'000'000, 'x')});
            ADD_FAILURE();
        } catch (const failure& problem) {
            EXPECT_EQ(problem.kind, failure_kind::unavailable);
        }
        EXPECT_EQ(kind_of(*on, "SELECT 1"), failure_kind::unavailable);
    }
    EXPECT_EQ(number(*on, "SELECT COUNT(*) FROM t"), 1);
    on->execute("INSERT INTO t VALUES ($1)", {std::string(1'000'000, 'x')});  // opened anew, without the limit
    EXPECT_EQ(number(*on, "SELECT COUNT(*) FROM t"), 2);
}

TEST_F(sqlite, a_writer_that_does_not_get_its_turn_is_busy) {
    const auto one = connect();
    one->run_script("CREATE TABLE t (a)");
    const auto two = open("sqlite:" + (folder / "a.db").string(), {.statement_timeout = milliseconds(50)});
    transaction whole(*one);
    EXPECT_EQ(kind_of(*two, "INSERT INTO t VALUES (1)"), failure_kind::busy);
    try {
        const transaction second(*two);
        ADD_FAILURE();
    } catch (const failure& problem) {
        EXPECT_EQ(problem.kind, failure_kind::busy);
    }
    whole.commit();
    EXPECT_EQ(two->execute("INSERT INTO t VALUES (1)"), 1u);
}

TEST_F(sqlite, a_statement_that_was_used_lets_the_log_start_over) {
    const auto one = connect(), two = connect();
    one->run_script("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)");
    EXPECT_EQ(two->query("SELECT a FROM t").size(), 2u);
    EXPECT_EQ(one->query("PRAGMA wal_checkpoint(TRUNCATE)").at(0).at(0), value(std::int64_t{0})) << "a reader is left";
}

TEST_F(sqlite, statements_that_change_nothing_touched_nothing) {
    const auto on = connect();
    on->run_script("CREATE TABLE t (a)");
    EXPECT_EQ(on->execute("INSERT INTO t VALUES (1), (2), (3)"), 3u);
    EXPECT_EQ(on->execute("CREATE TABLE u (a)"), 0u);
    EXPECT_EQ(on->execute("DELETE FROM u"), 0u);
    EXPECT_EQ(on->execute("SELECT a FROM t"), 3u);
    EXPECT_EQ(on->execute("UPDATE t SET a = 4 WHERE a = 1 RETURNING a"), 1u);
}

TEST_F(sqlite, parameters_have_numbers) {
    const auto on = connect();
    for (const char* sql :
         {"SELECT ?", "SELECT ?1", "SELECT :a", "SELECT @a", "SELECT $a", "SELECT $0", "SELECT $1x"}) {
        EXPECT_EQ(kind_of(*on, sql), failure_kind::invalid) << sql;
    }
}

TEST_F(sqlite, a_result_code_says_what_the_caller_may_do) {
    EXPECT_EQ(kind_of_sqlite(SQLITE_BUSY_SNAPSHOT), failure_kind::busy);
    EXPECT_EQ(kind_of_sqlite(SQLITE_LOCKED), failure_kind::busy);
    EXPECT_EQ(kind_of_sqlite(SQLITE_CONSTRAINT_UNIQUE), failure_kind::conflict);
    EXPECT_EQ(kind_of_sqlite(SQLITE_CONSTRAINT_FOREIGNKEY), failure_kind::conflict);
    EXPECT_EQ(kind_of_sqlite(SQLITE_IOERR_WRITE), failure_kind::unavailable);
    EXPECT_EQ(kind_of_sqlite(SQLITE_CANTOPEN), failure_kind::unavailable);
    EXPECT_EQ(kind_of_sqlite(SQLITE_ERROR), failure_kind::invalid);
}

}  // namespace
}  // namespace database
