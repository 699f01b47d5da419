#include "resources/custom_ids.hpp"

#include <gtest/gtest.h>

namespace resources {
namespace {

std::string digest_of(std::initializer_list<std::string_view> ids) {
    custom_id_digest made;
    for (const auto id : ids) made.add(id);
    return made.text();
}

TEST(custom_ids, the_digest_does_not_depend_on_the_order_and_on_nothing_else) {
    EXPECT_EQ(digest_of({"a", "b", "c"}), digest_of({"c", "a", "b"}));
    EXPECT_NE(digest_of({"a", "b"}), digest_of({"a", "c"}));
    EXPECT_NE(digest_of({"a"}), digest_of({"a", "a"}));
    EXPECT_NE(digest_of({"ab", "c"}), digest_of({"a", "bc"}));
}

TEST(custom_ids, a_result_has_a_name_of_its_own_that_fits_into_the_ledger) {
    const std::string batch(31, 'r');
    const std::string longest(64, 'x');
    EXPECT_EQ(result_request_id(batch, "a-1"), batch + ":a-1");
    EXPECT_EQ(result_request_id(batch, longest), result_request_id(batch, longest));
    EXPECT_NE(result_request_id(batch, longest), result_request_id(batch, longest.substr(1)));
    for (const auto& id : {std::string(32, 'x'), longest}) {
        EXPECT_EQ(result_request_id(batch, id).size(), 64U);
    }
    // Who names a request as the hash of another does not get its row.
    const std::string named_so = result_request_id(batch, longest).substr(32);
    EXPECT_NE(result_request_id(batch, named_so), result_request_id(batch, longest));
}

}  // namespace
}  // namespace resources
