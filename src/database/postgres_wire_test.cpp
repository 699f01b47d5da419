#include "database/postgres_wire.hpp"

#include <gtest/gtest.h>

#include "database/postgres.hpp"

namespace database {
namespace {

using namespace std::string_literals;

constexpr column columns[] = {{"number", column::type::integer}, {"name", column::type::text}};

TEST(postgres_wire, a_column_is_a_binary_array) {
    batch rows("claude_proxy.things", columns, "");
    rows.add(1);
    rows.add("a");
    rows.add(-2);
    rows.add_null();
    std::string array = "what was here before and is longer than what comes, so that nothing of it may be left over";
    write_array(array, rows, 0);
    EXPECT_EQ(array,
              "\0\0\0\1"s
              "\0\0\0\0"s
              "\0\0\0\x14"s
              "\0\0\0\2"s
              "\0\0\0\1"s  // 1 dimension, no nulls, int8, 2 from 1
              "\0\0\0\x8"s
              "\0\0\0\0\0\0\0\1"s
              "\0\0\0\x8"s
              "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE"s);
    write_array(array, rows, 1);
    EXPECT_EQ(array,
              "\0\0\0\1"s
              "\0\0\0\1"s
              "\0\0\0\x19"s
              "\0\0\0\2"s
              "\0\0\0\1"s  // with nulls, text
              "\0\0\0\1"s
              "a"s
              "\xFF\xFF\xFF\xFF"s);
}

TEST(postgres_wire, a_batch_is_one_statement_whatever_its_size) {
    EXPECT_EQ(insert_statement(batch("claude_proxy.things", columns, "ON CONFLICT DO NOTHING", "name")),
              "INSERT INTO claude_proxy.things (number, name) SELECT * FROM unnest($1::bigint[], $2::text[]) "
              "ON CONFLICT DO NOTHING RETURNING name");
}

TEST(postgres_wire, whole_numbers_are_integers_and_the_rest_is_text) {
    EXPECT_EQ(value_of_postgres(postgres_int8, "-9223372036854775808"), value(std::int64_t{INT64_MIN}));
    EXPECT_EQ(value_of_postgres(postgres_int4, "7"), value(std::int64_t{7}));
    EXPECT_EQ(value_of_postgres(postgres_int2, "7"), value(std::int64_t{7}));
    EXPECT_EQ(value_of_postgres(postgres_bool, "t"), value(std::int64_t{1}));
    EXPECT_EQ(value_of_postgres(postgres_bool, "f"), value(std::int64_t{0}));
    EXPECT_EQ(value_of_postgres(postgres_numeric, "9223372036854775807"), value(std::int64_t{INT64_MAX}));
    EXPECT_EQ(value_of_postgres(postgres_numeric, "9223372036854775808"), value(std::int64_t{INT64_MAX}));
    EXPECT_EQ(value_of_postgres(postgres_numeric, "-1" + std::string(30, '0') + ".00"), value(std::int64_t{INT64_MIN}));
    EXPECT_EQ(value_of_postgres(postgres_numeric, "1" + std::string(30, '0') + ".5"),
              value("1" + std::string(30, '0') + ".5"));
    EXPECT_EQ(value_of_postgres(postgres_numeric, "-2.000"), value(std::int64_t{-2}));
    EXPECT_EQ(value_of_postgres(postgres_numeric, "0.5"), value("0.5"s));
    EXPECT_EQ(value_of_postgres(postgres_numeric, "NaN"), value("NaN"s));
    EXPECT_EQ(value_of_postgres(postgres_text, "7"), value("7"s));
}

TEST(postgres_wire, an_sqlstate_says_what_the_caller_may_do) {
    for (const char* one : {"23505", "23503", "23502", "23514"})
        EXPECT_EQ(kind_of_sqlstate(one), failure_kind::conflict);
    for (const char* one : {"40001", "40P01", "55P03"}) EXPECT_EQ(kind_of_sqlstate(one), failure_kind::busy);
    for (const char* one : {"08006", "08003", "57P01", "57P02", "57P03", "57014", "53100", "53300", "58030", "25006"}) {
        EXPECT_EQ(kind_of_sqlstate(one), failure_kind::unavailable) << one;
    }
    for (const char* one : {"42601", "42P01", "42501", "22P02", "25P02", "08P01", "0A000", "XX000", ""}) {
        EXPECT_EQ(kind_of_sqlstate(one), failure_kind::invalid) << one;
    }
}

TEST(postgres_wire, a_url_may_have_what_urls_of_databases_have) {
    for (const char* url : {
             "postgresql://localhost/db",
             "postgres://user@localhost:5432/db",
             "postgresql://user:pa%40ss%2Fword@host/db",
             "postgresql:///db?host=/var/run/postgresql",
             "postgresql://user@[::1]:5432/db?sslmode=verify-full",
             "postgresql://a:1,b:2,[2001:db8::1]/db",
             "postgresql://user:p:w@host:6543/db?user=a@b",
             "postgresql://",
         }) {
        EXPECT_EQ(trouble_with_url(url), "") << url;
        EXPECT_NO_THROW(open_postgres(url, {})) << url;
    }
}

// Each of these made libpq print a part of the password as a host, a port or an option that it does not know.
TEST(postgres_wire, no_part_of_a_password_that_was_not_encoded_is_ever_shown) {
    for (const char* url : {
             "postgresql://user:top@secret@localhost/db",
             "postgresql://user:top/secret@localhost/db",
             "postgresql://user:1/secret@localhost/db",
             "postgresql://user:top?secret@localhost/db",
             "postgresql://user:top#secret@localhost/db",
             "postgresql://user:top%secret@localhost/db",
             "postgresql://user:secret:x",
             "postgresql://user@localhost/db?secret",
             "postgresql://user@localhost:secret/db",
             "postgresql://user:[secret@localhost/db?pass=secret",
         }) {
        try {
            const options fast{.connect_timeout = milliseconds(100)};
            open_postgres(url, fast)->query("SELECT 1");
            ADD_FAILURE() << url;
        } catch (const failure& problem) {
            EXPECT_EQ(std::string(problem.what()).find("secret"), std::string::npos) << problem.what();
        }
    }
}

TEST(postgres_wire, a_server_that_is_not_there_is_unavailable_and_the_password_stays_unsaid) {
    const auto on = open("postgresql://user:secret@127.0.0.1:1/db");
    for (int i = 0; i < 2; ++i) {
        try {
            on->query("SELECT 1");
            ADD_FAILURE();
        } catch (const failure& problem) {
            EXPECT_EQ(problem.kind, failure_kind::unavailable);
            EXPECT_EQ(std::string(problem.what()).find("secret"), std::string::npos) << problem.what();
        }
    }
}

}  // namespace
}  // namespace database
