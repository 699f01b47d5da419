#include "database/sqlite_sum.hpp"

#include <sqlite3.h>

#include <cstdint>
#include <limits>

namespace database {
namespace {

// Upper and lower halves are summed apart, so that neither overflows and what leaves a window can be taken off again.
struct total {
    std::int64_t values;
    std::int64_t others;  // of the values: not integers
    std::int64_t high;
    std::int64_t low;
    double inexact;  // the sum of all
};

constexpr int half_bits = 32;
constexpr std::int64_t low_mask = 0xFFFF'FFFF;

void add(sqlite3_context* context, sqlite3_value* value, int sign) {
    const int type = sqlite3_value_numeric_type(value);
    if (type == SQLITE_NULL) return;
    auto* const sum = static_cast<total*>(sqlite3_aggregate_context(context, sizeof(total)));
    if (sum == nullptr) return sqlite3_result_error_nomem(context);
    sum->values += sign;
    sum->inexact += sign * sqlite3_value_double(value);
    if (type != SQLITE_INTEGER) {
        sum->others += sign;
        return;
    }
    const std::int64_t number = sqlite3_value_int64(value);
    sum->high += sign * (number >> half_bits);
    sum->low += sign * (number & low_mask);
}

void tell(sqlite3_context* context, const total* sum) {
    if (sum == nullptr || sum->values == 0) return sqlite3_result_null(context);
    if (sum->others != 0) return sqlite3_result_double(context, sum->inexact);
    const std::int64_t high = sum->high + (sum->low >> half_bits);
    if (high > std::numeric_limits<std::int32_t>::max())
        return sqlite3_result_int64(context, std::numeric_limits<std::int64_t>::max());
    if (high < std::numeric_limits<std::int32_t>::min())
        return sqlite3_result_int64(context, std::numeric_limits<std::int64_t>::min());
    sqlite3_result_int64(context, high * (low_mask + 1) + (sum->low & low_mask));
}

void step(sqlite3_context* context, int, sqlite3_value** values) { add(context, *values, 1); }
void leave(sqlite3_context* context, int, sqlite3_value** values) { add(context, *values, -1); }
void result(sqlite3_context* context) {
    tell(context, static_cast<const total*>(sqlite3_aggregate_context(context, 0)));
}

}  // namespace

int use_saturating_sum(sqlite3* file) {
    constexpr int how = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    return sqlite3_create_window_function(file, "sum", 1, how, nullptr, step, result, result, leave, nullptr);
}

}  // namespace database
